"""The plan for ImageNet against arithmetic done by hand on the paper's layer sizes."""

import json
import math
from pathlib import Path

import pytest

from alexnet_keras import AlexNet
from benchmarks.plan import BATCH, PLANS, break_even, main, moved, plan, rates_of_a_core

# Weights and biases, from the paper's shapes; the convolutions of two columns see half the maps.
CONVOLUTIONS = (
    (11 * 11 * 3 + 1) * 96
    + (5 * 5 * 48 + 1) * 256
    + (3 * 3 * 256 + 1) * 384
    + (3 * 3 * 192 + 1) * 384
    + (3 * 3 * 192 + 1) * 256
)


FC6, FC7, FC8 = (9216 + 1) * 4096, (4096 + 1) * 4096, (4096 + 1) * 1000


ALL = CONVOLUTIONS + FC6 + FC7 + FC8


@pytest.fixture(scope="module")
def model():
    return AlexNet()


def test_the_hand_count_is_that_of_the_paper(model):
    assert ALL == model.count_params() == 60_965_224


def test_sums_on_the_first_gpu_pass_through_it_alone(model):
    # Seven times all gradients come in, seven times the sums go out.
    assert moved(model, 8, "one") == (14 * 4 * ALL, 0)


@pytest.mark.parametrize("gpus", [2, 8])
def test_ring_all_reduce_on_one_node(model, gpus):
    within, between = moved(model, gpus, "data")
    assert within == pytest.approx(2 * (gpus - 1) / gpus * 4 * ALL)
    assert between == 0


def test_mixture_on_one_node(model):
    batch = 8 * 128
    convolutions = 2 * 7 / 8 * 4 * CONVOLUTIONS
    # Forward, the pool5 maps and the units of fc6 of the seven others' pictures and units; backward
    # the same; the first GPU has fc8, and seven eighths of the units of fc7 come to it.
    dense = 2 * 4 * batch * 7 / 8 * (9216 + 4096 + 4096)
    within, between = moved(model, 8, "mixed")
    assert within == pytest.approx(convolutions + dense)
    assert between == 0


@pytest.mark.parametrize("scheme", ["data", "mixed"])
def test_several_nodes_sum_an_eighth_of_the_gradients_between_them(model, scheme):
    within, between = moved(model, 64, scheme)
    assert within == moved(model, 8, scheme)[0]
    assert between == pytest.approx(2 * 7 / 8 * 4 * ALL / 8)
    # Four nodes sum three quarters.
    assert moved(model, 32, scheme)[1] == pytest.approx(2 * 3 / 4 * 4 * ALL / 8)


@pytest.mark.parametrize("gpus", [2, 8, 64])
def test_break_even_is_where_the_dense_layers_activations_reach_their_gradients(model, gpus):
    gradients = 2 * (gpus - 1) * 4 * (FC6 + FC7 + FC8)
    a_picture = 2 * 4 * ((gpus - 1) * (9216 + 4096) + 4096 - 4096 // gpus)
    assert break_even(model, gpus) == math.floor(gradients / a_picture)


def test_figures_of_a_plan(model):
    result = plan(model, 4e9, 64, "data")
    assert result.batch == 8192
    assert result.steps == 157  # 156.4
    # 93.6 TFLOP/s; 300 GB/s within a node, 25 GB/s between nodes.
    assert result.compute == pytest.approx(128 * 4e9 / 93.6e12)
    exchange = 1.75 * 4 * ALL / 300e9 + 1.75 * 4 * ALL / 8 / 25e9
    assert result.exchange == pytest.approx(exchange)
    seconds = 128 * 4e9 / 93.6e12 + exchange
    assert result.rate == pytest.approx(8192 / seconds)
    assert result.hours == pytest.approx(90 * 157 * seconds / 3600)


def test_one_gpu_moves_nothing(model):
    result = plan(model, 4e9, 1, "")
    assert (result.within, result.between, result.exchange) == (0, 0, 0)
    assert result.rate == pytest.approx(93.6e12 / 4e9)
    assert result.steps == 10_010  # 10,009.1


@pytest.mark.parametrize(("threads", "rates"), [("all", [300, 1000]), (2, [600, 2000])])
def test_rates_of_a_core_are_medians(threads, rates, tmp_path, monkeypatch):
    results = {
        "package": {"rates": [900.0, 1200.0, 1300.0]},
        "package, prepared": {"rates": [4000.0, 3600.0, 9000.0]},
    }
    saved = {"machine": {"cores": 4}, "settings": {"threads": threads}}
    saved["sections"] = {"Input pipeline": {"results": results}}
    (tmp_path / "pipeline.json").write_text(json.dumps(saved))
    monkeypatch.setattr("benchmarks.plan.RESULTS", tmp_path)
    assert rates_of_a_core() == rates


def test_what_the_script_prints_is_on_the_page_on_scale(capsys):
    main()
    said = capsys.readouterr().out
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in said.splitlines()[2:8]]
    assert [row[0] for row in rows] == list(PLANS.values())
    # Three times the multiply-adds, less those of conv1 for the gradient of its input.
    seconds = BATCH * 2 * (3 * 724_406_816 - 105_415_200) / 93.6e12
    assert rows[0][5] == f"{1e3 * seconds:.2f}"
    assert rows[0][-2:] == [f"{math.ceil(BATCH / seconds / core)}" for core in rates_of_a_core()]
    page = Path(__file__).parents[2] / "docs" / "scale.md"
    assert said.strip() in page.read_text(encoding="utf-8")
