"""Which pictures the notebooks read: photographs, or the drawings where those cannot be had."""

import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from alexnet_keras.common import check_choice, packaged_path
from alexnet_keras.pictures import IMAGENETTE

VARIABLE = "ALEXNET_KERAS_DATA"
PHOTOGRAPHS, DRAWINGS = "imagenette/160px-v2", "openclipart"
_SOURCE = "https://s3.amazonaws.com/fast-ai-imageclas/imagenette2-160.tgz"


def photographs() -> tuple[str, str | None]:
    """Name and folder of the pictures that the course is run on, for `tfds.load`.

    They are Imagenette's photographs (10 classes of ImageNet, 13,394 pictures, 99 MB), which TFDS
    downloads once and keeps; where it can neither find nor download them, the drawings that come
    with the package take their place. The environment variable `ALEXNET_KERAS_DATA` chooses:
    `imagenette/160px-v2` or `openclipart`. One sentence on what was chosen is printed.

    Returns:
        `name` and `data_dir`, the latter `None` for TFDS's own folder.

    Raises:
        ValueError: if the environment variable names something else.

    Example:

    >>> import tensorflow_datasets as tfds
    >>> from alexnet_keras.course import photographs
    >>> DATA, DATA_DIR = photographs()  # doctest: +ELLIPSIS
    Data: ...
    >>> train = tfds.load(DATA, data_dir=DATA_DIR, split="train", as_supervised=True)
    """
    wanted = os.environ.get(VARIABLE, PHOTOGRAPHS)
    check_choice(VARIABLE, wanted, (PHOTOGRAPHS, DRAWINGS))
    if wanted == PHOTOGRAPHS:
        problem = _prepare()
        if not problem:
            print(f"Data: {PHOTOGRAPHS}, photographs in ten classes.")
            return PHOTOGRAPHS, None
        print(f"Data: {DRAWINGS}, drawings in ten classes, since {PHOTOGRAPHS} {problem}.")
    else:
        print(f"Data: {DRAWINGS}, drawings in ten classes.")
    return DRAWINGS, str(packaged_path(f"data/{DRAWINGS}").parent)


def _prepare() -> str:
    """Has TFDS download the photographs if they are not there; says what hindered it."""
    builder = tfds.builder(PHOTOGRAPHS)
    if Path(builder.data_path).exists():
        return ""
    try:  # TFDS itself takes minutes to give up
        urllib.request.urlopen(urllib.request.Request(_SOURCE, method="HEAD"), timeout=10).close()
        builder.download_and_prepare()
    except (OSError, tfds.download.DownloadError) as error:
        reason = getattr(error, "reason", error)
        return f"cannot be downloaded here ({reason})"
    return ""


def class_names(info: Any) -> list[str]:
    """Names of a data set's classes as a person says them, in the order of the labels.

    Args:
        info: the `tfds.core.DatasetInfo` that `tfds.load(..., with_info=True)` returns.

    Example:

    >>> import tensorflow_datasets as tfds
    >>> class_names(tfds.builder("imagenette/160px-v2").info)[:2]
    ['tench', 'English springer']
    """
    return [IMAGENETTE.get(name, name) for name in info.features["label"].names]
