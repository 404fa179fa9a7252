"""The two columns on two devices: the two logical CPUs that the root's `conftest.py` makes."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.eager import context

from alexnet_keras import AlexNet, MomentumSGD, TwoColumns, split_cpu
from alexnet_keras.devices import communication
from alexnet_keras.variants import LAYERS

pytestmark = pytest.mark.slow

BATCH = 6


@pytest.fixture
def model():
    return small(variant="2012")


@pytest.fixture(params=["paper", "2012"])
def each_model(request):
    return small(variant=request.param)


def small(**arguments):
    defaults = {"input_shape": (70, 67, 3), "classes": 5, "width": 0.1, "initialization": "he"}
    keras.utils.set_random_seed(1)
    model = AlexNet(**{**defaults, "dropout": 0.0, **arguments})
    rng = np.random.default_rng(0)
    for layer in model.layers:  # biases too, which would start from zero
        layer.set_weights([w + rng.normal(0, 0.01, w.shape) for w in layer.get_weights()])
    return model


def batch(model, images=BATCH):
    rng = np.random.default_rng(2)
    x = rng.normal(0, 50, (images, *model.input_shape[1:])).astype("float32")
    return x, rng.integers(0, model.output_shape[-1], images)


def structure(model):
    return json.dumps(model.get_config())  # without whether it is compiled


def joined(columns, values):
    """One array a weight of the one-device network, from one for each of the columns' weights."""
    by_weight = {id(v): np.asarray(x) for v, x in zip(columns.trainable_variables, values)}
    arrays = []
    for a, b in zip(columns.column_a, columns.column_b):
        for v, w in zip(a.trainable_variables, b.trainable_variables):
            arrays.append(np.concatenate([by_weight[id(v)], by_weight[id(w)]], axis=-1))
    return arrays + [by_weight[id(v)] for v in columns.fc8.trainable_variables]


def close(ours, expected):
    """Within 1e-5 of the largest element of each array."""
    assert len(ours) == len(expected)
    for a, b in zip(ours, expected):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * max(np.abs(b).max(), 1e-6))


def train_graph(columns, x, y):
    specs = tf.TensorSpec(x.shape), tf.TensorSpec(y.shape, tf.int64)
    return tf.function(columns.train_step).get_concrete_function(specs)


def test_split_cpu():
    assert split_cpu(2) == ["/device:CPU:0", "/device:CPU:1"]
    with pytest.raises(RuntimeError, match="into 3 before TensorFlow starts.*Received: 2"):
        split_cpu(3)


def test_weights_momentum_and_seeds_live_on_their_devices():
    model = small(dropout=0.5)
    columns = TwoColumns(model)
    columns.compile(MomentumSGD(0.01), "sparse_categorical_crossentropy")
    assert columns.devices == ["/device:CPU:0", "/device:CPU:1"]
    for device, layers in zip(
        columns.devices, ([*columns.column_a, columns.fc8], columns.column_b)
    ):
        variables = [v for layer in layers for v in layer.variables]
        assert {v.value.device[-len(device) :] for v in variables} == {device}
        momentum = [
            columns.optimizer.momentums[i].value
            for i, v in enumerate(columns.trainable_variables)
            if any(v is w for w in variables)
        ]
        assert len(momentum) == sum(len(layer.trainable_variables) for layer in layers) >= 14
        assert {v.device[-len(device) :] for v in momentum} == {device}
    # 5 convolutions and 2 dense layers with kernel and bias, 2 dropouts with their random state.
    assert sum(len(layer.variables) for layer in columns.column_b) == 2 * 7 + 2
    whole = sum(layer.count_params() for layer in model.layers if layer.name != "fc8")
    assert 2 * sum(layer.count_params() for layer in columns.column_b) == whole


def test_function_and_weights_are_those_of_the_one_device_network(each_model):
    columns = TwoColumns(each_model)
    x, _ = batch(each_model)
    expected = each_model.predict(x, verbose=0)
    np.testing.assert_allclose(columns.predict(x, verbose=0), expected, rtol=1e-4, atol=1e-6)
    again = columns.one_device()
    assert structure(again) == structure(each_model)
    for ours, w in zip(again.get_weights(), each_model.get_weights()):
        np.testing.assert_array_equal(ours, w)


def test_normalization_of_batches_is_cut_in_two():
    model = small(normalization="batch")
    columns = TwoColumns(model)
    x, y = batch(model)
    for network in (model, columns):
        network.compile(MomentumSGD(0.001), "sparse_categorical_crossentropy", jit_compile=False)
        network.fit(x, y, batch_size=3, shuffle=False, verbose=0)
    close(columns.one_device().get_weights(), model.get_weights())


def test_gradients_equal_those_of_one_device(each_model):
    columns = TwoColumns(each_model)
    x, y = batch(each_model)
    loss = keras.losses.SparseCategoricalCrossentropy()
    with tf.GradientTape() as tape:
        value = loss(y, each_model(x, training=True))
    expected = tape.gradient(value, each_model.trainable_variables)

    @tf.function
    def gradients():
        variables = [v.value for v in columns.trainable_variables]
        return tf.gradients(loss(y, columns(x, training=True)), variables)

    assert all(np.abs(g).max() > 1e-4 for g in expected)
    close(joined(columns, gradients()), expected)


def test_training_equals_that_on_one_device(model, tmp_path):
    """Three steps an epoch, the last of one image; momentum, decay, a schedule, weighted images."""
    columns = TwoColumns(model)
    x, y = batch(model, 7)
    weights = np.linspace(0.5, 2, 7)
    histories = []
    for network in (model, columns):
        schedule = keras.optimizers.schedules.ExponentialDecay(0.002, 1, 0.5)
        network.compile(
            MomentumSGD(schedule, 0.9, 0.05, clipvalue=5.0),
            "sparse_categorical_crossentropy",
            metrics=["accuracy"],
            jit_compile=False,
        )
        fit = {"batch_size": 3, "epochs": 2, "shuffle": False, "verbose": 0}
        fit["callbacks"] = [keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}.keras")]
        history = network.fit(x, y, sample_weight=weights, validation_data=(x, y), **fit).history
        histories.append(history)
        assert int(network.optimizer.iterations) == 6
    assert list(histories[0]) == list(histories[1])
    for name, values in histories[0].items():
        np.testing.assert_allclose(histories[1][name], values, rtol=1e-5)
    assert histories[0]["loss"][0] != histories[0]["loss"][1]
    trained = columns.one_device().get_weights()
    close(trained, model.get_weights())

    # What the callback kept, last of the two columns, is an ordinary network.
    loaded = keras.saving.load_model(tmp_path / "2.keras")
    assert structure(loaded) == structure(model) and not loaded.compiled
    for ours, w in zip(loaded.get_weights(), trained):
        np.testing.assert_array_equal(ours, w)


def test_dropout_draws_by_itself_on_each_device():
    model = small(dropout=0.5, width=0.5)
    columns = TwoColumns(model)
    x, _ = batch(model)
    drops = [
        next(d for d in c if d.name[:5] == "drop6") for c in (columns.column_a, columns.column_b)
    ]
    ones = np.ones((8, 1000), "float32")
    masks = [np.asarray(drop(ones, training=True)) > 0 for drop in drops]
    assert all(0.45 < mask.mean() < 0.55 for mask in masks)
    assert 0.4 < (masks[0] == masks[1]).mean() < 0.6
    trained = [np.asarray(columns(x, training=True)) for _ in range(2)]
    assert not np.array_equal(*trained)
    np.testing.assert_allclose(columns(x), model(x), rtol=1e-4, atol=1e-6)


def test_frozen_layers_stay():
    model = small()
    for layer in model.layers:
        layer.trainable = layer.name == "fc8"  # then nothing is left to train on the second device
    columns = TwoColumns(model)
    x, y = batch(model)
    for network in (model, columns):
        network.compile(MomentumSGD(0.001), "sparse_categorical_crossentropy", jit_compile=False)
        network.fit(x, y, batch_size=3, shuffle=False, verbose=0)
        assert int(network.optimizer.iterations) == 2
    close(columns.one_device().get_weights(), model.get_weights())


def test_work_is_done_on_both_devices(each_model):
    columns = TwoColumns(each_model)
    columns.compile(MomentumSGD(0.01), "sparse_categorical_crossentropy")
    operations = train_graph(columns, *batch(each_model)).graph.get_operations()

    def count(*kinds):
        return [
            sum(op.type in kinds and op.device == device for op in operations)
            for device in columns.devices
        ]

    assert count("Conv2D") == [5, 5]
    assert count("Conv2DBackpropFilter") == [5, 5]
    assert count("MaxPool") == count("MaxPoolGrad") == [3, 3]
    # fc6 and fc7 on each, fc8 on the first; the normalizations' banded products on each.
    matmul = count("MatMul", "BatchMatMulV2")
    assert matmul[0] - matmul[1] == 3 and matmul[1] >= 6
    # A weight and its momentum for each kernel and bias.
    assert count("AssignVariableOp")[1] >= 14 and count("AssignAddVariableOp")[1] >= 14
    unplaced = [op for op in operations if not op.device]
    assert {op.type for op in unplaced} <= {"Placeholder", "ReadVariableOp", "Identity", "NoOp"}
    # Reading a variable happens where it lives; what else is unplaced is a number.
    assert all(op.outputs[0].shape == () for op in unplaced if op.type == "Identity")


def crossing(graph):
    """Tensors of the graph that go from device to device: name, bytes, receiver."""
    moved = {}
    for op in graph.get_operations():
        for tensor in op.inputs:
            if tensor.op.device and op.device and tensor.op.device != op.device:
                moved[tensor.op.name, op.device] = tensor.shape.num_elements() * tensor.dtype.size
    return moved


@pytest.mark.parametrize("variant, policy", [("paper", "float32"), ("2012", "mixed_bfloat16")])
def test_communication_equals_what_the_graph_moves(variant, policy):
    keras.config.set_dtype_policy(policy)
    try:
        model = small(variant=variant, dropout=0.5, input_shape=(131, 99, 3))
        columns = TwoColumns(model)
    finally:
        keras.config.set_dtype_policy("float32")
    columns.compile(MomentumSGD(0.01), "sparse_categorical_crossentropy")
    x, y = batch(model)
    function = train_graph(columns, x, y)
    moved = crossing(function.graph)

    dtype = "float32" if policy == "float32" else "bfloat16"
    rows = communication(model, BATCH, activation_dtype=dtype).exchanges
    rows = {row.layer: row for row in rows if row.scheme == "columns"}
    backward = {key: size for key, size in moved.items() if key[0].startswith("gradients")}
    forward = {key: size for key, size in moved.items() if key not in backward}
    # Two tensors, one each way, for conv3, fc6 and fc7, and one for fc8.
    expected = [size for row in rows.values() for size in halves(row.layer, row.forward)]
    assert sorted(forward.values()) == sorted(expected)
    expected = [size for row in rows.values() for size in halves(row.layer, row.backward)]
    assert sorted(backward.values()) == sorted(expected)
    assert sum(moved.values()) == sum(row.forward + row.backward for row in rows.values())

    # What TensorFlow sends when it runs, cut up by device: the same tensors, the images, numbers.
    context.context().enable_graph_collection()
    try:
        function((tf.constant(x), tf.constant(y)))
        collected = context.context().export_run_metadata().function_graphs
    finally:
        context.context().disable_graph_collection()
    parts = max(collected, key=lambda graph: graph.ByteSize()).partition_graphs
    assert len(parts) == 2
    sent = {}
    for node in [node for part in parts for node in part.node]:
        name = node.attr["_src"].s.decode()
        if node.op == "_Send" and not name.startswith("GroupCrossDeviceControlEdges"):
            receiver = node.attr["recv_device"].s.decode()[-len("/device:CPU:0") :]
            tensor = function.graph.get_operation_by_name(name).outputs[0]
            sent[name, receiver] = tensor.shape.num_elements() * tensor.dtype.size
    images = {key: size for key, size in sent.items() if size == x.nbytes}
    assert len(images) == 1 and next(iter(images))[1] == "/device:CPU:1"
    arrays = {key: size for key, size in sent.items() if size > 8 and key not in images}
    assert arrays == moved


def halves(layer, size):
    return [size] if layer == "fc8" else [size // 2, size // 2]


def test_layers_named_as_in_the_course(model):
    columns = TwoColumns(model)
    weighted = [layer for layer in columns.column_b if layer.weights]
    assert [layer.name for layer in weighted] == [f"{name}b" for name in LAYERS[:-1]]
    assert weighted[0].kernel.shape[-1] * 2 == model.get_layer("conv1").kernel.shape[-1]


@pytest.mark.parametrize("devices", [["CPU:0", "CPU:2"], ["CPU:0"], "CPU:0", ["GPU:0", "GPU:1"]])
def test_devices_that_are_not_there(devices):
    with pytest.raises(ValueError, match="`devices` must be two of .*CPU:1.* Received: "):
        TwoColumns(small(), devices)


def test_devices_in_the_order_given():
    columns = TwoColumns(small(), ["/CPU:1", "device:CPU:0"])
    assert columns.fc8.kernel.value.device.endswith("CPU:1")
    assert columns.get_layer("conv1b").kernel.value.device.endswith("CPU:0")
