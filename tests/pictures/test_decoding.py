import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from alexnet_keras.pictures import decode_image


def encode(tmp_path, name, image, **options):
    path = tmp_path / name
    image.save(path, **options)
    return tf.constant(path.read_bytes())


GRADIENT = np.linspace(0, 255, 40 * 30 * 3).reshape(40, 30, 3).astype("uint8")


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "gif"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_decoding_of_formats(tmp_path, suffix, mode):
    image = Image.fromarray(GRADIENT).convert(mode)
    decoded = decode_image(encode(tmp_path, f"x.{suffix}", image)).numpy()
    assert decoded.dtype == np.uint8
    expected = np.asarray(image.convert("RGB"), "int")
    tolerance = {"jpg": 8, "gif": 30}.get(suffix, 0)  # GIF has 256 colours
    assert np.abs(decoded - expected).max() <= tolerance


def test_decoding_of_cmyk(tmp_path):
    image = Image.fromarray(GRADIENT).convert("CMYK")
    decoded = decode_image(encode(tmp_path, "x.jpg", image, quality=95)).numpy()
    assert np.abs(decoded.astype(int) - np.asarray(image.convert("RGB"), "int")).mean() < 4


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_laid_on_white(tmp_path, mode):
    rgba = np.dstack([GRADIENT, np.full((40, 30), 255, "uint8")])
    rgba[:20, :, 3] = 0
    image = Image.fromarray(rgba).convert(mode)
    options = {"transparency": image.getpixel((0, 0))} if mode == "P" else {}
    if mode == "P":
        image.paste(image.getpixel((0, 0)), (0, 0, 30, 20))
    decoded = decode_image(encode(tmp_path, "x.png", image, **options)).numpy()
    assert decoded.shape == (40, 30, 3)
    assert (decoded[:20] == 255).all()
    assert (decoded[20:] < 255).any()


def test_transparency_of_gif_is_laid_on_white(tmp_path):
    rgba = np.dstack([GRADIENT, np.full((40, 30), 255, "uint8")])
    rgba[:20, :, 3] = 0
    decoded = decode_image(encode(tmp_path, "x.gif", Image.fromarray(rgba))).numpy()
    assert (decoded[:20] == 255).all()
    assert np.abs(decoded[20:].astype(int) - GRADIENT[20:]).mean() < 15


@pytest.mark.parametrize("mode", ["P", "1", "L"])
def test_bmp_with_a_palette(tmp_path, mode):
    image = Image.fromarray(GRADIENT).convert(mode)
    decoded = decode_image(encode(tmp_path, "x.bmp", image)).numpy()
    np.testing.assert_array_equal(decoded, np.asarray(image.convert("RGB")))


def test_bmp_of_32_bits_as_windows_writes_it(tmp_path):
    """Its fourth byte is reserved and zero: not an alpha channel."""
    rgba = np.dstack([GRADIENT, np.zeros((40, 30), "uint8")])
    decoded = decode_image(encode(tmp_path, "x.bmp", Image.fromarray(rgba))).numpy()
    np.testing.assert_array_equal(decoded, GRADIENT)


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "gif"])
@pytest.mark.parametrize("share", [0.3, 0.8])
def test_truncated_files_are_refused(tmp_path, suffix, share):
    whole = encode(tmp_path, f"x.{suffix}", Image.fromarray(GRADIENT)).numpy()
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode_image(tf.constant(whole[: int(share * len(whole))]))


def test_first_picture_of_an_animation(tmp_path):
    frames = [Image.new("RGB", (8, 9), color) for color in ("red", "blue")]
    encoded = encode(tmp_path, "x.gif", frames[0], save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(decode_image(encoded)[0, 0], [255, 0, 0])
