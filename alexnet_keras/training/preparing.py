"""What comes before a training: Keras's settings, the devices, the data."""

import dataclasses
import json
from typing import Any

import keras

from alexnet_keras.common import DataError
from alexnet_keras.configuration import Devices, TrainingConfig
from alexnet_keras.devices import (
    choose_strategy,
    require_same_on_machines,
    use_deterministic_operations,
)
from alexnet_keras.pictures import ImageDataset, open_dataset
from alexnet_keras.training.run import versions


def prepare_keras(config: TrainingConfig, devices: Devices) -> Any:
    """Settings that hold for the whole process, and the strategy."""
    if keras.config.image_data_format() != "channels_last":
        raise ValueError(
            "Keras's image data format must be 'channels_last', as the pipeline's pictures are. "
            "Received: 'channels_first'; call keras.config.set_image_data_format('channels_last')"
        )
    strategy = choose_strategy(devices)
    if config.deterministic:
        use_deterministic_operations()
    return strategy


def require_same(
    config: TrainingConfig,
    dataset: ImageDataset,
    strategy: Any,
    about: dict[str, Any] | None = None,
) -> None:
    """Machines that train together must be about to do the same."""
    places = {"data": None, "data_dir": None}  # each may have the data where it likes
    same = [dataclasses.asdict(config) | places, dataset.fingerprint, versions(), about]
    require_same_on_machines(strategy, json.dumps(same))


def open_for_training(config: TrainingConfig) -> ImageDataset:
    """The data of a configuration.

    Raises:
        DataError: if it cannot be opened, or lacks a split.
    """
    dataset = open_dataset(
        config.data,
        config.data_dir,
        validation_fraction=config.validation_fraction,
        skip_bad=config.skip_bad,
    )
    missing = {"train", "validation"} - dataset.sizes.keys()
    if missing:
        raise DataError(
            "The data must have pictures to train on and to validate with. "
            f"Received: {dataset.name} without {' and '.join(sorted(missing))}"
        )
    return dataset
