import matplotlib.pyplot as plt

from alexnet_keras.course.figures import new_figure


def test_pyplot_does_not_keep_it():
    before = plt.get_fignums()
    figure = new_figure(figsize=(3, 2), dpi=50)
    assert plt.get_fignums() == before
    assert (figure.get_dpi(), figure.get_size_inches().tolist()) == (50, [3, 2])
