from alexnet_keras import TrainingConfig
from alexnet_keras.experiments import (
    Result,
)

BASE = TrainingConfig(image_size=64, width=0.05, epochs=2, batch_size=8, schedule="cosine")


def result(condition, seed, error, **others):
    fields = {
        "config": {},
        "fingerprint": "",
        "parameters": 1,
        "multiply_adds": 1,
        "top1_error": error + 0.05,
        "top5_error": 0.1,
        "top1_error_ten_views": error,
        "top5_error_ten_views": 0.1,
        "training_loss": 1.0,
        "training_error": 0.25,
        "training_seconds": 1.0,
        "versions": {},
        **others,
    }
    return Result(condition, seed, **fields)
