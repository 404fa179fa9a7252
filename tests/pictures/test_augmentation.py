import dataclasses
import io

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from alexnet_keras.common import DataError
from alexnet_keras.configuration import Augmentation
from alexnet_keras.pictures import (
    IMAGENET_STATISTICS,
    ColorStatistics,
    central_square,
    color_statistics,
    crop_of_square,
    decode_image,
    evaluation_batches,
    open_dataset,
    square_side,
    ten_views,
    training_batches,
)

SIZE = 64
SIDE = 72
NOTHING = Augmentation(crop=False, mirror=False, color_noise=0.0)


@pytest.fixture
def folder(make_folder):
    return make_folder(counts={"blue": 12, "red": 15}, size=(SIDE, SIDE))


@pytest.fixture
def data(folder):
    return open_dataset(folder)


@pytest.fixture
def statistics(data):
    return color_statistics(data, SIZE)


def batches(data, statistics, **options):
    options = {"image_size": SIZE, "batch_size": 8, "seed": 0, **options}
    return training_batches(data, statistics, **options)


def pixels(data, split="train"):
    return np.stack([e["image"] for e in data.decoded(split).as_numpy_iterator()]).astype("float64")


@pytest.mark.parametrize("size, side", [(227, 256), (224, 256), (142, 160), (64, 72), (85, 96)])
def test_square_side_keeps_the_papers_proportion(size, side):
    assert square_side(size) == side


def test_statistics_equal_numpy(data, statistics):
    images = pixels(data)
    flat = images.reshape(-1, 3)
    np.testing.assert_allclose(statistics.mean, flat.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(statistics.mean_image, images.mean(axis=0), rtol=1e-5)
    covariance = np.cov(flat, rowvar=False, bias=True)
    d, c = statistics.deviations.astype("float64"), statistics.components.astype("float64")
    np.testing.assert_allclose(c @ np.diag(d**2) @ c.T, covariance, rtol=1e-3)
    np.testing.assert_allclose(c.T @ c, np.eye(3), atol=1e-6)
    assert d[0] >= d[1] >= d[2]


def test_imagenets_components_are_orthonormal():
    c = IMAGENET_STATISTICS.components
    np.testing.assert_allclose(c.T @ c, np.eye(3), atol=2e-3)


def test_bad_picture_is_named_before_training(folder):
    (folder / "red" / "3.jpg").write_bytes(b"no picture")
    (folder / "red" / "4.jpg").write_bytes(b"no picture")
    data = open_dataset(folder)
    with pytest.raises(DataError, match=r"Received: \d of the 22 training|train pictures .*\.jpg"):
        color_statistics(data, SIZE)
        data.require_decodable("validation")


@pytest.mark.parametrize("height, width", [(72, 72), (100, 150), (150, 100), (30, 50), (300, 200)])
def test_central_square(height, width):
    image = np.zeros((height, width, 3), "uint8")
    image[height // 2 - 2 : height // 2 + 2, width // 2 - 2 : width // 2 + 2] = 255
    square = np.asarray(central_square(image, SIDE))
    assert square.shape == (SIDE, SIDE, 3)
    assert square.min() >= 0 and square.max() <= 255
    rows, columns = np.nonzero(square[..., 0] > square.max() / 2)
    assert abs(rows.mean() - (SIDE - 1) / 2) < 1 and abs(columns.mean() - (SIDE - 1) / 2) < 1


def test_central_square_shrinks_by_the_area():
    image = np.random.default_rng(0).integers(0, 256, (2 * SIDE, 4 * SIDE, 3), "uint8")
    square = image[:, SIDE:-SIDE].astype("float32")
    expected = square.reshape(SIDE, 2, SIDE, 2, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(central_square(image, SIDE), expected, atol=1e-3)


def encoded(height, width, suffix="jpeg", **options):
    """A smooth picture, whose neighbouring pixels differ by little."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(y / 19), np.cos(x / 23), np.sin((x + y) / 29)]
    image = Image.fromarray((127.5 + 127 * np.stack(waves, axis=-1)).astype("uint8"))
    file = io.BytesIO()
    image.convert(options.pop("mode", "RGB")).save(file, suffix, **options)
    return file.getvalue()


@pytest.mark.parametrize("height, width", [(72, 72), (72, 100), (100, 150), (301, 200), (50, 60)])
@pytest.mark.parametrize(
    "options",
    [
        {"quality": 95},
        {"quality": 95, "subsampling": 0, "progressive": True},
        {"quality": 95, "mode": "L"},
        {"quality": 95, "mode": "CMYK"},
        {"suffix": "png"},
    ],
    ids=str,
)
@pytest.mark.parametrize("position", [(0.0, 0.0), (0.5, 0.25), (0.999, 0.999)])
def test_crop_of_square_is_a_crop_of_the_central_square(height, width, options, position):
    picture = encoded(height, width, **options)
    square = central_square(decode_image(picture), SIDE).numpy()
    crop = crop_of_square(picture, SIZE, np.array(position, "float32"))
    top, left = (int(p * (SIDE - SIZE + 1)) for p in position)
    expected = square[top : top + SIZE, left : left + SIZE]
    # A pixel of the file lies between the two at most, and a rounded chroma sample.
    one_pixel = np.abs(np.diff(square, axis=0)).max() + np.abs(np.diff(square, axis=1)).max()
    shrunk = min(height, width) > SIDE
    np.testing.assert_allclose(crop, expected, atol=one_pixel + 4 if shrunk else 1e-3)


def test_nothing_is_the_central_crop_less_the_mean(data, statistics):
    margin = (SIDE - SIZE) // 2
    expected = pixels(data)[:, margin:-margin, margin:-margin] - statistics.mean
    seen = np.concatenate(
        [x for x, _ in batches(data, statistics, augmentation=NOTHING).take(3).as_numpy_iterator()]
    )
    assert len(seen) == data.sizes["train"]  # one epoch: each once
    order = [np.abs(expected - x).mean(axis=(1, 2, 3)).argmin() for x in seen]
    assert sorted(order) == list(range(len(expected)))
    np.testing.assert_allclose(seen, expected[order], atol=1e-3)


def test_mean_image(data, statistics):
    margin = (SIDE - SIZE) // 2
    inner = statistics.mean_image[margin:-margin, margin:-margin]
    by_color, by_image = (
        next(
            evaluation_batches(
                data,
                "validation",
                dataclasses.replace(statistics, subtract=subtract),
                image_size=SIZE,
                batch_size=4,
            ).as_numpy_iterator()
        )[0]
        for subtract in ("color", "image")
    )
    np.testing.assert_allclose(by_color + statistics.mean, by_image + inner, atol=1e-3)
    with pytest.raises(ValueError, match="with a mean image only"):
        dataclasses.replace(IMAGENET_STATISTICS, subtract="image")
    with pytest.raises(ValueError, match="must be 'color' or 'image'. Received: 'none'"):
        dataclasses.replace(statistics, subtract="none")
    with pytest.raises(ValueError, match="mean image must be 256 x 256 for 227-pixel crops"):
        dataclasses.replace(statistics, subtract="image").subtracted(227)


@pytest.mark.parametrize("subtract", ["color", "image"])
def test_statistics_are_kept(subtract, statistics, tmp_path):
    kept = dataclasses.replace(statistics, subtract=subtract)
    kept.save(tmp_path / "statistics.npz")
    again = ColorStatistics.load(tmp_path / "statistics.npz")
    for field in dataclasses.fields(ColorStatistics):
        np.testing.assert_array_equal(getattr(again, field.name), getattr(kept, field.name))
    assert isinstance(again.subtract, str)


def test_crops_and_mirrors_are_parts_of_the_picture(data, statistics):
    """Every view is one of the 9 x 9 crops or its mirror image, and many kinds come up."""
    augmentation = Augmentation(color_noise=0.0)
    images = pixels(data)
    positions, flips = set(), set()
    stream = batches(data, statistics, augmentation=augmentation).take(6)
    for x in np.concatenate([x for x, _ in stream.as_numpy_iterator()]) + statistics.mean:
        candidates = {}
        for flip in (False, True):
            view = x[:, ::-1] if flip else x
            windows = np.lib.stride_tricks.sliding_window_view(images, (SIZE, SIZE), axis=(1, 2))
            first = np.abs(windows[..., 0, ::9, ::9] - view[::9, ::9, 0]).max(axis=(-1, -2))
            candidates[flip] = first.min(), np.unravel_index(first.argmin(), first.shape)
        flip = min(candidates, key=lambda f: candidates[f][0])
        distance, (_, top, left) = candidates[flip]
        assert distance < 1e-2
        positions.add((top, left))
        flips.add(flip)
    assert flips == {False, True}
    assert len(positions) > 15
    assert {p[0] for p in positions} & {0, 1} and {p[0] for p in positions} & {7, 8}


def test_color_noise_has_the_papers_spread(make_folder):
    data = open_dataset(make_folder(counts={"a": 300, "b": 300}, size=(8, 8)))
    statistics = color_statistics(data, SIZE)
    noisy = dataclasses.replace(NOTHING, color_noise=0.1)
    stream = zip(
        batches(data, statistics, augmentation=noisy, batch_size=480).take(4).as_numpy_iterator(),
        batches(data, statistics, augmentation=NOTHING, batch_size=480).take(4).as_numpy_iterator(),
    )
    offsets = []
    for (x, _), (y, _) in stream:
        difference = x - y
        assert np.abs(difference - difference[:, :1, :1]).max() < 1e-3  # one colour an image
        offsets.append(difference[:, 0, 0])
    along = np.concatenate(offsets) @ statistics.components
    np.testing.assert_allclose(along.std(axis=0), 0.1 * statistics.deviations, rtol=0.1)
    assert np.abs(along.mean(axis=0) / statistics.deviations).max() < 0.01
    assert np.abs(np.corrcoef(along.T) - np.eye(3)).max() < 0.1


def arrays(stream, count):
    return [np.concatenate([x.ravel(), y]) for x, y in stream.take(count).as_numpy_iterator()]


def test_same_seed_gives_the_same_batches_on_any_number_of_threads(data, statistics):
    options = tf.data.Options()
    options.threading.private_threadpool_size = 1
    first = arrays(batches(data, statistics), 7)
    tf.random.set_seed(1234)  # the program's own seed must not matter
    one_thread = arrays(batches(data, statistics).with_options(options), 7)
    other = arrays(batches(data, statistics, seed=1), 7)
    for a, b in zip(first, one_thread):
        np.testing.assert_array_equal(a, b)
    assert not any(np.array_equal(a, b) for a, b in zip(first, other))


def test_epochs_differ_and_can_be_started_in_the_middle(data, statistics):
    stream = arrays(batches(data, statistics), 6)
    assert not np.array_equal(stream[0], stream[3])
    for a, b in zip(stream[3:], arrays(batches(data, statistics, first_epoch=1), 3)):
        np.testing.assert_array_equal(a, b)


def test_ten_views_in_the_papers_places():
    image = np.arange(6 * 6 * 3, dtype="float32").reshape(6, 6, 3)
    views = np.asarray(ten_views(image, 4))
    expected = [image[y : y + 4, x : x + 4] for y, x in ((0, 0), (0, 2), (2, 0), (2, 2), (1, 1))]
    np.testing.assert_array_equal(views[:5], expected)
    np.testing.assert_array_equal(views[5:], views[:5, :, ::-1])
    with pytest.raises(ValueError, match="square of at least 7 pixels"):
        ten_views(image, 7)


@pytest.mark.portable
def test_ten_views_of_a_batch_in_tf_data_and_in_a_model():
    images = np.random.default_rng(0).normal(size=(3, 6, 6, 2)).astype("float32")
    expected = np.stack([ten_views(image, 4) for image in images])
    np.testing.assert_array_equal(ten_views(images, 4), expected)
    mapped = tf.data.Dataset.from_tensor_slices(images).map(lambda image: ten_views(image, 4))
    np.testing.assert_array_equal(np.stack([*mapped.as_numpy_iterator()]), expected)
    inputs = keras.Input((6, 6, 2))
    model = keras.Model(inputs, ten_views(inputs, 4))
    np.testing.assert_array_equal(model.predict(images, verbose=0), expected)


def test_wrong_number_of_views(data, statistics):
    with pytest.raises(ValueError, match=r"`views` must be one of \(1, 10\). Received: views=5"):
        evaluation_batches(data, "validation", statistics, image_size=SIZE, batch_size=1, views=5)


def test_bad_augmentation():
    with pytest.raises(ValueError, match="Received: color_noise=-1"):
        Augmentation(color_noise=-1)
