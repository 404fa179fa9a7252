"""From picture files to batches: one door to data, the paper's augmentation, records.

TensorFlow carries the data on every backend. Nothing here knows a network."""

from alexnet_keras.pictures.augmentation import (
    IMAGENET_STATISTICS,
    ColorStatistics,
    central_square,
    color_statistics,
    crop_of_square,
    square_side,
    ten_views,
)
from alexnet_keras.pictures.batches import (
    Share,
    byte_batches,
    color_offsets,
    colored,
    evaluation_batches,
    evaluation_transform,
    training_batches,
)
from alexnet_keras.pictures.dataset import SHUFFLE_CHUNK, ImageDataset, numpy_batches, undecodable
from alexnet_keras.pictures.decoding import decode_by_tensorflow, decode_image
from alexnet_keras.pictures.folders import EXTENSIONS, HELD_OUT, picture_files
from alexnet_keras.pictures.opening import CHECKSUMS, IMAGENETTE, MANIFEST, is_folder, open_dataset
from alexnet_keras.pictures.records import write_records
from alexnet_keras.pictures.squares import MOST_BYTES, Squares, byte_square, training_squares

__all__ = [
    "CHECKSUMS",
    "ColorStatistics",
    "EXTENSIONS",
    "HELD_OUT",
    "IMAGENETTE",
    "IMAGENET_STATISTICS",
    "ImageDataset",
    "MANIFEST",
    "MOST_BYTES",
    "SHUFFLE_CHUNK",
    "Share",
    "Squares",
    "byte_batches",
    "byte_square",
    "central_square",
    "color_offsets",
    "color_statistics",
    "colored",
    "crop_of_square",
    "decode_by_tensorflow",
    "decode_image",
    "evaluation_batches",
    "evaluation_transform",
    "is_folder",
    "numpy_batches",
    "open_dataset",
    "picture_files",
    "square_side",
    "ten_views",
    "training_batches",
    "training_squares",
    "undecodable",
    "write_records",
]
