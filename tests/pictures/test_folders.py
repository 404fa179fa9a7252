import os
from pathlib import Path

import pytest

from alexnet_keras.common import DataError
from alexnet_keras.pictures import open_dataset
from tests.pictures.conftest import ids


def test_class_folders_are_split_without_overlap(make_folder):
    folder = make_folder(counts={"b": 10, "a": 20, "c": 2})
    data = open_dataset(folder)
    assert data.class_names == ("a", "b", "c")
    assert data.sizes == {"train": 16 + 8 + 1, "validation": 4 + 2 + 1}
    train, validation = (set(ids(data.encoded(split))) for split in data.sizes)
    assert not train & validation
    assert len(train | validation) == 32
    assert set(ids(open_dataset(folder).encoded("train"))) == train
    half = open_dataset(folder, validation_fraction=0.5)
    assert half.sizes == {"train": 16, "validation": 16}


@pytest.mark.parametrize("held_out", ["val", "valid", "validation", "test"])
def test_train_and_validation_folders(make_folder, tmp_path, held_out):
    make_folder(name="set/train", counts={"cat": 4, "dog": 5})
    make_folder(name=f"set/{held_out}", counts={"dog": 2})
    data = open_dataset(tmp_path / "set")
    assert data.sizes == {"train": 9, "validation": 2}
    labels = [example["label"] for example in data.encoded("validation").as_numpy_iterator()]
    assert labels == [1, 1]


def test_class_only_in_validation(make_folder, tmp_path):
    make_folder(name="set/train", counts={"cat": 4, "dog": 5})
    make_folder(name="set/val", counts={"cow": 2, "dog": 2})
    with pytest.raises(DataError, match=r"in .*train too. Received: cow only in val"):
        open_dataset(tmp_path / "set")


def test_train_folder_without_a_partner(make_folder, tmp_path):
    make_folder(name="set/train", counts={"cat": 4, "dog": 5})
    make_folder(name="set/held_out", counts={"cat": 4, "dog": 5})
    with pytest.raises(DataError, match=r"one of val/, valid/, validation/, test/ too"):
        open_dataset(tmp_path / "set")


def test_empty_validation_folder(make_folder, tmp_path):
    make_folder(name="set/train", counts={"cat": 4, "dog": 5})
    (tmp_path / "set" / "val").mkdir()
    with pytest.raises(DataError, match=r"val must hold a folder of pictures a class"):
        open_dataset(tmp_path / "set")


def test_names_that_are_not_utf8(make_folder):
    folder = make_folder()
    odd = os.fsdecode(b"caf\xe9.jpg")
    try:
        (folder / "red" / "0.jpg").rename(folder / "red" / odd)
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    data = open_dataset(folder)
    for split in data.sizes:
        data.require_decodable(split)
    (folder / "red" / odd).write_bytes(b"x")
    assert [Path(p).name for p in open_dataset(folder, skip_bad=True).skipped] == [odd]


def test_empty_class_folder(make_folder):
    folder = make_folder()
    (folder / "green").mkdir()
    with pytest.raises(DataError, match=r"at least one .*Received: .*green"):
        open_dataset(folder)


def test_one_class_only(make_folder):
    with pytest.raises(DataError, match=r"at least two class folders.*Received: .* with 1"):
        open_dataset(make_folder(counts={"red": 5}))


def test_one_picture_in_a_class(make_folder):
    with pytest.raises(DataError, match=r"at least two pictures.*red with 1"):
        open_dataset(make_folder(counts={"blue": 3, "red": 1}))


@pytest.mark.parametrize("name", ["/no/such/folder", "./nothing"])
def test_folder_that_is_not_there(name):
    with pytest.raises(DataError, match=f"must be a folder that exists. Received: {name}"):
        open_dataset(name)


def test_hidden_files_are_no_pictures(make_folder):
    folder = make_folder(name="été d'hiver", counts={"a b": 5, "ß": 5})
    (folder / "a b" / "._0.jpg").write_bytes(b"what macOS leaves on other disks")
    (folder / "a b" / ".ipynb_checkpoints").mkdir()
    (folder / "a b" / ".ipynb_checkpoints" / "1.jpg").write_bytes(b"a copy")
    data = open_dataset(f"{folder}/")
    assert data.class_names == ("a b", "ß")
    assert sum(data.sizes.values()) == 10
    for split in data.sizes:
        data.require_decodable(split)


@pytest.fixture
def folder_with_bad(make_folder):
    folder = make_folder(counts={"blue": 6, "red": 8})
    whole = (folder / "red" / "0.jpg").read_bytes()
    (folder / "red" / "0.jpg").write_bytes(whole[: len(whole) // 2])  # truncated
    (folder / "blue" / "no_image.png").write_text("not a picture")
    (folder / "blue" / "empty.gif").write_bytes(b"")
    return folder


def test_bad_files_are_named(folder_with_bad):
    data = open_dataset(folder_with_bad)
    with pytest.raises(DataError, match="cannot .`skip_bad=True` leaves them out.") as error:
        for split in data.sizes:
            data.require_decodable(split)
    assert any(name in str(error.value) for name in ("0.jpg", "no_image.png", "empty.gif"))


def test_bad_files_are_skipped_and_listed(folder_with_bad):
    data = open_dataset(folder_with_bad, skip_bad=True)
    assert sorted(path.rsplit("/", 1)[1] for path in data.skipped) == [
        "0.jpg",
        "empty.gif",
        "no_image.png",
    ]
    assert sum(data.sizes.values()) == 13
    for split in data.sizes:
        data.require_decodable(split)


def test_no_good_picture_in_a_class(make_folder):
    folder = make_folder()
    for path in (folder / "red").iterdir():
        path.write_bytes(b"")
    with pytest.raises(DataError, match="train split .*'red'.*Received: none"):
        open_dataset(folder, skip_bad=True)
