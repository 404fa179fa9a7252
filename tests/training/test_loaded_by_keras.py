"""What `train` wrote is loaded as any model is: no `custom_objects`, and compiled as it was."""

import dataclasses
import json
import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from alexnet_keras.common import packaged_path
from alexnet_keras.pictures import evaluation_batches
from alexnet_keras.training import train

pytestmark = pytest.mark.slow

SCRIPT = """
import json, sys, warnings
{imports}
import numpy as np

_, backend, best, arrays, *others = sys.argv
assert keras.backend.backend() == backend
warnings.simplefilter("error")  # the state of an optimizer that does not fit is skipped with one
model = keras.saving.load_model(best)
others = [keras.saving.load_model(path) for path in others]
warnings.resetwarnings()

arrays = np.load(arrays)
result = {{
    "others": [other.output_shape for other in others],
    "rate_factors": model.optimizer.rate_factors,
    "steps": int(model.optimizer.iterations),
    "metrics": model.evaluate(**arrays, verbose=0, return_dict=True),
}}
before = model.get_weights()
model.fit(**arrays, verbose=0)
changed = [bool((a != b).any()) for a, b in zip(before, model.get_weights())]
print(json.dumps({{**result, "changed": changed}}))
"""


@pytest.fixture(scope="module")
def fine_tuned(run, tmp_path_factory):
    """A run in which all layers but the last keep what they were given: their rate is zero."""
    changes = {"epochs": 1, "from_weights": str(run.folder), "transfer_rate": 0.0}
    out = tmp_path_factory.mktemp("runs") / "fine-tuned"
    return train(dataclasses.replace(run.config, **changes), out, verbose=0)


@pytest.mark.parametrize(
    "backend, imports",
    [
        ("tensorflow", "import keras, alexnet_keras"),
        ("jax", "import alexnet_keras, keras"),
        ("torch", "from alexnet_keras.alexnet import AlexNet; import keras"),
    ],
)
def test_it_goes_on_in_a_new_process(fine_tuned, backend, imports, tmp_path):
    pytest.importorskip(backend)
    data = fine_tuned.open_dataset()
    batches = evaluation_batches(
        data, "validation", fine_tuned.statistics, image_size=64, batch_size=99
    )
    [(images, labels)] = batches.as_numpy_iterator()
    np.savez(
        tmp_path / "arrays.npz",
        x=np.concatenate([images, 9 * images]),
        y=np.tile(labels, 2),
        sample_weight=np.repeat([1.0, 0.0], len(labels)),  # the second half only fills a batch
    )
    script = tmp_path / "alexnet-keras.py"  # the command's name
    script.write_text(SCRIPT.format(imports=imports))
    # That of the package on one backend: to make a network takes JAX long.
    others = [packaged_path("data/trained/openclipart")] if backend == "tensorflow" else []
    done = subprocess.run(
        [
            *(sys.executable, script, backend, fine_tuned.folder / "best.keras"),
            *(tmp_path / "arrays.npz", *(folder / "best.keras" for folder in others)),
        ],
        capture_output=True,
        text=True,
        env={**os.environ, "KERAS_BACKEND": backend},
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["others"] == [[None, 10]] * len(others)
    layers = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7")
    assert result["rate_factors"] == dict.fromkeys(layers, 0.0)
    assert result["steps"] == -(-data.sizes["train"] // fine_tuned.config.batch_size)
    log = {name[4:]: float(x[-1]) for name, x in fine_tuned.log().items() if name[:4] == "val_"}
    assert result["metrics"] == pytest.approx(log, rel=1e-4)
    assert result["changed"] == [False] * 14 + [True] * 2


def test_it_names_registered_classes_only(fine_tuned):
    with zipfile.ZipFile(fine_tuned.folder / "best.keras") as archive:
        config = json.loads(archive.read("config.json"))

    def objects(x):
        if isinstance(x, dict):
            if "class_name" in x and "module" in x:
                yield x
            x = list(x.values())
        if isinstance(x, list):
            for inner in x:
                yield from objects(inner)

    ours = {x["registered_name"] for x in objects(config) if not x["module"].startswith("keras")}
    names = {"GroupedConv2D", "LocalResponseNormalization", "MomentumSGD", "Loss", "Top1", "Top5"}
    assert ours == {f"alexnet_keras>{name}" for name in names}
