"""Results of experiments that take longer than a notebook may."""

import json
from typing import Any

from alexnet_keras.common import packaged_path


def results(name: str) -> list[dict[str, Any]]:
    """The lines of a file of results that comes with the package, one for each run.

    `benchmarks/results/README.md` in the repository says which command made each.

    Args:
        name: of the file, without `.jsonl`.

    Raises:
        FileNotFoundError: if there is no such file.

    Example:

    >>> len(results("ablations")) > 10
    True
    """
    text = packaged_path(f"results/{name}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]
