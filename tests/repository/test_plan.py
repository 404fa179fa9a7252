"""The plan for ImageNet against arithmetic done by hand on the paper's layer sizes."""

import json
import math
from pathlib import Path

import pytest

from alexnet_keras import AlexNet
from benchmarks.plan import (
    Assumptions,
    break_even,
    main,
    measured_rates,
    moved,
    plan,
)

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
    assert moved(model, 8, "one", 128, 8) == (14 * 4 * ALL, 0)


@pytest.mark.parametrize("gpus", [2, 8])
def test_ring_all_reduce_on_one_node(model, gpus):
    within, between = moved(model, gpus, "data", 128, 8)
    assert within == pytest.approx(2 * (gpus - 1) / gpus * 4 * ALL)
    assert between == 0


def test_mixture_on_one_node(model):
    batch = 8 * 128
    convolutions = 2 * 7 / 8 * 4 * CONVOLUTIONS
    # Forward, the pool5 maps and the units of fc6 of the seven others' pictures and units; backward
    # the same; the first GPU has fc8, and seven eighths of the units of fc7 come to it.
    dense = 2 * 4 * batch * 7 / 8 * (9216 + 4096 + 4096)
    within, between = moved(model, 8, "mixed", 128, 8)
    assert within == pytest.approx(convolutions + dense)
    assert between == 0


@pytest.mark.parametrize("scheme", ["data", "mixed"])
def test_several_nodes_sum_an_eighth_of_the_gradients_between_them(model, scheme):
    within, between = moved(model, 64, scheme, 128, 8)
    assert within == moved(model, 8, scheme, 128, 8)[0]
    assert between == pytest.approx(2 * 7 / 8 * 4 * ALL / 8)
    # Four nodes of two: another share of each.
    within, between = moved(model, 8, scheme, 16, 2)
    assert within == moved(model, 2, scheme, 16, 2)[0]
    assert between == pytest.approx(2 * 3 / 4 * 4 * ALL / 2)


@pytest.mark.parametrize("gpus", [2, 8, 64])
def test_break_even_is_where_the_dense_layers_activations_reach_their_gradients(model, gpus):
    gradients = 2 * (gpus - 1) * 4 * (FC6 + FC7 + FC8)
    a_picture = 2 * 4 * ((gpus - 1) * (9216 + 4096) + 4096 - 4096 // gpus)
    assert break_even(model, gpus) == math.floor(gradients / a_picture)


def test_figures_of_a_plan(model):
    assumed = Assumptions(
        flops=1e12, within=1e9, between=1e8, originals_per_core=50, prepared_per_core=101
    )
    result = plan(model, 4e9, 64, "data", assumed)
    assert result.batch == 8192
    assert result.rates == pytest.approx({"none": 0.01, "sqrt": 0.08, "linear": 0.64})
    assert result.steps == 157  # 156.4
    assert result.compute == pytest.approx(0.512)
    communication = 1.75 * 4 * ALL / 1e9 + 1.75 * 4 * ALL / 8 / 1e8
    assert result.communication == pytest.approx(communication)  # 0.427 + 0.533
    assert result.images_per_second == pytest.approx(8192 / (0.512 + communication))  # 5,564
    assert result.hours == pytest.approx(90 * 157 * (0.512 + communication) / 3600)
    assert (result.originals_cores, result.prepared_cores) == (2, 1)  # 86.9 images/s a GPU


def test_one_gpu_moves_nothing(model):
    result = plan(model, 4e9, 1, "", Assumptions(flops=1e12))
    assert (result.within, result.between, result.communication) == (0, 0, 0)
    assert result.images_per_second == pytest.approx(250)
    assert result.steps == 10_010  # 10,009.1


def test_bad_numbers_of_gpus(model):
    with pytest.raises(ValueError, match="multiple of it, the GPUs of a node. Received: 12"):
        moved(model, 12, "data", 128, 8)
    with pytest.raises(ValueError, match="for one node. Received: 16 GPUs"):
        moved(model, 16, "one", 128, 8)


def _saved(tmp_path, threads):
    path = tmp_path / "pipeline.json"
    results = {
        "package": {"rates": [900.0, 1200.0, 1300.0]},
        "package, prepared": {"rates": [4000.0, 3600.0, 9000.0]},
    }
    path.write_text(
        json.dumps(
            {
                "machine": {"cores": 4},
                "settings": {"threads": threads},
                "sections": {"Input pipeline": {"results": results}},
            }
        )
    )
    return path


def test_measured_rates_are_medians_a_core(tmp_path):
    assert measured_rates(_saved(tmp_path, "all")) == (300, 1000)
    assert measured_rates(_saved(tmp_path, 2)) == (600, 2000)
    assert measured_rates(tmp_path / "none.json") is None
    (tmp_path / "other.json").write_text('{"settings": {}}')
    with pytest.raises(ValueError, match=r"other\.json \(KeyError: 'threads'\)"):
        measured_rates(tmp_path / "other.json")


def test_command(tmp_path, capsys):
    pipeline = ["--pipeline", str(_saved(tmp_path, "all"))]
    main([*pipeline, "--gpus", "1", "8", "16", "--tflops", "100", "--prepared-per-core", "1500"])
    said = capsys.readouterr().out
    recipe, schemes, _ = said.split("\n\n")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in schemes.splitlines()]
    assert [row[0] for row in rows[2:]] == [
        "1",
        "8, sums on the first GPU",
        "8, all-reduce",
        "8, mixture",
        "16, all-reduce",
        "16, mixture",
    ]
    # Three times the multiply-adds, less those of conv1 for the gradient of its input.
    seconds = 128 * 2 * (3 * 724_406_816 - 105_415_200) / 100e12
    assert recipe.splitlines()[3] == f"| 8 | 1,024 | 0.028 | 0.080 | 1,252 | {1e3 * seconds:.2f} |"
    alone = 128 / seconds
    assert rows[2][-2:] == [f"{math.ceil(alone / 300)}", f"{math.ceil(alone / 1500)}"]
    assert "300 from originals (measured), 1,500 from prepared records (given)" in said

    with pytest.raises(SystemExit):
        main([*pipeline, "--gpus", "12"])
    assert "multiple of it, not 12" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*pipeline, "--tflops", "0"])
    assert "must be greater than 0, not 0" in capsys.readouterr().err


def test_page_on_scale_is_what_the_script_prints(capsys):
    main([])
    page = Path(__file__).parents[2] / "docs" / "scale.md"
    assert capsys.readouterr().out.strip() in page.read_text(encoding="utf-8")
