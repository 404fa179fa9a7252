import numpy as np
import pytest

from alexnet_keras.pictures import (
    Share,
    color_statistics,
    evaluation_batches,
    open_dataset,
    training_batches,
)

STEPS = 5  # an epoch: batches of 8, the last of 5, which has no equal halves


@pytest.fixture(scope="module")
def folder(tmp_path_factory, write_pictures):
    """37 pictures to train on, and 9 to validate with."""
    counts = {"blue": 15, "green": 15, "red": 16}
    return write_pictures(tmp_path_factory.mktemp("data"), counts, noise=200, color=50)


@pytest.mark.parametrize("processes, replicas", [(1, 2), (2, 2), (2, 6), (3, 3)])
@pytest.mark.parametrize("split", ["train", "validation"])
def test_shares_make_up_the_batches(split, processes, replicas, folder):
    """Taken before the pictures are decoded, with the augmentation of the whole batch."""
    dataset = open_dataset(str(folder))
    statistics = color_statistics(dataset, 64)
    common = {"image_size": 64, "batch_size": 8}

    def batches(share):
        if split == "validation":
            return list(evaluation_batches(dataset, split, statistics, share=share, **common))
        every = training_batches(
            dataset, statistics, seed=3, first_epoch=1, first_step=2, share=share, **common
        )
        return list(every.take(STEPS - 2 + 2))  # into the next epoch

    wholes = batches(None)
    shares = [batches(Share(replicas, processes, rank)) for rank in range(processes)]
    assert [len(share) for share in shares] == processes * [len(wholes)]
    for (images, labels), *parts in zip(wholes, *shares):
        real, filled = len(labels), len(labels) + -len(labels) % replicas
        assert {len(weights) for _, _, weights in parts} == {filled // processes}
        all_images, all_labels, weights = (np.concatenate(x) for x in zip(*parts))
        np.testing.assert_array_equal(all_images[:real], images)
        np.testing.assert_array_equal(all_labels[:real], labels)
        np.testing.assert_allclose(weights[:real], filled / real, rtol=1e-6)
        assert (weights[real:] == 0).all()
