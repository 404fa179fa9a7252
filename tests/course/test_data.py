import urllib.error
import urllib.request

import pytest
import tensorflow_datasets as tfds

from alexnet_keras.course import class_names, photographs


@pytest.fixture
def nothing_prepared(monkeypatch, tmp_path):
    """As on a machine on which the photographs were never read."""
    monkeypatch.delenv("ALEXNET_KERAS_DATA", raising=False)
    builder = tfds.builder("imagenette/160px-v2", data_dir=tmp_path)
    monkeypatch.setattr(tfds, "builder", lambda name: builder)
    return builder


def first_of(name, data_dir):
    dataset, info = tfds.load(
        name, data_dir=data_dir, split="train", as_supervised=True, with_info=True
    )
    image, label = next(iter(dataset))
    return image, class_names(info)[label]


def test_drawings_when_told(monkeypatch, capsys):
    monkeypatch.setenv("ALEXNET_KERAS_DATA", "openclipart")
    image, name = first_of(*photographs())
    assert image.shape[-1] == 3 and name in ("animals", "flags", "food", "people", "signs", "tools")
    assert capsys.readouterr().out == "Data: openclipart, drawings in ten classes.\n"


def test_drawings_without_a_network(nothing_prepared, monkeypatch, capsys):
    def refuse(request, timeout):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    assert photographs()[0] == "openclipart"
    sentence = "since imagenette/160px-v2 cannot be downloaded here (no network)."
    assert sentence in capsys.readouterr().out


def test_photographs_where_they_are_prepared(nothing_prepared, capsys):
    nothing_prepared.data_path.mkdir(parents=True)
    assert photographs() == ("imagenette/160px-v2", None)
    assert capsys.readouterr().out == "Data: imagenette/160px-v2, photographs in ten classes.\n"


def test_another_set_is_refused(monkeypatch):
    monkeypatch.setenv("ALEXNET_KERAS_DATA", "mnist")
    with pytest.raises(ValueError, match="ALEXNET_KERAS_DATA.*Received.*mnist"):
        photographs()


def test_names_of_photographs():
    names = class_names(tfds.builder("imagenette/160px-v2").info)
    assert len(names) == 10 and names[-1] == "parachute" and not any(n[1:].isdigit() for n in names)
