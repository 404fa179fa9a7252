import sys

import keras
import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from alexnet_keras.common import DataError
from alexnet_keras.inspection import (
    Neighbors,
    dead_units,
    embedding,
    features,
    nearest_neighbors,
    plot_dead_units,
    plot_embedding,
    plot_neighbors,
)
from tests.conftest import check_figure
from tests.inspection.conftest import (
    NAMES,
    SIZE,
    STATISTICS,
    generated,
    inputs_of,
    small,
    values_of,
)

pytestmark = [pytest.mark.portable, pytest.mark.usefixtures("no_gradients")]


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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(NAMES)[:4]
    for label, points in enumerate(axes.collections):
        np.testing.assert_allclose(points.get_offsets(), plane.points[labels == label])


@pytest.mark.slow
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
