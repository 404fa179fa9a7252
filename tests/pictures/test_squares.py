import numpy as np
import pytest
import tensorflow as tf

from alexnet_keras.common import DataError
from alexnet_keras.pictures import (
    Share,
    Squares,
    byte_batches,
    byte_square,
    central_square,
    color_statistics,
    decode_image,
    open_dataset,
    squares,
    training_batches,
    training_squares,
)

SIZE, SIDE = 64, 72


@pytest.fixture(params=[(80, 90), (SIDE, SIDE)], ids=["scaled", "as it is"])
def data(request, make_folder):
    return open_dataset(make_folder(counts={"blue": 12, "red": 15}, size=request.param))


def test_square_is_the_central_square_rounded(data):
    for example in data.encoded("validation").as_numpy_iterator():
        exact = central_square(decode_image(example["image"]), SIDE).numpy()
        square = byte_square(example["image"], SIDE).numpy()
        assert square.dtype == "uint8"
        np.testing.assert_array_equal(square, np.round(exact))


def test_squares_in_memory_give_the_same_batches(data):
    """Pictures, colours, labels and weights, from the middle of an epoch into the next."""
    statistics = color_statistics(data, SIZE)
    options = {"image_size": SIZE, "batch_size": 8, "seed": 3, "first_step": 1}
    decoded_each_time = Squares(data, "train", SIDE)
    in_memory = training_squares(data, SIZE)
    assert in_memory.images.dtype == "uint8" and in_memory.nbytes == in_memory.images.numpy().nbytes
    for share in (None, Share(2)):
        streams = [
            byte_batches(x, statistics, share=share, **options).take(6).as_numpy_iterator()
            for x in (decoded_each_time, in_memory)
        ]
        for batches in zip(*streams, strict=True):
            for one, other in zip(*map(tf.nest.flatten, batches), strict=True):
                np.testing.assert_array_equal(one, other)


def test_bytes_with_their_colours_are_the_batches_of_floats(data):
    statistics = color_statistics(data, SIZE)
    options = {"image_size": SIZE, "batch_size": 8, "seed": 3}
    floats = training_batches(data, statistics, **options).take(4)
    of_bytes = byte_batches(training_squares(data, SIZE), statistics, **options).take(4)
    for (x, labels), ((images, offsets), same) in zip(
        floats.as_numpy_iterator(), of_bytes.as_numpy_iterator(), strict=True
    ):
        expected = images.astype("float64") + offsets[:, None, None] - statistics.mean
        np.testing.assert_allclose(x, expected, rtol=0, atol=1e-4)
        np.testing.assert_array_equal(labels, same)


def test_too_many_squares_are_not_kept(data, monkeypatch):
    needed = data.sizes["train"] * SIDE * SIDE * 3
    monkeypatch.setattr(squares, "MOST_BYTES", needed)
    assert training_squares(data, SIZE).images is not None
    monkeypatch.setattr(squares, "MOST_BYTES", needed - 1)
    assert training_squares(data, SIZE).images is None
    monkeypatch.setattr(squares, "MOST_BYTES", 1 << 60)
    sizes = {"SC_PAGE_SIZE": 1, "SC_PHYS_PAGES": 4 * needed - 1}  # a quarter is too little
    monkeypatch.setattr(squares.os, "sysconf", sizes.get)
    assert training_squares(data, SIZE).images is None


def test_bad_picture_is_named(make_folder):
    folder = make_folder()
    data = open_dataset(folder)
    for path in folder.glob("*/*.jpg"):
        path.write_bytes(b"no picture")
    with pytest.raises(DataError, match="must be a JPEG.*Received: .*cannot"):
        training_squares(data, SIZE)
