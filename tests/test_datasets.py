import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from alexnet_keras.common import DataError
from alexnet_keras.pictures import decode_image, open_dataset


def ids(dataset):
    return [example["id"] for example in dataset.as_numpy_iterator()]


def encode(tmp_path, name, image, **options):
    path = tmp_path / name
    image.save(path, **options)
    return tf.constant(path.read_bytes())


def test_embedded():
    data = open_dataset()
    assert len(data.class_names) == 10
    for split, size in data.sizes.items():
        examples = list(data.decoded(split).as_numpy_iterator())
        assert len(examples) == size
        assert {example["label"] for example in examples} == set(range(10))
        assert all(example["image"].ndim == 3 for example in examples)
    assert len(set(ids(data.encoded("train")))) == data.sizes["train"]


def test_unknown_split():
    with pytest.raises(DataError, match=r"one of \('train', 'validation'\). Received: 'test'"):
        open_dataset().encoded("test")


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


def test_class_shares(make_folder):
    shares = open_dataset(make_folder(counts={"a": 10, "b": 20})).class_shares("train")
    np.testing.assert_allclose(shares, [8 / 24, 16 / 24])
    embedded = open_dataset()
    labels = [e["label"] for e in embedded.encoded("train").as_numpy_iterator()]
    expected = np.bincount(labels) / len(labels)
    np.testing.assert_allclose(embedded.class_shares("train"), expected)


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


def test_unknown_name():
    with pytest.raises(DataError, match="'openclipart', a folder .*Received: 'no_such_set'"):
        open_dataset("no_such_set")


def test_data_dir_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="`data_dir` must be a folder that exists"):
        open_dataset("cifar10", data_dir=tmp_path / "nothing")


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


def test_shuffled_is_a_permutation_that_follows_from_the_seed(make_folder):
    for data in (open_dataset(make_folder(counts={"a": 30, "b": 30})), open_dataset()):
        order = ids(data.shuffled("train", [1, 2]))
        assert sorted(order) == sorted(ids(data.encoded("train")))
        assert order != ids(data.encoded("train"))
        assert order == ids(data.shuffled("train", [1, 2]))
        assert order != ids(data.shuffled("train", [1, 3]))


def test_tfds_set_without_a_held_out_split(tmp_path):
    """A set like tf_flowers, prepared here; and one without labels."""
    import tensorflow_datasets as tfds

    def prepare(set_name, features):
        class Pictures(tfds.core.GeneratorBasedBuilder):
            name = set_name
            VERSION = tfds.core.Version("1.0.0")

            def _info(self):
                return tfds.core.DatasetInfo(
                    builder=self, features=tfds.features.FeaturesDict(features)
                )

            def _split_generators(self, dl_manager):
                return {"train": self._generate_examples()}

            def _generate_examples(self):
                for i in range(20):
                    image = np.full((5, 6, 3), i, "uint8")
                    example = {"image": image, "label": "ab"[i % 2]}
                    yield i, {key: example[key] for key in features}

        Pictures(data_dir=tmp_path).download_and_prepare()

    features = {
        "image": tfds.features.Image(shape=(None, None, 3)),
        "label": tfds.features.ClassLabel(names=["a", "b"]),
    }
    prepare("twenty_pictures", features)
    data = open_dataset("twenty_pictures", tmp_path)
    assert data.sizes == {"train": 16, "validation": 4}
    assert data.class_names == ("a", "b")
    seen = [e["image"][0, 0, 0] for s in data.sizes for e in data.decoded(s).as_numpy_iterator()]
    assert sorted(seen) == list(range(20))
    prepare("no_labels", {"image": features["image"]})
    with pytest.raises(
        DataError, match=r"one class label each. Received: 'no_labels' with .*image"
    ):
        open_dataset("no_labels", tmp_path)


def test_prepared_imagenette():
    folder = Path(__file__).parents[2] / "shared" / "tfds"
    if not folder.is_dir():
        pytest.skip("needs a prepared imagenette/160px-v2 in ../shared/tfds")
    data = open_dataset("imagenette/160px-v2", folder)
    assert data.sizes == {"train": 9469, "validation": 3925}
    assert len(data.class_names) == 10
    example = next(data.decoded("train").as_numpy_iterator())
    assert example["image"].shape == (160, 160, 3)
