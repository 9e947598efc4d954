"""The evaluation as a reader gets it, on a simulated desk: the report's sheet and the executed notebook."""

from __future__ import annotations

import importlib
import json
import pickle
import re
from collections import Counter
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest

from kairos.adr.betas import betas
from kairos.adr.desk import FEATURES, MODELS, NOTEBOOK, TARGETS, Desk
from kairos.adr.evaluate import evaluate
from kairos.adr.features import features
from kairos.adr.notebook import notebook, template
from kairos.adr.sheets import adr_sheet
from kairos.adr.train import train
from kairos.errors import InputError, WorkError
from kairos.report import adr_page
from kairos.settings import load
from kairos.simulate.adr import simulate_desk


@pytest.fixture(scope="module")
def desk(tmp_path_factory) -> Desk:
    root = tmp_path_factory.mktemp("simulated")
    simulate_desk(root, adrs=4, us_stocks=20, months=15, seed=2, minutes=0)
    settings = load(overrides=["run.workers=1", "adr.end=2025-03-31", "adr.evaluation.draws=200"])
    desk = Desk(root, settings)
    for make in (betas, features, train, evaluate):
        make(desk)
    return desk


@pytest.fixture(scope="module")
def executed(desk):
    notebook(desk)
    return nbformat.read(desk.path(NOTEBOOK), as_version=4)


@pytest.fixture(scope="module")
def sheet(desk):
    return adr_sheet(desk)


def test_the_notebook_in_the_repository_has_no_outputs():
    content = json.loads(template().read_text(encoding="utf-8"))
    nbformat.validate(nbformat.from_dict(content))
    for cell in content["cells"]:
        assert cell.get("outputs", []) == []
        assert cell.get("execution_count") is None
        assert cell["metadata"] == {}


def test_every_cell_is_executed_and_none_fails(executed):
    code = [cell for cell in executed.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    kinds = Counter(output.output_type for cell in code for output in cell.outputs)
    assert set(kinds) <= {"execute_result", "display_data"}  # no error, nothing on stderr
    assert sum("application/vnd.plotly.v1+json" in o.get("data", {}) for c in code for o in c.outputs) == 5


def test_its_figures_load_nothing_from_elsewhere(executed):
    pages = [o.data["text/html"] for c in executed.cells for o in c.get("outputs", [])]
    drawn = [page for page in pages if "Plotly.newPlot" in page]
    assert sum("* plotly.js v" in page for page in drawn) == 1
    assert "* plotly.js v" in drawn[0]
    assert not [page for page in pages if re.search(r"<(script|link|img)[^>]*(src|href)=", page)]


def test_the_same_data_give_the_same_notebook(desk, executed):
    before = desk.path(NOTEBOOK).read_bytes()
    notebook(desk)
    assert desk.path(NOTEBOOK).read_bytes() == before


def test_its_tables_show_what_was_evaluated(desk, executed):
    outputs = {cell.id: cell.outputs for cell in executed.cells if cell.cell_type == "code"}
    shown = outputs["baseline-table"][0].data["text/plain"]
    lines = shown.splitlines()
    by_adr = pd.read_csv(desk.path(f"{MODELS}/lasso_evaluation/improvement_by_adr.csv"))
    for ticker, improvement in zip(by_adr["ticker"], by_adr["improvement"], strict=True):
        assert any(ticker in line and f"{improvement:.4g}" in line for line in lines)


def test_a_failing_cell_is_named(desk, tmp_path, monkeypatch):
    broken = nbformat.read(template(), as_version=4)
    broken.cells[1].source = "raise ValueError('no such desk')"
    nbformat.write(broken, tmp_path / "broken.ipynb")
    step = importlib.import_module("kairos.adr.notebook")  # the package has a function of this name
    monkeypatch.setattr(step, "template", lambda: tmp_path / "broken.ipynb")
    with pytest.raises(WorkError, match=r"(?s)lasso_russell_analysis.*ValueError: no such desk"):
        notebook(desk)


def test_the_notebook_needs_the_evaluation(tmp_path):
    with pytest.raises(InputError, match=r"baseline_comparison\.csv.*`evaluate`"):
        notebook(Desk(tmp_path, load()))


def test_the_sheet_counts_models_stocks_and_months(desk, sheet):
    files = [pickle.loads(path.read_bytes()) for path in desk.path(f"{MODELS}/lasso").glob("*/*.pkl")]
    used = Counter(stock for file in files for stock in file["features"])
    assert {stock: models for stock, models, _ in sheet.stocks}.items() <= used.items()
    assert len(sheet.stocks) == min(len(used), 20)
    for stock, _, adrs in sheet.stocks:
        assert adrs == len({file["ticker"] for file in files if stock in file["features"]})
    assert sorted(sheet.nonzero) == sorted(len(file["features"]) for file in files)
    assert sum(alpha.value for alpha in sheet.alphas) == sum(file["alpha"] is not None for file in files)
    monthly = pd.read_csv(desk.path(f"{MODELS}/lasso_evaluation/baseline_comparison.csv"))
    monthly = monthly[monthly["counted"]]
    assert [month.month for month in sheet.months] == sorted(set(monthly["month"]))
    for month in sheet.months:
        of = monthly[monthly["month"] == month.month]
        assert month.adrs == len(of)
        assert month.improvement == pytest.approx((of["model_ic"] - of["baseline_ic"]).mean(), abs=1e-12)
        assert month.better == pytest.approx((of["model_ic"] > of["baseline_ic"] + 1e-15).mean())
    assert np.nanmean(sheet.improvements) == pytest.approx(monthly["ic_improvement"].mean())
    assert sheet.improvements.shape == (len(sheet.adrs), len(sheet.months))


def test_the_sheet_warns_before_any_number(desk, sheet):
    assert any("is not in scope" in warning for warning in sheet.warnings)
    assert not sheet.suspicious
    page = adr_page(sheet).render()
    assert page.index("is not in scope") < page.index("Improvement of the IC")
    assert all(sentence in page for sentence in (sheet.reading[0][:40], "full-sample gate"))


def test_the_sheet_names_the_rule_of_the_models_and_says_when_they_are_stale(desk, sheet):
    other = Desk(desk.root, load(overrides=["adr.model.selection=fourth"]))
    assert (adr_sheet(other).selection, ("Selection", "mse_1se") in adr_sheet(other).facts) == (
        "mse_1se",
        True,
    )
    assert not any("trained with other settings" in warning for warning in sheet.warnings)
    path = desk.path(f"{MODELS}/lasso_evaluation/nulls.csv")
    before = path.read_bytes()
    nulls = pd.read_csv(path)
    nulls.loc[nulls["forecast"] == "model", "improvement"] += 0.01
    try:
        nulls.to_csv(path, index=False)
        assert "trained with other settings" in adr_sheet(desk).warnings[0]
    finally:
        path.write_bytes(before)


def test_asynchronous_indices_and_suspicious_stocks_are_named(desk, sheet):
    """On a copy of the targets that says so, and features one of which nearly is the target."""
    targets, name = pd.read_parquet(desk.path(TARGETS)), sheet.adrs[0].ticker
    path = desk.path(f"{FEATURES}/{name}.parquet")
    before = {desk.path(TARGETS): desk.path(TARGETS).read_bytes(), path: path.read_bytes()}
    rows = pd.read_parquet(path)
    rows[rows.columns[3]] = -rows["ordinary_residual"] + 0.1 * rows[rows.columns[3]]
    try:
        rows.to_parquet(path)
        targets.assign(index_asynchronous=targets["ticker"] == name).to_parquet(
            desk.path(TARGETS), index=False
        )
        found = adr_sheet(desk)
    finally:
        for file, content in before.items():
            file.write_bytes(content)
    correlation = np.corrcoef(rows["ordinary_residual"], rows[rows.columns[3]])[0, 1]
    assert [(adr, stock) for adr, stock, _ in found.suspicious] == [(name, rows.columns[3])]
    assert found.suspicious[0][2] == pytest.approx(correlation)
    days = (targets["ticker"] == name).sum()
    assert any(f"on {days} days of {name}:" in warning for warning in found.warnings)


def test_the_sheet_needs_the_evaluation(tmp_path):
    with pytest.raises(InputError, match=r"improvement_by_adr\.csv.*`evaluate`"):
        adr_sheet(Desk(Path(tmp_path), load()))
