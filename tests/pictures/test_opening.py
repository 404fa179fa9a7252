import numpy as np
import pytest
import tensorflow_datasets as tfds

from alexnet_keras.common import DataError
from alexnet_keras.pictures import open_dataset
from tests.pictures.conftest import ids


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


def test_class_shares(make_folder):
    shares = open_dataset(make_folder(counts={"a": 10, "b": 20})).class_shares("train")
    np.testing.assert_allclose(shares, [8 / 24, 16 / 24])
    embedded = open_dataset()
    labels = [e["label"] for e in embedded.encoded("train").as_numpy_iterator()]
    expected = np.bincount(labels) / len(labels)
    np.testing.assert_allclose(embedded.class_shares("train"), expected)


def test_sets_of_tensorflow_datasets_can_be_prepared():
    """Each preparation asks this first, and needs a package that theirs does not declare."""
    assert tfds.builder_cls("cifar10").code_path


def test_unknown_name():
    with pytest.raises(DataError, match="'openclipart', a folder .*Received: 'no_such_set'"):
        open_dataset("no_such_set")


def test_data_dir_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="`data_dir` must be a folder that exists"):
        open_dataset("cifar10", data_dir=tmp_path / "nothing")


def test_shuffled_is_a_permutation_that_follows_from_the_seed(make_folder):
    for data in (open_dataset(make_folder(counts={"a": 30, "b": 30})), open_dataset()):
        order = ids(data.shuffled("train", [1, 2]))
        assert sorted(order) == sorted(ids(data.encoded("train")))
        assert order != ids(data.encoded("train"))
        assert order == ids(data.shuffled("train", [1, 2]))
        assert order != ids(data.shuffled("train", [1, 3]))


def test_tfds_set_without_a_held_out_split(tmp_path):
    """A set like tf_flowers, prepared here; and one without labels."""

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
