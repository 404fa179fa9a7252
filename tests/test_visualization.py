"""What the figures show, and that what they show is so."""

import gc
import os
import subprocess
import sys
import tracemalloc

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.neighbors import NearestNeighbors

from alexnet_keras import VARIANTS, AlexNet
from alexnet_keras.common import DataError
from alexnet_keras.evaluation import (
    Calibration,
    Evaluation,
    Mistake,
    plot_classes,
    plot_confusion,
    plot_curves,
    plot_mistakes,
    plot_reliability,
)
from alexnet_keras.inspection import (
    Neighbors,
    Patch,
    dead_units,
    embedding,
    feature_maps,
    features,
    first_filters,
    grad_cam,
    integrated_gradients,
    nearest_neighbors,
    occlusion_map,
    plot_attributions,
    plot_dead_units,
    plot_embedding,
    plot_feature_maps,
    plot_filters,
    plot_grad_cam,
    plot_neighbors,
    plot_occlusion,
    plot_patches,
    receptive_field,
    strongest_patches,
)
from alexnet_keras.layers import LocalResponseNormalization, WithinMapNormalization
from alexnet_keras.pictures import ColorStatistics, ImageDataset, evaluation_transform

SIZE = 67
STATISTICS = ColorStatistics(np.array([100, 110, 120], "float32"), np.ones(3), np.eye(3))
NAMES = ("cat", "dog", "cow", "hen")


def small(**arguments):
    keras.utils.set_random_seed(0)
    return AlexNet(
        **{
            "input_shape": (SIZE, SIZE, 3),
            "classes": 4,
            "width": 0.05,
            "initialization": "he",
            **arguments,
        }
    )


def generated(sizes, names=NAMES):
    """Pictures made while they are read: each other colours in each of its parts."""

    def example(i):
        seed = tf.stack([i, 1])
        pixels = tf.random.stateless_uniform((5, 5, 3), seed, 0, 255, tf.int32)
        picture = tf.repeat(tf.repeat(tf.cast(pixels, tf.uint8), 16, axis=0), 16, axis=1)
        label = tf.random.stateless_uniform((), seed, 0, len(names), tf.int64)
        return {"image": tf.io.encode_png(picture), "label": label, "id": tf.strings.as_string(i)}

    def source(split):  # those of the validation split are others
        first = 0 if split == "train" else 1_000_000
        return tf.data.Dataset.range(first, first + sizes[split]).map(example)

    return ImageDataset("generated", names, dict(sizes), source)


@pytest.fixture(scope="module")
def data():
    return generated({"train": 30, "validation": 11})


@pytest.fixture(scope="module")
def model():
    return small()


def inputs_of(data, split, size=SIZE):
    """All the pictures of a split as the network takes them."""
    prepare = evaluation_transform(STATISTICS, image_size=size)
    examples = list(data.decoded(split).as_numpy_iterator())
    images = np.stack([prepare(example["image"]).numpy() for example in examples])
    return images, np.array([example["label"] for example in examples])


def values_of(model, layer, images):
    return np.asarray(keras.Model(model.input, model.get_layer(layer).output)(images))


@pytest.fixture(scope="module")
def image(data):
    return inputs_of(data, "validation")[0][0]


def picture_of(image):
    return image + STATISTICS.mean


def check_figure(figure, tmp_path):
    """Every figure has a title, and every colour bar a label; it can be written."""
    titles = [axes.get_title() for axes in figure.axes]
    assert figure.get_suptitle() or any(titles)
    for axes in figure.axes:
        if axes.get_label() == "<colorbar>":
            assert axes.get_ylabel()
        elif axes.axison and axes.has_data() and (axes.lines or axes.patches or axes.collections):
            if len(axes.get_xticks()):
                assert axes.get_ylabel()
    figure.savefig(tmp_path / "figure.png", dpi=20)


def colorbars(figure):
    return [axes for axes in figure.axes if axes.get_label() == "<colorbar>"]


# Receptive fields


def linear_twin(model):
    """The same geometry with weights of one, means in place of maxima, and nothing else."""

    def twin(layer):
        name = layer.name
        if isinstance(layer, keras.layers.Conv2D):
            config = {**layer.get_config(), "activation": "linear", "use_bias": False}
            return type(layer).from_config({**config, "kernel_initializer": "ones"})
        if isinstance(layer, keras.layers.MaxPooling2D):
            return keras.layers.AveragePooling2D(
                layer.pool_size, layer.strides, layer.padding, name=name
            )
        if isinstance(layer, WithinMapNormalization):
            return keras.layers.AveragePooling2D(layer.size, 1, "same", name=name)
        if isinstance(
            layer,
            (
                keras.layers.Activation,
                keras.layers.Dropout,
                LocalResponseNormalization,
            ),
        ):
            return keras.layers.Activation("linear", name=name)
        if isinstance(layer, keras.layers.Dense):
            return keras.layers.Dense(
                layer.units, kernel_initializer="ones", use_bias=False, name=name
            )
        return type(layer).from_config(layer.get_config())

    return keras.models.clone_model(model, clone_function=twin)


def pixels_with_a_gradient(model, layer, position):
    """Top, left, bottom, right of the pixels that one unit depends on; `None` if on none."""
    until = keras.Model(model.input, model.get_layer(layer).output)
    x = tf.ones((1, *model.input_shape[1:]))
    with tf.GradientTape() as tape:
        tape.watch(x)
        unit = until(x)[(0, *position, 0)]
    seen = np.abs(tape.gradient(unit, x).numpy()[0]).sum(axis=-1) > 0
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    if not seen.any():
        return None
    assert seen[np.ix_(rows, columns)].all()  # a rectangle without holes
    assert len(rows) == np.ptp(rows) + 1 and len(columns) == np.ptp(columns) + 1
    return [rows[0], columns[0], rows[-1] + 1, columns[-1] + 1]


def check_against_gradients(model, layer):
    field = receptive_field(model, layer)
    height, width = model.input_shape[1:3]
    shape = model.get_layer(layer).output.shape[1:-1]
    for position in {tuple(int(f * (n - 1)) for n in shape) for f in (0, 0.5, 0.9, 1)}:
        pixels, box = field.pixels(*position), np.array(field.box(*position))
        if pixels[2] == 0 or pixels[3] == 0:
            assert pixels_with_a_gradient(model, layer, position) is None
            continue
        assert list(pixels) == pixels_with_a_gradient(model, layer, position)
        # Away from the borders, that is the box.
        if (box[:2] >= 0).all() and (box[2:] < (height - 32, width - 32)).all():
            assert box.tolist() == list(pixels)
        assert (box[:2] <= pixels[:2]).all() and (box[2:] >= pixels[2:]).all()


@pytest.mark.parametrize("shape", [(227, 227, 3), (226, 129, 3)])
@pytest.mark.parametrize("variant", VARIANTS)
def test_receptive_fields_are_where_the_gradients_are(variant, shape):
    """226 and 129 leave 3 and 2 pixels to be padded before conv1, and the pools drop some."""
    # The inference of batch normalization is linear, but Keras cannot clone it into something else.
    normalization = "none" if variant == "batchnorm" else None
    network = AlexNet(
        False, variant=variant, width=0.02, input_shape=shape, normalization=normalization
    )
    model = linear_twin(network)
    for layer in model.layers[1:]:
        check_against_gradients(model, layer.name)


def test_receptive_fields_of_the_paper():
    """As everybody works them out for 227, and once by hand here."""
    model = AlexNet(include_top=False, width=0.05)
    size, jump = 1, 1
    for name, kernel, stride in (
        ("conv1", 11, 4),
        ("pool1", 3, 2),
        ("conv2", 5, 1),
        ("pool2", 3, 2),
        ("conv3", 3, 1),
        ("conv4", 3, 1),
        ("conv5", 3, 1),
        ("pool5", 3, 2),
    ):
        size, jump = size + (kernel - 1) * jump, jump * stride
        field = receptive_field(model, name)
        assert field.size == (size, size) and field.stride == (jump, jump)
    published = {"conv1": 11, "pool1": 19, "conv2": 51, "pool2": 67, "conv3": 99, "conv4": 131}
    for name, side in {**published, "conv5": 163, "pool5": 195}.items():
        assert receptive_field(model, name).size == (side, side)
    assert field.stride == (32, 32)


def test_dense_units_see_all_that_pool5_sees():
    model = linear_twin(small())
    for layer in ("flatten", "fc6", "fc8"):
        assert receptive_field(model, layer).stride == (0, 0)
        check_against_gradients(model, layer)


LAYERS = st.tuples(
    st.sampled_from(["conv", "pool", "pad"]),
    st.integers(1, 4),
    st.integers(1, 3),
    st.sampled_from(["same", "valid"]),
)


@settings(deadline=None, max_examples=15)
@given(st.lists(LAYERS, min_size=1, max_size=4), st.integers(30, 34))
def test_receptive_fields_of_any_stack(stack, side):
    x = image = keras.Input((side, side + 1, 2))
    for kind, kernel, stride, padding in stack:
        if kind == "pad":
            x = keras.layers.ZeroPadding2D(((kernel, stride), (0, kernel)))(x)
            continue
        if padding == "valid" and min(x.shape[1:3]) < kernel:
            continue
        stride = min(stride, kernel)  # else pixels between the windows are seen by no unit
        if kind == "conv":
            x = keras.layers.Conv2D(2, kernel, stride, padding, kernel_initializer="ones")(x)
        else:
            x = keras.layers.AveragePooling2D(kernel, stride, padding)(x)
    model = keras.Model(image, x)
    check_against_gradients(model, model.layers[-1].name)


def test_receptive_field_of_branches():
    """As in GoogLeNet's and ResNet's blocks: the widest path counts."""
    image = keras.Input((40, 40, 3))
    options = {"padding": "same", "kernel_initializer": "ones"}
    stem = keras.layers.Conv2D(4, 3, 2, **options)(image)
    paths = [keras.layers.Conv2D(4, size, **options)(stem) for size in (1, 3, 5)]
    x = keras.layers.Concatenate()([*paths, keras.layers.AveragePooling2D(3, 1, "same")(stem)])
    x = keras.layers.Conv2D(4, 3, **options)(x)
    x = keras.layers.Add(name="sum")([x, stem])
    model = keras.Model(image, x)
    assert receptive_field(model, "sum").size == (3 + 2 * 4 + 2 * 2,) * 2
    check_against_gradients(model, "sum")


def test_receptive_field_that_is_not_known():
    image = keras.Input((8, 8, 3))
    model = keras.Model(image, keras.layers.Resizing(4, 4, name="resized")(image))
    with pytest.raises(ValueError, match="Received: layer resized of type Resizing"):
        receptive_field(model, "resized")
    dilated = keras.Model(image, keras.layers.Conv2D(1, 3, dilation_rate=2, name="d")(image))
    with pytest.raises(ValueError, match="without dilation.* Received: layer d of type Conv2D"):
        receptive_field(dilated, "d")
    with pytest.raises(ValueError, match="No such layer: conv9"):
        receptive_field(model, "conv9")


# Filters and maps


@pytest.mark.parametrize("variant, columns, filters", [("paper", 2, 48), ("torchvision", 1, 64)])
def test_first_filters(variant, columns, filters, tmp_path):
    model = AlexNet(include_top=False, variant=variant)
    found = first_filters(model)
    assert [a.shape for a in found] == [(filters, 11, 11, 3)] * columns
    kernel = model.get_layer("conv1").get_weights()[0]
    for i in (0, filters - 1, columns * filters - 1):
        np.testing.assert_array_equal(found[i // filters][i % filters], kernel[..., i])
    figure = plot_filters(found)
    check_figure(figure, tmp_path)
    panels = figure.axes[:columns]
    expected = ["column a", "column b"] if columns == 2 else [""]
    assert [axes.get_title() for axes in panels] == expected
    # The last filter of column b stands at the right of the third row; gray is zero.
    shown = np.asarray(panels[-1].images[0].get_array())
    scale = np.abs(kernel).max()
    last = shown[-11:, -11:]
    np.testing.assert_allclose(last, 0.5 + kernel[..., -1] / (2 * scale), atol=1e-6)
    (bar,) = colorbars(figure)
    assert bar.get_ylim() == pytest.approx((-scale, scale))


def test_filters_of_a_network_that_sees_no_colours():
    image = keras.Input((8, 8, 1))
    model = keras.Model(image, keras.layers.Conv2D(2, 3)(image))
    with pytest.raises(ValueError, match=r"three channels. Received: a kernel of \(3, 3, 1, 2\)"):
        first_filters(model)


@pytest.mark.parametrize("layer", ["conv1", "norm1", "relu5", "relu7", "fc8"])
def test_feature_maps(layer, model, image, tmp_path):
    maps = feature_maps(model, layer, image)
    np.testing.assert_allclose(maps, values_of(model, layer, image[None])[0], rtol=1e-5)
    figure = plot_feature_maps(maps, layer, columns=3)
    check_figure(figure, tmp_path)
    shown = np.ma.filled(figure.axes[0].images[0].get_array(), np.nan)
    height, width = maps.shape[:2] if maps.ndim == 3 else (1, 1)
    gap = 0 if height == width == 1 else 1
    top, left = height + gap, 0  # of channel 3, the first of the second row
    np.testing.assert_array_equal(
        shown[top : top + height, left : left + width].squeeze(), maps[..., 3].squeeze()
    )
    ticks = figure.axes[0].get_yticks(), figure.axes[0].get_yticklabels()
    assert len(ticks[0]) >= 2
    for y, label in zip(*ticks):  # a row of three maps for each tick, at its middle
        assert y == int(label.get_text()) / 3 * top + (top - 1) / 2
    low, high = figure.axes[0].images[0].get_clim()
    assert (low, high) == (-high, high) if maps.min() < 0 else low == maps.min()
    assert colorbars(figure)[0].get_ylabel() == "activation"


def test_picture_of_another_shape(model):
    message = r"`image` must be of the model's input shape, \(67, 67, 3\). Received: \(64, 64, 3\)"
    for call in (
        lambda x: feature_maps(model, "conv1", x),
        lambda x: occlusion_map(model, x, 0),
        lambda x: grad_cam(model, x, 0),
        lambda x: integrated_gradients(model, x, 0),
    ):
        with pytest.raises(ValueError, match=message):
            call(np.zeros((64, 64, 3)))


# Patches


@pytest.mark.parametrize("layer", ["relu1", "conv3", "pool5", "fc8"])
def test_strongest_patches(layer, model, data):
    images, labels = inputs_of(data, "train")
    channel = 2
    patches = strongest_patches(model, layer, channel, data, STATISTICS, count=5, batch_size=7)
    values = values_of(model, layer, images)[..., channel].reshape(len(images), -1)
    order = np.argsort(-values.max(axis=1), kind="stable")[:5]
    assert [patch.index for patch in patches] == order.tolist()
    assert [patch.label for patch in patches] == labels[order].tolist()
    side = values_of(model, layer, images).shape[2] if layer != "fc8" else 1
    for patch in patches:
        assert patch.activation == pytest.approx(values[patch.index].max(), rel=1e-4)
        assert patch.row * side + patch.column == values[patch.index].argmax()
        top, left, bottom, right = patch.inside
        whole = picture_of(images[patch.index])
        np.testing.assert_allclose(patch.pixels, whole[top:bottom, left:right], atol=1e-3)
        # The unit depends on what is in the patch, and on all its sides, and on nothing else.
        other = np.random.default_rng(0).normal(0, 50, images[0].shape)
        other[top:bottom, left:right] = patch.pixels - STATISTICS.mean
        again = values_of(model, layer, other[None].astype("float32"))[..., channel].ravel()
        assert again[patch.row * side + patch.column] == pytest.approx(patch.activation, rel=1e-3)


def test_patches_where_the_mean_image_is_subtracted(model, data):
    rng = np.random.default_rng(0)
    mean_image = rng.uniform(90, 130, (76, 76, 3)).astype("float32")  # 67 * 256 / 227
    statistics = ColorStatistics(np.zeros(3, "float32"), np.ones(3), np.eye(3), mean_image)
    (patch,) = strongest_patches(
        model, "conv1", 0, data, statistics, count=1, mean="image", batch_size=8
    )
    images, _ = inputs_of(data, "train")
    top, left, bottom, right = patch.box
    expected = picture_of(images[patch.index])[top:bottom, left:right]
    np.testing.assert_allclose(patch.pixels, expected, atol=1e-3)


def test_patches_figure(tmp_path):
    pixels = np.arange(9 * 8 * 3).reshape(9, 8, 3)
    patches = [
        Patch(0, 1, 0, 0, 1412.3, (-2, -3, 9, 8), (0, 0, 9, 8), pixels),
        Patch(5, 0, 1, 1, 0.01234, (1, 2, 10, 10), (1, 2, 10, 10), pixels),
    ]
    figure = plot_patches(patches, NAMES, "relu1, channel 3")
    check_figure(figure, tmp_path)
    first, second, rest = figure.axes
    assert first.get_title() == "dog: 1,410" and second.get_title() == "cat: 0.0123"
    assert first.get_xlim() == (-3.5, 7.5) and first.get_ylim() == (8.5, -2.5)
    assert first.images[0].get_extent() == [-0.5, 7.5, 8.5, -0.5]
    np.testing.assert_array_equal(first.images[0].get_array(), pixels)
    assert second.images[0].get_extent() == [1.5, 9.5, 9.5, 0.5]
    assert not rest.axison


def test_channel_that_is_not_there(model, data):
    with pytest.raises(ValueError, match="`channel` must be .* from 0 to 3. Received: channel=4"):
        strongest_patches(model, "conv1", 4, data, STATISTICS)


# Dead units


def test_dead_units(data, tmp_path):
    model = small()
    images, _ = inputs_of(data, "train")
    for layer, units in (("conv2", [0, 7]), ("fc6", range(50))):
        kernel, bias = model.get_layer(layer).get_weights()
        bias[list(units)] = -1e6
        model.get_layer(layer).set_weights([kernel, bias])
    dead = dead_units(model, data, STATISTICS, batch_size=7)
    assert list(dead) == [f"relu{i}" for i in range(1, 8)]
    for layer, units in dead.items():
        values = values_of(model, layer, images)
        np.testing.assert_array_equal(units, (values <= 0).reshape(-1, values.shape[-1]).all(0))
    assert dead["relu2"][[0, 7]].all() and not dead["relu2"].all()
    assert dead["relu6"][:50].all() and not dead["relu6"].all()
    figure = plot_dead_units(dead)
    check_figure(figure, tmp_path)
    heights = [bar.get_height() for bar in figure.axes[0].patches]
    np.testing.assert_allclose(heights, [100 * units.mean() for units in dead.values()])


def test_unit_that_one_picture_wakes(data):
    """A unit that is above zero for one picture of any batch alone is not dead."""
    images, _ = inputs_of(data, "train")
    response = images.mean(axis=(1, 2))[:, 0]
    image = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.GlobalAveragePooling2D()(image)
    model = keras.Model(image, keras.layers.Dense(4, "relu", name="unit")(x))
    # The first two see the highest and the lowest of red, each of one picture; the others nothing.
    second, highest = np.sort(response)[-2:]
    lowest, next_lowest = np.sort(response)[:2]
    kernel = np.zeros((3, 4))
    kernel[0] = 1, -1, 1, -1
    bias = [-(highest + second) / 2, (lowest + next_lowest) / 2, -highest - 1, lowest - 1]
    model.get_layer("unit").set_weights([kernel, np.array(bias)])
    dead = dead_units(model, data, STATISTICS, batch_size=8)
    assert dead["unit"].tolist() == [False, False, True, True]


def test_network_without_relu(data):
    with pytest.raises(ValueError, match="The model must have a ReLU. Received: alexnet"):
        dead_units(small(activation="tanh"), data, STATISTICS)


# Neighbours and embeddings


def test_features(model, data):
    for split in ("train", "validation"):
        images, labels = inputs_of(data, split)
        found, given_labels = features(model, data, STATISTICS, split=split, batch_size=7)
        np.testing.assert_array_equal(given_labels, labels)
        np.testing.assert_allclose(found, values_of(model, "relu7", images), rtol=1e-4, atol=1e-5)
    maps, _ = features(model, data, STATISTICS, layer="pool2", batch_size=7)
    np.testing.assert_allclose(
        maps, values_of(model, "pool2", images).reshape(len(images), -1), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("query_split", ["validation", "train"])
def test_nearest_neighbors_are_sklearns(query_split, model, data):
    queries = [4, 0, 9]
    near = nearest_neighbors(
        model, data, STATISTICS, queries, query_split=query_split, batch_size=7
    )
    asked, _ = features(model, data, STATISTICS, split=query_split)
    others, _ = features(model, data, STATISTICS, split="train")
    search = NearestNeighbors(n_neighbors=7).fit(others)
    distances, indices = search.kneighbors(asked[queries])
    if query_split == "train":
        assert indices[:, 0].tolist() == queries  # itself
        distances, indices = distances[:, 1:], indices[:, 1:]
    np.testing.assert_array_equal(near.indices, indices[:, :6])
    np.testing.assert_allclose(near.distances, distances[:, :6], rtol=1e-3)


def test_neighbors_figure(data, tmp_path):
    near = Neighbors(
        "validation",
        np.array([3, 1]),
        "train",
        np.array([[5, 2], [2, 29]]),
        np.array([[1, 2], [3, 4.5]]),
    )
    figure = plot_neighbors(near, data)
    check_figure(figure, tmp_path)
    shown = [axes for axes in figure.axes if axes.images]
    assert len(shown) == 6
    asked = [e["label"] for e in data.examples_at("validation", [3, 1])]
    found = [e["label"] for e in data.examples_at("train", [5, 2, 2, 29])]
    assert [axes.get_title() for axes in shown] == [
        NAMES[asked[0]],
        f"{NAMES[found[0]]}\n1",
        f"{NAMES[found[1]]}\n2",
        NAMES[asked[1]],
        f"{NAMES[found[2]]}\n3",
        f"{NAMES[found[3]]}\n4.5",
    ]
    pictures = [list(data.decoded("train").as_numpy_iterator())[i]["image"] for i in (2, 5)]
    assert np.mean(shown[1].images[0].get_array()) == pytest.approx(pictures[1].mean(), abs=1)
    assert np.mean(shown[2].images[0].get_array()) == pytest.approx(pictures[0].mean(), abs=1)


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ({"queries": [11]}, ValueError, "`queries` must be .* from 0 to 10. Received: queries=11"),
        ({"queries": [0], "count": 31}, ValueError, "`count` must be .* from 1 to 30..* count=31"),
        ({"queries": [0], "split": "test"}, DataError, "`split` must be one of .*Received: 'test'"),
    ],
)
def test_neighbors_of_nothing(arguments, error, message, model, data):
    with pytest.raises(error, match=message):
        nearest_neighbors(model, data, STATISTICS, **arguments)


def test_empty_split(model):
    empty = generated({"train": 0})
    with pytest.raises(DataError, match="must hold at least one picture. Received: none"):
        dead_units(model, empty, STATISTICS)


def test_pca_by_hand(tmp_path):
    x = np.random.default_rng(0).normal(size=(40, 12)) * np.arange(12, 0, -1)
    plane = embedding(x)
    centred = x - x.mean(axis=0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    np.testing.assert_allclose(np.abs(plane.points), np.abs(u[:, :2] * s[:2]), rtol=1e-6)
    np.testing.assert_allclose(plane.shares, (s**2 / (s**2).sum())[:2])
    np.testing.assert_array_equal(plane.points, embedding(x).points)
    labels = np.arange(40) % 4
    figure = plot_embedding(plane, labels, NAMES)
    check_figure(figure, tmp_path)
    axes = figure.axes[0]
    assert f"{plane.shares[1]:.0%}" in axes.get_ylabel()
    for label, points in enumerate(axes.collections):
        assert points.get_label() == NAMES[label]
        np.testing.assert_allclose(points.get_offsets(), plane.points[labels == label])


def test_tsne_keeps_neighbours_together(tmp_path):
    rng = np.random.default_rng(0)
    labels = np.arange(45) % 3
    x = rng.normal(size=(45, 10)) + 20 * np.eye(3, 10)[labels]
    plane = embedding(x, "tsne")
    assert plane.shares is None and plane.points.shape == (45, 2)
    search = NearestNeighbors(n_neighbors=6).fit(plane.points)
    near = search.kneighbors(plane.points, return_distance=False)
    assert (labels[near] == labels[:, None]).all()
    np.testing.assert_array_equal(plane.points, embedding(x, "tsne").points)
    figure = plot_embedding(plane, labels, [f"class {i}" for i in range(30)])
    check_figure(figure, tmp_path)
    assert not figure.legends  # thirty classes


def test_embedding_of_bad_arguments(monkeypatch):
    with pytest.raises(ValueError, match="`method` must be one of .*Received: method='umap'"):
        embedding(np.eye(4), "umap")
    with pytest.raises(ValueError, match="at least three pictures. Received: 2"):
        embedding(np.eye(2))
    monkeypatch.setitem(sys.modules, "sklearn.decomposition", None)
    with pytest.raises(ModuleNotFoundError, match="python -m pip install scikit-learn"):
        embedding(np.eye(4))


# Occlusion and gradients


def test_occlusion_map(model, image, tmp_path):
    occlusion = occlusion_map(model, image, 1, size=12, stride=9, batch_size=4)
    assert occlusion.probabilities.shape == (7, 7)
    assert occlusion.probability == pytest.approx(float(model(image[None])[0, 1]), rel=1e-5)
    for row, column in ((0, 0), (2, 5), (6, 6)):
        hidden = image.copy()
        hidden[9 * row : 9 * row + 12, 9 * column : 9 * column + 12] = 0
        expected = float(model(hidden[None])[0, 1])
        assert occlusion.probabilities[row, column] == pytest.approx(expected, rel=1e-4)
    figure = plot_occlusion(picture_of(image), occlusion, "dog")
    check_figure(figure, tmp_path)
    heat = figure.axes[1].images[1]
    np.testing.assert_allclose(
        heat.get_array(), 100 * (occlusion.probabilities - occlusion.probability)
    )
    # The centre of the first square and that of the last are the centres of their cells.
    left, right, bottom, top = heat.get_extent()
    cell = (right - left) / 7
    assert left + cell / 2 == top + cell / 2 == (12 - 1) / 2
    assert right - cell / 2 == bottom - cell / 2 == 6 * 9 + (12 - 1) / 2
    assert colorbars(figure)[0].get_ylabel().startswith("change of the probability")


def test_occlusion_defaults_and_errors(model, image):
    occlusion = occlusion_map(model, image, 0)
    assert (occlusion.size, occlusion.stride) == (8, 4)
    assert occlusion.probabilities.shape == (15, 15)
    with pytest.raises(ValueError, match="`size` must be .* from 1 to 67. Received: size=68"):
        occlusion_map(model, image, 0, size=68)
    with pytest.raises(ValueError, match="`class_index` must be .* from 0 to 3..* class_index=4"):
        occlusion_map(model, image, 4)


def test_grad_cam_is_cam_where_maps_are_averaged(image):
    """Selvaraju et al., section 3: then the weights are those of the dense layer, over the
    number of positions."""
    keras.utils.set_random_seed(1)
    x = source = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Conv2D(6, 9, 4, name="conv")(x)
    x = keras.layers.Activation("relu", name="relu")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(source, keras.layers.Dense(3, "softmax", name="top")(x))
    maps = values_of(model, "relu", image[None])[0]
    kernel = model.get_layer("top").get_weights()[0]
    for class_index in range(3):
        expected = np.maximum(0, maps @ kernel[:, class_index]) / (15 * 15)
        assert expected.any()
        np.testing.assert_allclose(
            grad_cam(model, image, class_index), expected, rtol=1e-3, atol=1e-6
        )
        np.testing.assert_allclose(
            grad_cam(model, image, class_index, "relu"), expected, rtol=1e-3, atol=1e-6
        )


@pytest.mark.parametrize("layer", [None, "conv5", "relu2", "norm1", "pool1"])
def test_grad_cam_equals_finite_differences(layer):
    """The weight of a map is how the score changes as the whole map rises, by position."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    try:
        model = small(dropout=0.0, input_shape=(99, 99, 3))
    finally:
        keras.config.set_dtype_policy(before)
    image = np.random.default_rng(0).normal(0, 50, (99, 99, 3))
    name = layer or "relu5"
    maps_output = model.get_layer(name).output
    maps = np.asarray(keras.Model(model.input, maps_output)(image[None]))
    head = keras.Model(maps_output, model.get_layer("fc8").input)
    kernel, bias = model.get_layer("fc8").get_weights()

    def score(maps):
        return (np.asarray(head(maps)) @ kernel + bias)[0, 2]

    weights = []
    for channel in range(maps.shape[-1]):
        step = np.zeros_like(maps)
        step[..., channel] = 1e-6
        rise = (score(maps + step) - score(maps - step)) / 2e-6
        weights.append(rise / np.prod(maps.shape[1:3]))
    expected = np.maximum(0, maps[0] @ np.array(weights))
    np.testing.assert_allclose(
        grad_cam(model, image, 2, layer), expected, rtol=1e-3, atol=1e-4 * expected.max()
    )
    assert expected.any()


def test_grad_cam_figure(image, tmp_path):
    heat = np.arange(6.0).reshape(2, 3)
    figure = plot_grad_cam(picture_of(image), heat, "dog")
    check_figure(figure, tmp_path)
    shown = figure.axes[1].images[1]
    np.testing.assert_array_equal(shown.get_array(), heat)
    assert shown.get_extent() == [-0.5, SIZE - 0.5, SIZE - 0.5, -0.5]
    assert shown.get_clim() == (0, 5)
    assert colorbars(figure)[0].get_ylabel()


def test_grad_cam_of_a_layer_without_maps(model, image):
    with pytest.raises(ValueError, match=r"must give maps .*Received: 'fc6', which gives \(None"):
        grad_cam(model, image, 0, "fc6")


@pytest.mark.parametrize("last", [None, "softmax"])
def test_integrated_gradients_of_a_linear_network(last, image):
    """They are the weights times the difference, whatever the steps."""
    source = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Flatten()(source)
    model = keras.Model(source, keras.layers.Dense(3, last, name="top")(x))
    weights = model.get_layer("top").get_weights()[0][:, 1].reshape(SIZE, SIZE, 3)
    baseline = np.random.default_rng(0).normal(0, 50, image.shape)
    attributions = integrated_gradients(model, image, 1, baseline, steps=3)
    np.testing.assert_allclose(attributions, weights * (image - baseline), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("variant", ["paper", "2012", "torchvision", "batchnorm"])
def test_integrated_gradients_are_complete(variant, image, tmp_path):
    """They sum to f(x) - f(baseline), the nearer the more steps."""
    model = small(variant=variant)
    kernel, bias = model.get_layer("fc8").get_weights()
    for baseline in (None, np.random.default_rng(0).normal(0, 50, image.shape)):
        ends = np.stack([image, np.zeros_like(image) if baseline is None else baseline])
        scores = values_of(model, "drop7" if variant != "torchvision" else "relu7", ends)
        after, before = (scores @ kernel + bias)[:, 3]
        found = integrated_gradients(model, image, 3, baseline, steps=200)
        assert found.shape == image.shape and found.dtype == np.float32
        assert abs(after - before) > 0.01
        # From zero the score is nearly smooth; noise has many bends of the ReLUs on the way.
        precision = 0.001 if baseline is None else 0.03
        assert found.sum(dtype="float64") == pytest.approx(after - before, rel=precision)
    figure = plot_attributions(picture_of(image), found, "hen")
    check_figure(figure, tmp_path)
    shown = figure.axes[1].images[0]
    np.testing.assert_allclose(shown.get_array(), found.sum(axis=-1))
    assert shown.get_clim()[1] == -shown.get_clim()[0] > 0
    assert figure.axes[1].get_title() == f"sum: {found.sum(dtype='float64'):+.2f}"


def test_integrated_gradients_of_bad_arguments(model, image):
    with pytest.raises(ValueError, match="`steps` must be .* at least 1. Received: steps=0"):
        integrated_gradients(model, image, 0, steps=0)
    with pytest.raises(ValueError, match="`baseline` must be of the model's input shape"):
        integrated_gradients(model, image, 0, np.zeros(3))
    without_top = small(include_top=False, input_shape=(SIZE, SIZE, 3), pooling="avg")
    with pytest.raises(ValueError, match="must end in a dense layer. Received: .* avg_pool"):
        grad_cam(without_top, image, 0)


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_on_other_backends(backend):
    """All but the gradients, which say what they need."""
    pytest.importorskip(backend)
    script = """
import sys
sys.path.insert(0, "tests")
from test_visualization import *
model, data = small(), generated({"train": 9, "validation": 3})
image = inputs_of(data, "train")[0][0]
assert feature_maps(model, "relu1", image).shape == (15, 15, 4)
assert len(first_filters(model)) == 2
assert strongest_patches(model, "relu5", 0, data, STATISTICS, count=2)[0].activation >= 0
assert len(dead_units(model, data, STATISTICS)) == 7
assert nearest_neighbors(model, data, STATISTICS, [0]).indices.shape == (1, 6)
assert occlusion_map(model, image, 0, size=30).probabilities.shape == (3, 3)
for gradients in (grad_cam, integrated_gradients):
    try:
        gradients(model, image, 0)
    except ValueError as error:
        print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    expected = f"must run on the 'tensorflow' backend (KERAS_BACKEND). Received: '{backend}'"
    assert done.stdout.count(expected) == 2


@pytest.mark.parametrize(
    "look, allowed",
    [
        (
            lambda model, data: strongest_patches(
                model, "conv1", 0, data, STATISTICS, count=3, batch_size=8
            ),
            180_000,
        ),
        (lambda model, data: dead_units(model, data, STATISTICS, batch_size=8), 180_000),
        (
            lambda model, data: nearest_neighbors(
                model, data, STATISTICS, [0], query_split="train", layer="relu1", batch_size=8
            ),
            480_000,
        ),
    ],
    ids=["patches", "dead", "neighbors"],
)
def test_memory_does_not_grow_with_the_data(look, allowed, model):
    """All that Python and numpy allocate, at its peak."""

    def peak(count):
        data = generated({"train": count})
        gc.collect()
        tracemalloc.start()
        look(model, data)
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return highest

    peak(16)  # what is traced and cached once
    # A map of conv1 of each of the 270 pictures more would be 240,000 bytes, all that the
    # neighbours are sought by 970,000, and the pictures 14,000,000.
    assert peak(300) < peak(30) + allowed


# Evaluations


@pytest.fixture(scope="module")
def evaluation():
    confusion = np.array([[8, 2, 0, 0], [1, 3, 0, 0], [0, 5, 0, 0], [0, 0, 0, 0]])
    calibration = Calibration.empty()
    calibration = calibration.add(np.linspace(0.3, 0.99, 19), np.arange(19) % 2 == 0)
    return Evaluation(NAMES, 1, 2, confusion, (Mistake(0, 0, 1, 0.8),), calibration)


def test_classes_figure(evaluation, tmp_path):
    figure = plot_classes(evaluation, "title")
    check_figure(figure, tmp_path)
    (axes,) = figure.axes
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == ["cow (5)", "dog (4)", "cat (10)"]  # lowest recall first; no hen at all
    recall, precision = (container[0].get_xdata() for container in axes.containers)
    np.testing.assert_allclose(recall, [0, 75, 80])
    np.testing.assert_allclose(precision, [np.nan, 30, 100 * 8 / 9])
    (segments,) = axes.containers[0][2]
    expected = binomtest(8, 10).proportion_ci(method="wilson")
    np.testing.assert_allclose(segments.get_segments()[2][:, 0], [100 * e for e in expected])
    assert "95 %" in axes.get_xlabel()
    few = plot_classes(evaluation, most=2).axes[0]
    assert [label.get_text() for label in few.get_yticklabels()] == ["cow (5)", "dog (4)"]
    assert few.get_ylabel().endswith("2 of 3")


def test_reliability_figure(evaluation, tmp_path):
    figure = plot_reliability(evaluation, "title")
    check_figure(figure, tmp_path)
    top, bottom = figure.axes
    x, y = top.containers[0][0].get_data()
    some = evaluation.calibration.pictures > 0
    np.testing.assert_allclose(x, 100 * evaluation.calibration.confidence[some])
    np.testing.assert_allclose(y, 100 * evaluation.calibration.accuracy[some])
    heights = [bar.get_height() for bar in bottom.patches]
    np.testing.assert_array_equal(heights, evaluation.calibration.pictures)
    assert bottom.patches[3].get_x() == pytest.approx(100 * 3 / 15)
    assert top.get_title() == (
        f"Expected calibration error {evaluation.calibration.expected_error:.1%}"
    )


def test_confusion_figure(evaluation, tmp_path):
    figure = plot_confusion(evaluation)
    check_figure(figure, tmp_path)
    shares = np.asarray(figure.axes[0].images[0].get_array())
    np.testing.assert_allclose(shares[:2], [[80, 20, 0, 0], [25, 75, 0, 0]])
    written = {text.get_position(): text.get_text() for text in figure.axes[0].texts}
    assert written == {(0, 0): "8", (1, 0): "2", (0, 1): "1", (1, 1): "3", (1, 2): "5"}
    assert colorbars(figure)[0].get_ylabel() == "% of the label's pictures"


def test_mistakes_figure(evaluation, data, tmp_path):
    figure = plot_mistakes(evaluation, data)
    check_figure(figure, tmp_path)
    assert figure.axes[0].get_title() == "cat, taken for\ndog (80%)"
    first = next(data.decoded("validation").as_numpy_iterator())["image"]
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), first)


def test_curves_figure(tmp_path):
    names = [f"{prefix}{name}" for prefix in ("", "val_") for name in ("loss", "top1", "top5")]
    log = {name: np.array([i, i + 1.0]) / 10 for i, name in enumerate(names)}
    figure = plot_curves(log, "title")
    check_figure(figure, tmp_path)
    left, right = figure.axes
    lines = {line.get_label(): line.get_ydata() for line in (*left.lines, *right.lines)}
    np.testing.assert_allclose(lines["validation"], [0.3, 0.4])
    np.testing.assert_allclose(lines["top-1, validation"], [60, 50])
