import csv
import json
import math

import numpy as np
import pytest
from scipy.stats import binomtest

from alexnet_keras.evaluation import (
    evaluate,
    write_report,
)
from alexnet_keras.pictures import (
    open_dataset,
)
from alexnet_keras.training import (
    build_model,
)
from tests.evaluation.conftest import STATISTICS, quick_model


@pytest.mark.slow
def test_report_with_curves(run, tmp_path):
    data = run.open_dataset()
    result = evaluate(build_model(run.config, 3), data, run.statistics)
    write_report(tmp_path / "report", result, data, "validation", run.log())
    names = {path.name for path in (tmp_path / "report").iterdir()}
    assert {"report.json", "confusion.png", "mistakes.png", "curves.png"} <= names
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["top1_error"] == result.top1_error
    assert np.sum(report["confusion"]) == 12


@pytest.mark.slow
def test_report(evaluated, tmp_path):
    _, data, _, _, result = evaluated
    write_report(tmp_path, result, data, "validation")
    tables = ("confusion", "mistakes", "per_class", "reliability")
    assert {path.name for path in tmp_path.iterdir()} == {
        "report.json",
        *(f"{name}.csv" for name in tables),
        *(f"{name}.png" for name in tables),
    }

    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    report = json.loads((tmp_path / "report.json").read_text(), parse_constant=refuse)
    assert report["top1_interval"] == list(result.top1_interval)
    assert report["expected_calibration_error"] == result.calibration.expected_error

    def rows(name):
        with open(tmp_path / f"{name}.csv", newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    for row, in_json, recall, precision in zip(
        rows("per_class"), report["classes"], result.recall, result.precision
    ):
        assert row["class"] == in_json["class"]
        assert float(row["recall"]) == in_json["recall"] == recall
        expected = binomtest(int(row["right"]), int(row["predicted"])).proportion_ci(
            method="wilson"
        )
        assert float(row["precision"]) == precision
        assert float(row["precision_low"]) == pytest.approx(expected.low)
        assert float(row["precision_high"]) == pytest.approx(expected.high)
    reliability = rows("reliability")
    assert sum(int(row["pictures"]) for row in reliability) == 60 and len(reliability) == 15
    assert [row["accuracy"] == "" for row in reliability] == [
        math.isnan(a) for a in result.calibration.accuracy
    ]
    confusion = rows("confusion")
    assert int(confusion[2]["class 5"]) == result.confusion[2, 5]
    assert [int(row["index"]) for row in rows("mistakes")] == [m.index for m in result.mistakes]
    assert rows("mistakes")[0]["id"] == str(result.mistakes[0].index)


@pytest.mark.slow
def test_report_of_a_class_never_named_without_mistakes(make_folder, tmp_path):
    """The classes have names that the tables' own columns have, too."""
    data = open_dataset(make_folder(counts={"label": 10, "pictures": 10}))
    model = quick_model(2)
    model.layers[-1].set_weights([np.zeros((48, 2)), np.array([0, 1])])
    result = evaluate(model, data, STATISTICS, mistakes=0)
    assert result.top1_error == 0.5 and result.precision[1] == 0.5
    assert np.isnan(result.precision[0]) and result.recall[0] == 0
    write_report(tmp_path / "report", result, data, "validation")
    text = (tmp_path / "report" / "confusion.csv").read_text()
    assert text == "label,label,pictures\nlabel,0,2\npictures,0,2\n"
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["classes"][0]["precision"] is None and report["mistakes"] == []
