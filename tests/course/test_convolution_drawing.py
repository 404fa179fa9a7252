import numpy as np
import pytest

from alexnet_keras.course import draw_convolution

IMAGE = np.arange(75).reshape(5, 5, 3) % 7
KERNEL = np.arange(27).reshape(3, 3, 3) % 3 - 1


def test_numbers():
    maps = np.full((3, 3), 4)
    figure = draw_convolution(IMAGE, KERNEL, maps, row=1, column=0)
    total = (IMAGE[1:4, 0:3] * KERNEL).sum()
    assert figure.axes[-1].get_title("center").endswith(f"27 products: {total}")
    assert [text.get_text() for text in figure.axes[-1].texts] == ["4"] * 4
    products = [text.get_text() for text in figure.axes[2].texts][:9]
    assert products == [str(n) for n in (IMAGE * 1)[1:4, 0:3, 0].ravel() * KERNEL[..., 0].ravel()]


def test_what_does_not_go_together():
    with pytest.raises(ValueError, match=r"Received: .*\(4, 4\)"):
        draw_convolution(IMAGE, KERNEL, np.zeros((4, 4)), 0, 0)
