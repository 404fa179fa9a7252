import keras
import pytest
import tensorflow as tf

from alexnet_keras import MomentumSGD, TwoColumns, split_cpu
from tests.devices.conftest import small

ONE_DEVICE = ["CPU:0", "CPU:0"]


@pytest.mark.parametrize(
    "arguments, reason",
    [
        ({"variant": "caffe"}, "norm1, whose window crosses the columns, as in variant 'caffe'"),
        ({"variant": "caffenet"}, "norm1, whose window crosses the columns"),
        ({"variant": "single"}, "conv2 in 1 groups, not 2"),
        ({"variant": "torchvision", "columns": 2}, "repeat5, a layer UpSampling2D"),
        ({"include_top": False}, "'alexnet' without some of conv1, conv2"),
    ],
)
def test_other_networks_are_refused(arguments, reason):
    with pytest.raises(ValueError, match="meet in conv3, fc6, fc7 and fc8 alone.*Received: ") as e:
        TwoColumns(small(**arguments), ONE_DEVICE)
    assert reason in str(e.value)


def test_refused_layers_before_the_network():
    image = keras.Input((64, 64, 3))
    model = small(input_shape=None, input_tensor=keras.layers.RandomFlip()(image))
    with pytest.raises(ValueError, match="Received: random_flip.*, a layer RandomFlip"):
        TwoColumns(model, ONE_DEVICE)


def test_refused_channels_first():
    keras.config.set_image_data_format("channels_first")
    try:
        model = small(input_shape=(3, 64, 64))
    finally:
        keras.config.set_image_data_format("channels_last")
    with pytest.raises(ValueError, match="conv1 in the data format 'channels_first'"):
        TwoColumns(model, ONE_DEVICE)


@pytest.fixture
def one_cpu(monkeypatch):
    """As in a program that has not split its CPU."""
    devices = {"CPU": tf.config.list_logical_devices("CPU")[:1], "GPU": []}
    monkeypatch.setattr(tf.config, "list_logical_devices", devices.get)


def test_one_device_must_be_asked_for(one_cpu):
    with pytest.raises(ValueError, match=r"neither two GPUs nor two.*`split_cpu\(2\)`.*Received: "):
        TwoColumns(small())


@pytest.mark.parametrize(
    "optimizer, options, message",
    [
        ("adam", {}, "`optimizer` must be a MomentumSGD or another SGD. Received: Adam"),
        (MomentumSGD(global_clipnorm=1.0), {}, "without `global_clipnorm`. Received"),
        (MomentumSGD(use_ema=True), {}, "without `use_ema`"),
        (MomentumSGD(gradient_accumulation_steps=2), {}, "without `gradient_accumulation_steps`"),
        ("sgd", {"jit_compile": True}, "`jit_compile` must be False.*Received: True"),
        ("sgd", {"run_eagerly": True}, "`run_eagerly` must be False.*Received: True"),
    ],
)
def test_compile_refuses_what_would_leave_the_devices(optimizer, options, message):
    columns = TwoColumns(small(), ONE_DEVICE)
    with pytest.raises(ValueError, match=message):
        columns.compile(optimizer, "sparse_categorical_crossentropy", **options)


def test_compile_refuses_float16():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = small()
    finally:
        keras.config.set_dtype_policy("float32")
    with pytest.raises(ValueError, match="float32 or bfloat16. Received: mixed_float16"):
        TwoColumns(model, ONE_DEVICE).compile("sgd", "mse")


def test_split_cpu_errors(one_cpu):
    for count in (0, 1.0, True):
        with pytest.raises(ValueError, match="`count` must be an integer of at least 1. Received"):
            split_cpu(count)
    assert split_cpu(1) == ["/device:CPU:0"]
    with pytest.raises(RuntimeError, match="`split_cpu` first.*Received: 1 logical CPUs"):
        split_cpu(2)


@pytest.mark.portable
@pytest.mark.skipif(keras.backend.backend() == "tensorflow", reason="for the other backends")
def test_other_backends_are_refused():
    with pytest.raises(
        ValueError, match="need Keras's TensorFlow backend.* Received: '(jax|torch)'"
    ):
        TwoColumns(small(), ONE_DEVICE)
