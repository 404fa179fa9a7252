"""Training on several machines: here two processes of one machine that speak over its loopback."""

import dataclasses
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from alexnet_keras.cli import main
from alexnet_keras.configuration import TrainingConfig
from alexnet_keras.training import CHECKPOINT
from tests.conftest import without_times

pytestmark = [
    pytest.mark.slow,
    # Several machines on JAX do not train at present: the data of one ends early.
    pytest.mark.xfail(reason="the feed on several machines", run=False),
]

STEPS = 5  # an epoch: batches of 8, the last of 5, which has no equal halves


@pytest.fixture(scope="module")
def folder(tmp_path_factory, write_pictures):
    """37 pictures to train on, and 9 to validate with."""
    counts = {"blue": 15, "green": 15, "red": 16}
    return write_pictures(tmp_path_factory.mktemp("data"), counts, noise=200, color=50)


PICTURES = 37
EPOCHS = 2


@pytest.fixture(scope="module")
def config(folder):
    """With augmentation, which is the same on any number of machines, and a falling rate."""
    return TrainingConfig(
        data=str(folder), image_size=64, width=0.05, batch_size=8, epochs=EPOCHS, patience=1
    )


@pytest.fixture(scope="module", autouse=True)
def compiled_once(tmp_path_factory):
    """What XLA has compiled is kept for the processes that come after."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path_factory.mktemp("compiled")))
        patch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
        yield


def free_port(first=0):
    """A free port, of those from `first`; from 0 for any."""
    for port in range(first, 1 << 16):
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
            return s.getsockname()[1]


def start(action, arguments, kill=0, **environment):
    """A process that is one machine."""
    pytest.importorskip("jax", minversion="0.7")
    arguments = {"checkpoint_steps": 2, "verbose": 0, **arguments}
    arguments["out"] = str(arguments["out"])
    command = [sys.executable, Path(__file__).with_name("machine.py"), action]
    return subprocess.Popen(
        [*command, json.dumps(arguments), str(kill)],
        env={**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def start_two(config, out, kill=0, **changes_of_second):
    """The second kills itself after the step `kill`."""
    arguments = {"config": dataclasses.asdict(config), "out": out}
    arguments["hosts"] = [f"127.0.0.1:{free_port()}", "127.0.0.1"]
    first = start("train", {**arguments, "rank": 0})
    arguments["config"] |= changes_of_second
    return first, start("train", {**arguments, "rank": 1}, kill)


def finish(*processes):
    """What the machines saw."""
    outputs = [process.communicate(timeout=200) for process in processes]
    for process, (_, errors) in zip(processes, outputs):
        assert process.returncode == 0, errors
    return [json.loads(output.splitlines()[-1]) for output, _ in outputs]


def read_log(file):
    """The rows but for the times."""
    rows = np.genfromtxt(file, delimiter=",", names=True)
    return np.stack(list(without_times({n: rows[n] for n in rows.dtype.names}).values())).tolist()


def state(folder):
    """All that a checkpoint holds but the times."""
    with np.load(folder / CHECKPOINT) as arrays:
        values = {name: arrays[name] for name in arrays.files}
    about = json.loads(values.pop("about").tobytes())
    del about["seconds"]
    with io.StringIO(about.pop("log")) as log:
        about["log"] = read_log(log)
    return about, values


@pytest.fixture(scope="module")
def runs(config, tmp_path_factory):
    """The folder with the runs of one machine and of two, and what each machine saw."""
    folder = tmp_path_factory.mktemp("runs")
    config = dataclasses.replace(config, dropout=0.0)
    first, second = start_two(config, folder / "two")
    one = start("train", {"config": dataclasses.asdict(config), "out": folder / "one"})
    return folder, *finish(one, first, second)


def test_machines_see_disjoint_shares_and_end_with_equal_weights(runs):
    _, one, first, second = runs
    assert first["weights"] == second["weights"]
    assert first["losses"] == second["losses"]
    assert first["best"] == second["best"]  # of the best epoch, on each
    assert (one["wrote"], first["wrote"], second["wrote"]) == (True, True, False)
    batches = list(zip(one["shares"], first["shares"], second["shares"], strict=True))
    assert len(batches) == EPOCHS * STEPS
    for whole, share, other in batches:
        assert len(set(whole)) == len(whole)
        np.testing.assert_array_equal(share + other, whole)
        assert (len(share), len(other)) == ((4, 4) if len(whole) == 8 else (3, 2))


def test_two_machines_equal_one(runs):
    folder, one, first, _ = runs
    assert len(one["losses"]) == EPOCHS * STEPS and np.ptp(one["losses"]) > 0.01
    np.testing.assert_allclose(first["losses"], one["losses"], rtol=0, atol=1e-5)
    (_, values), (_, values_of_one) = state(folder / "two"), state(folder / "one")
    assert values.keys() == values_of_one.keys()
    for name in values:
        if values[name].ndim:  # Keras's own mean of the loss, a number, counts what fills a batch
            np.testing.assert_allclose(values[name], values_of_one[name], rtol=0, atol=1e-4)
    logs = [read_log(folder / x / "log.csv") for x in ("two", "one")]
    assert np.isfinite(logs).all()
    np.testing.assert_allclose(*logs, rtol=0, atol=1e-4)
    names = [sorted(path.name for path in (folder / x).iterdir()) for x in ("two", "one")]
    assert names[0] == names[1]


def test_lost_machine_ends_the_others_and_the_run_goes_on(config, tmp_path):
    """It goes on as Slurm starts it. With dropout: its draws go on, too."""
    out = tmp_path / "run"
    straight = start_two(config, tmp_path / "straight")
    first, second = start_two(config, out, kill=STEPS + 3)
    assert second.wait(timeout=200) == -signal.SIGKILL
    lost = time.monotonic()
    _, errors = first.communicate(timeout=60)
    assert time.monotonic() - lost < 60
    assert first.returncode == 1
    assert "All machines must stay to the end; start all of them again with `resume`" in errors
    about, _ = state(out)
    assert (about["epoch"], about["step"]) == (1, 2)

    slurm = {"SLURM_STEP_NODELIST": "127.0.0.1", "SLURM_NTASKS": "2"}
    slurm["SLURM_JOB_ID"] = str(free_port((1 << 16) - (1 << 12)))  # JAX takes that port
    again = [
        start(
            "resume",
            {"out": out, "strategy": "machines"},
            **{**slurm, "SLURM_PROCID": rank, "SLURM_LOCALID": rank},
        )
        for rank in "01"
    ]
    finish(*straight, *again)
    about, values = state(out)
    about_straight, values_straight = state(tmp_path / "straight")
    assert about == about_straight
    for name in values_straight:
        np.testing.assert_array_equal(values[name], values_straight[name])


def test_signal_to_all_leaves_a_checkpoint(config, tmp_path):
    processes = start_two(config, tmp_path / "run")
    assert "a step\n" in iter(processes[0].stdout.readline, "")
    for process in processes:
        process.terminate()
    (_, errors), (_, errors_of_other) = [process.communicate(timeout=60) for process in processes]
    assert "stopped by SIGTERM; `resume(" in errors
    about, _ = state(tmp_path / "run")
    assert 0 < about["epoch"] * STEPS + about["step"] < EPOCHS * STEPS
    # JAX's watch may be quicker: the first machine is the one that the others speak to.
    assert processes[0].returncode and processes[1].returncode
    assert "with `resume`" in errors_of_other or "another task died" in errors_of_other


def test_machines_with_different_configurations_are_refused(config, tmp_path):
    first, second = start_two(config, tmp_path / "run", seed=1)
    _, errors = first.communicate(timeout=200)
    assert first.returncode == 1
    assert "Received: others on the machines of rank 1 than on that of rank 0" in errors
    second.communicate(timeout=60)
    assert second.returncode  # with that message, or that of JAX's watch, if it is quicker
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "options, message",
    [
        (["--hosts", "a:1,b", "--rank", "0"], "JAX backend (KERAS_BACKEND=jax)."),
        (["--strategy", "machines"], "JAX backend (KERAS_BACKEND=jax)."),
        (
            ["--hosts", "a:1,b", "--rank", "0", "--replicas", "2"],
            "and `replicas` (--replicas) be left out",
        ),
        (
            ["--hosts", "a:1,b", "--rank", "0", "--strategy", "none"],
            "`strategy` (--strategy) must be 'machines'",
        ),
        (["--rank", "0"], "`rank` (--rank) must come with `hosts` (--hosts)"),
    ],
)
def test_command_line_says_what_is_wrong(options, message, folder, tmp_path, capsys):
    out = tmp_path / "run"
    assert main(["train", "--data", str(folder), "--out", str(out), *options]) == 1
    error = capsys.readouterr().err
    assert message in error and len(error.splitlines()) == 1
    assert not out.exists()
