import numpy as np

from alexnet_keras.course import plot_components


def test_arrows_and_strips():
    images = np.full((4, 8, 8, 3), 100.0)
    components = np.array([[-1, 0, 0], [0, 1, 0], [0, 0, 1]], "float32")
    left, right = plot_components(images, components, np.array([30.0, 20, 10])).axes
    ends = [tuple(text.xy) for text in left.texts if text.get_text() == ""]
    assert ends == [(160, 100), (100, 140), (100, 100)]  # in red and green; the third is blue
    strips = 255 * right.images[0].get_array()
    np.testing.assert_allclose(strips[0, [0, 20, 40], 0], [40, 100, 160])
    np.testing.assert_allclose(strips[2, [0, -1]], [[100, 100, 80], [100, 100, 120]])
