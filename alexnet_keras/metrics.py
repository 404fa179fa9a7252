"""Metrics over the pictures that are real: not over those that fill up a batch for the replicas."""

import keras


class _OfRealPictures:
    """A mean over the pictures whose weight is not zero, whatever it is (see `Share`)."""

    def update_state(self, y_true, y_pred, sample_weight=None):
        if sample_weight is not None:
            sample_weight = keras.ops.cast(keras.ops.greater(sample_weight, 0), "float32")
        return super().update_state(y_true, y_pred, sample_weight)


@keras.saving.register_keras_serializable("alexnet_keras")
class Loss(_OfRealPictures, keras.metrics.SparseCategoricalCrossentropy):
    """Cross-entropy in nats. (Keras's own mean would count the pictures that fill a batch.)"""


@keras.saving.register_keras_serializable("alexnet_keras")
class Top1(_OfRealPictures, keras.metrics.SparseCategoricalAccuracy):
    """Share of the pictures whose most probable class is right."""


@keras.saving.register_keras_serializable("alexnet_keras")
class Top5(_OfRealPictures, keras.metrics.SparseTopKCategoricalAccuracy):
    """Share of the pictures whose class is among the `k` most probable."""
