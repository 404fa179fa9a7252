import hashlib
import io
import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from alexnet_keras.cli import main
from alexnet_keras.common import DataError
from alexnet_keras.pictures import (
    CHECKSUMS,
    MANIFEST,
    central_square,
    decode_image,
    open_dataset,
    records,
    write_records,
)

SIDE = 72


def jpeg(width, height, **options):
    y, x = np.mgrid[:height, :width]
    waves = np.stack([np.sin(y / 9), np.cos(x / 13), np.sin((x + y) / 19)], axis=-1)
    file = io.BytesIO()
    Image.fromarray((127.5 + 127 * waves).astype("uint8")).save(file, "JPEG", **options)
    return file.getvalue()


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "pictures"
    for name, count in (("a", 7), ("b", 9)):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            picture = jpeg(SIDE if i == 0 else 80 + 9 * i, SIDE if i == 0 else 110 - 5 * i)
            (folder / name / f"{name}{i}.jpg").write_bytes(picture)
    return folder


def content(out):
    return {path.name: path.read_bytes() for path in sorted(out.iterdir())}


def test_prepared_pictures_are_the_central_squares(folder, tmp_path):
    data, out = open_dataset(folder), tmp_path / "out"
    assert write_records(data, out, side=SIDE, pictures_per_shard=5) == 16
    prepared = open_dataset(out)
    assert prepared.class_names == data.class_names and prepared.sizes == data.sizes
    for split in data.sizes:
        originals = {e["id"].decode(): e for e in data.encoded(split).as_numpy_iterator()}
        labels = []
        records = tf.data.TFRecordDataset(
            sorted(str(path) for path in out.glob(f"*-{split}.tfrecord*"))
        )
        for record in records.as_numpy_iterator():
            fields = tf.train.Example.FromString(record).features.feature
            [name] = fields["filename"].bytes_list.value
            [image] = fields["image"].bytes_list.value
            [label] = fields["label"].int64_list.value
            original = originals.pop(name.decode())
            assert label == original["label"]
            square = central_square(decode_image(original["image"]), SIDE)
            assert np.abs(decode_image(image).numpy() - square).mean() < 3
            if name.endswith(b"0.jpg"):  # a square of that side already
                assert image == original["image"]
            labels.append(label)
        assert not originals
        assert labels != sorted(labels) or split == "validation"
        read = [e["label"] for e in prepared.encoded(split).as_numpy_iterator()]
        assert sorted(read) == sorted(labels)


def test_checksums_hold_and_manifest_tells_the_source(folder, tmp_path):
    out = tmp_path / "out"
    write_records(open_dataset(folder), out, side=SIDE, quality=90, pictures_per_shard=4)
    lines = (out / CHECKSUMS).read_text().splitlines()
    assert len(lines) == len(list(out.glob("*tfrecord*"))) == 5
    for line in lines:
        digest, name = line.split("  ")
        assert hashlib.sha256((out / name).read_bytes()).hexdigest() == digest
    manifest = json.loads((out / MANIFEST).read_text())
    assert manifest["source"] == str(folder) and manifest["side"] == SIDE
    assert sum(shard["pictures"] for shard in manifest["shards"].values()) == 16


@pytest.mark.parametrize("whole", [0, 1, 3])
def test_cut_off_preparation_goes_on(whole, folder, tmp_path, monkeypatch):
    data, straight, out = open_dataset(folder), tmp_path / "straight", tmp_path / "out"
    write_records(data, straight, side=SIDE, pictures_per_shard=4)
    write, calls = records._write_records, []

    def cut_off(path, records):
        calls.append(path)
        if len(calls) > whole:
            path.write_bytes(b"half")
            raise KeyboardInterrupt
        write(path, records)

    monkeypatch.setattr(records, "_write_records", cut_off)
    with pytest.raises(KeyboardInterrupt):
        write_records(data, out, side=SIDE, pictures_per_shard=4)
    monkeypatch.setattr(records, "_write_records", write)
    assert len(list(out.glob("*tfrecord*"))) == whole
    with pytest.raises(DataError, match="must be complete.*`write_records` was cut off"):
        open_dataset(out)
    assert write_records(data, out, side=SIDE, pictures_per_shard=4) == 16 - 4 * whole
    assert content(out) == content(straight)
    assert write_records(data, out, side=SIDE, pictures_per_shard=4) == 0
    assert content(out) == content(straight)


def test_damaged_shard_is_written_again(folder, tmp_path):
    data, out = open_dataset(folder), tmp_path / "out"
    write_records(data, out, side=SIDE, pictures_per_shard=4)
    before = content(out)
    name = "prepared-train.tfrecord-00001-of-00004"
    (out / name).write_bytes(before[name][:-1])
    assert write_records(data, out, side=SIDE, pictures_per_shard=4) == 4
    assert content(out) == before


def test_other_folders_are_refused_and_left_alone(folder, tmp_path):
    data = open_dataset(folder)
    with pytest.raises(FileExistsError, match="holds something else"):
        write_records(data, folder, side=SIDE)
    out = tmp_path / "out"
    write_records(data, out, side=SIDE)
    before = content(out)
    with pytest.raises(FileExistsError, match="with another side, quality"):
        write_records(data, out, side=64, quality=50)
    (folder / "a" / "new.jpg").write_bytes(jpeg(90, 90))
    with pytest.raises(FileExistsError, match="with another fingerprint, sizes"):
        write_records(open_dataset(folder), out, side=SIDE)
    assert content(out) == before


@pytest.mark.parametrize(
    "arguments", [{"side": 0}, {"quality": 101}, {"quality": 9.5}, {"pictures_per_shard": 0}]
)
def test_bad_numbers(arguments, folder, tmp_path):
    [(name, value)] = arguments.items()
    with pytest.raises(ValueError, match=f"`{name}` must be an integer .*: {name}={value}"):
        write_records(open_dataset(folder), tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()


def test_command_line(folder, tmp_path, capsys):
    (folder / "a" / "bad.jpg").write_bytes(b"x")
    out = tmp_path / "out"
    arguments = ["prepare", "--data", str(folder), "--side", "80", "--out", str(out)]
    assert main(arguments) == 1
    assert "bad.jpg" in capsys.readouterr().err
    assert main([*arguments[:-1], str(tmp_path / "good"), "--skip-bad"]) == 0
    said = capsys.readouterr().out
    assert "Written: 16 of 16 pictures" in said and "bad.jpg" in said
    run = ["--image-size", "64", "--width", "0.1", "--epochs", "1", "--batch-size", "8"]
    run += ["--out", str(tmp_path / "run")]
    assert main(["train", "--data", str(tmp_path / "good"), *run]) == 0
    assert main(["evaluate", str(tmp_path / "run")]) == 0
