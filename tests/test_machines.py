"""Training on several machines: here two processes of one machine that speak over its loopback."""

import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from alexnet_keras.__main__ import main
from alexnet_keras.checkpoint import CHECKPOINT
from alexnet_keras.configuration import TrainingConfig
from alexnet_keras.distribution import Share, join_machines

pytest.importorskip("jax", minversion="0.7")
WORKER = Path(__file__).with_name("machine.py")
STEPS = 5  # an epoch: 37 pictures in batches of 8
EPOCHS = 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """37 pictures for training: the last batch of an epoch has no equal halves."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for label, (name, count) in enumerate({"blue": 15, "green": 15, "red": 16}.items()):
        (folder / name).mkdir()
        for i in range(count):
            image = rng.integers(0, 200, (80, 75, 3))
            image[:, :, 2 - label] += 50
            encoded = tf.io.encode_jpeg(image.astype("uint8")).numpy()
            (folder / name / f"{i}.jpg").write_bytes(encoded)
    return folder


@pytest.fixture(scope="module")
def config(folder):
    return TrainingConfig(
        **{"data": str(folder), "image_size": 64, "width": 0.05, "batch_size": 8},
        **{
            "epochs": EPOCHS,
            "dropout": 0.0,
            "crop": False,
            "mirror": False,
            "color_noise": 0.0,
            "patience": 1,
        },
    )


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def start(config, out, machines=2, kill=0, action="train"):
    """One process a machine; the last kills itself after the step `kill`."""
    hosts = [f"127.0.0.1:{free_port()}", *["127.0.0.1"] * (machines - 1)]
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    return [
        subprocess.Popen(
            [sys.executable, WORKER, action, json.dumps(dataclasses.asdict(config)), str(out)]
            + [",".join(hosts) if machines > 1 else "", str(rank)]
            + [str(kill if rank == machines - 1 else 0)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(machines)
    ]


def finish(processes):
    outputs = [process.communicate(timeout=120) for process in processes]
    for process, (_, errors) in zip(processes, outputs):
        assert process.returncode == 0, errors
    return [json.loads(output.splitlines()[-1]) for output, _ in outputs]


def state(folder):
    """All that a checkpoint holds but the time, as bytes."""
    with np.load(folder / CHECKPOINT) as arrays:
        values = {name: arrays[name] for name in arrays.files}
    about = json.loads(values.pop("about").tobytes())
    del about["seconds"]
    return about, values


@pytest.fixture(scope="module")
def two(config, tmp_path_factory):
    """The run of two machines, and what each of them has to say."""
    out = tmp_path_factory.mktemp("runs") / "two"
    return out, finish(start(config, out))


def test_machines_see_disjoint_shares_and_end_with_equal_weights(config, two):
    _, (first, second) = two
    assert first["weights"] == second["weights"]
    assert first["losses"] == second["losses"]
    steps = len(first["shares"])
    assert steps == len(second["shares"]) == EPOCHS * STEPS
    for epoch in range(EPOCHS):
        seen = [
            x
            for machine in (first, second)
            for share in machine["shares"][epoch * STEPS : (epoch + 1) * STEPS]
            for x in share
        ]
        assert len(seen) == len(set(seen)) == 37
        sizes = [
            [len(share) for share in machine["shares"][epoch * STEPS : (epoch + 1) * STEPS]]
            for machine in (first, second)
        ]
        assert sizes == [[4, 4, 4, 4, 3], [4, 4, 4, 4, 2]]


def test_two_machines_equal_one(config, two, tmp_path):
    out, (first, _) = two
    (alone,) = finish(start(config, tmp_path / "one", machines=1))
    assert len(alone["losses"]) == EPOCHS * STEPS and np.ptp(alone["losses"]) > 0.01
    np.testing.assert_allclose(first["losses"], alone["losses"], rtol=0, atol=1e-5)
    _, values = state(out)
    _, values_of_one = state(tmp_path / "one")
    assert values.keys() == values_of_one.keys()
    for name in values:
        np.testing.assert_allclose(values[name], values_of_one[name], rtol=0, atol=1e-4)
    rows, rows_of_one = (
        np.genfromtxt(x / "log.csv", delimiter=",") for x in (out, tmp_path / "one")
    )
    np.testing.assert_allclose(rows, rows_of_one, rtol=0, atol=1e-4)
    assert {path.name for path in out.iterdir()} == {
        path.name for path in (tmp_path / "one").iterdir()
    }


def test_lost_machine_ends_the_others_and_the_run_goes_on(config, two, tmp_path):
    straight, _ = two
    out = tmp_path / "run"
    first, second = start(config, out, kill=STEPS + 3)
    _, errors = first.communicate(timeout=120)
    assert second.wait() == -signal.SIGKILL
    assert first.returncode == 1
    assert "All machines must stay to the end" in errors and "--resume" in errors
    about, _ = state(out)
    assert (about["epoch"], about["step"]) == (1, 2)
    finish(start(config, out, action="resume"))
    about, values = state(out)
    about_straight, values_straight = state(straight)
    assert about == about_straight
    for name in values_straight:
        assert values[name].tobytes() == values_straight[name].tobytes()


def test_signal_to_all_leaves_a_checkpoint(config, tmp_path):
    out = tmp_path / "run"
    processes = start(config, out)
    assert "a step\n" in iter(processes[0].stdout.readline, "")
    for process in processes:
        process.terminate()
    (_, errors), (_, errors_of_other) = [process.communicate(timeout=60) for process in processes]
    assert "stopped by SIGTERM; go on with" in errors
    about, _ = state(out)
    assert 0 < about["epoch"] * STEPS + about["step"] < EPOCHS * STEPS
    # The first machine's end is the loss of the one that the others speak to.
    assert processes[0].returncode and processes[1].returncode
    assert "--resume" in errors_of_other or "another task died" in errors_of_other


@pytest.mark.parametrize(
    "hosts, rank, message",
    [
        (["a:1"], 0, "at least two machines, the first as name:port. Received: 'a:1'"),
        (["a", "b"], 0, "the first as name:port. Received: 'a,b'"),
        (["a:x", "b"], 0, "the first as name:port. Received: 'a:x,b'"),
        (["a:1", ""], 0, "the first as name:port. Received: 'a:1,'"),
        ([], 0, "the first as name:port. Received: ''"),
        (["a:1", "b"], 2, "`rank` must be an integer from 0 to 1.* Received: 2"),
        (["a:1", "b"], -1, "`rank` must be an integer from 0 to 1.* Received: -1"),
        (["a:1", "b"], None, "`rank` must be an integer from 0 to 1.* Received: None"),
        (None, 1, "`rank` must come with `hosts`. Received: rank=1 alone"),
    ],
)
def test_hosts_and_rank_are_checked(hosts, rank, message):
    with pytest.raises(ValueError, match=message):
        join_machines(hosts, rank)


@pytest.mark.parametrize(
    "options, message",
    [
        (["--hosts", "a:1,b", "--rank", "0"], "JAX backend (KERAS_BACKEND=jax)."),
        (["--strategy", "machines"], "JAX backend (KERAS_BACKEND=jax)."),
        (["--hosts", "a:1,b", "--rank", "0", "--replicas", "2"], "`replicas` must be left out"),
        (
            ["--hosts", "a:1,b", "--rank", "0", "--strategy", "none"],
            "come with strategy 'machines'",
        ),
        (["--rank", "0"], "`rank` not without `hosts`"),
        (["--hosts", "a:1,b,c", "--rank", "0", "--batch-size", "2"], "number of machines, 3,"),
    ],
)
def test_command_line_says_what_is_wrong(options, message, folder, tmp_path, capsys):
    out = tmp_path / "run"
    assert main(["train", "--data", str(folder), "--out", str(out), *options]) == 1
    error = capsys.readouterr().err
    assert message in error and len(error.splitlines()) == 1
    assert not out.exists()


@pytest.mark.parametrize("machines, replicas", [(2, 2), (2, 4), (3, 3), (4, 4)])
@pytest.mark.parametrize("size", [1, 5, 8])
def test_shares_make_up_the_batch(size, machines, replicas):
    values = np.random.default_rng(0).normal(size=(size, 2)).astype("float32")
    shares = [
        Share(machines, rank, replicas)(values, {"label": np.arange(size)})
        for rank in range(machines)
    ]
    assert len({len(weights) for _, _, weights in shares}) == 1
    assert len(shares[0][2]) == Share(machines, 0, replicas).rows(size)
    everything = np.concatenate([rows for rows, _, _ in shares])
    labels = np.concatenate([examples["label"] for _, examples, _ in shares])
    weights = np.concatenate([weights for _, _, weights in shares])
    assert len(weights) % replicas == 0 and len(weights) < size + replicas
    np.testing.assert_array_equal(everything[:size], values)
    np.testing.assert_array_equal(labels[:size], np.arange(size))
    assert (weights[size:] == 0).all()
    mean = (everything * weights[:, None]).mean(axis=0)
    np.testing.assert_allclose(mean, values.mean(axis=0), rtol=1e-5, atol=1e-6)
