import numpy as np
import pytest

from alexnet_keras.course import LAYER_COLORS, table


def test_text_and_html():
    made = table(
        {"layer": ["conv1", "a < b"], "maps": [np.int64(96), 25600], "share": [0.5, None]},
        {"share": ".0%"},
    )
    assert repr(made).splitlines() == [
        "layer    maps  share",
        "conv1      96    50%",
        "a < b  25,600      -",
    ]
    markup = made._repr_html_()
    assert "a &lt; b" in markup and '<td style="text-align: right">25,600</td>' in markup


def test_columns_of_different_lengths():
    with pytest.raises(ValueError, match="Received: {'a': 1, 'b': 2}"):
        table({"a": [1], "b": [1, 2]})


def test_layers_can_be_told_apart():
    assert len(set(LAYER_COLORS.values())) == len(LAYER_COLORS)
