from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from adr_train_desk import desk, market, write

from kairos.adr.desk import FEATURES, MODELS, TARGETS, US_SECTORS
from kairos.adr.evaluate import EvaluateReport, evaluate, gate_table, reading
from kairos.adr.train import PREDICTIONS, SELECTION_PREDICTIONS, evaluation_output, train
from kairos.errors import InputError
from kairos.evaluation.prediction import compare
from kairos.evaluation.significance import mean_test
from kairos.settings import load

DRAWS = "adr.evaluation.draws=200"
FOLDER = f"{MODELS}/lasso_evaluation"


def predictions_of(root: Path) -> pd.DataFrame:
    return pd.read_parquet(root / MODELS / "lasso" / PREDICTIONS)


def replace_predictions(root: Path, rows: pd.DataFrame) -> None:
    rows.to_parquet(root / MODELS / "lasso" / PREDICTIONS, index=False)


def read(root: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(root / FOLDER / name)


def trained(root: Path) -> Path:
    write(root, market(seed=3))
    sectors = pd.DataFrame({"ticker": ["ABC", "U03", "U04", "U05"], "sector": ["Oil", "Oil", "Oil", "Banks"]})
    (root / US_SECTORS).parent.mkdir(parents=True, exist_ok=True)
    sectors.to_csv(root / US_SECTORS, index=False)
    train(desk(root))
    return root


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Two ADRs and six test months; in one month of ABC the model is zero, in one of DEF few days exist."""
    root = trained(tmp_path_factory.mktemp("desk"))
    rows = predictions_of(root)
    rows.loc[(rows["ticker"] == "ABC") & (rows["month"] == "2025-03"), "prediction"] = 0.0
    few = rows[(rows["ticker"] == "DEF") & (rows["month"] == "2025-05")].index[9:]
    replace_predictions(root, rows.drop(few).sample(frac=1.0, random_state=1))
    return root


@pytest.fixture(scope="module")
def report(root) -> EvaluateReport:
    return evaluate(desk(root, DRAWS))


@pytest.fixture(scope="module")
def rows(root, report) -> pd.DataFrame:
    """Test days of both ADRs, joined by pandas."""
    joined = predictions_of(root).merge(pd.read_parquet(root / TARGETS), on=["ticker", "date"])
    joined["forecast"] = joined["baseline"] + joined["prediction"]
    return joined.sort_values(["ticker", "date"])


def ic(a, p):
    return scipy.stats.pearsonr(a, p).statistic


def test_every_month_equals_scipy(root, rows):
    found = read(root, "baseline_comparison.csv").set_index(["ticker", "month"])
    assert len(found) == 12
    for key, days in rows.groupby(["ticker", "month"]):
        a, line = days["ordinary_return"], found.loc[key]
        for side, p in {"baseline": days["baseline"], "model": days["forecast"]}.items():
            assert line[f"{side}_ic"] == pytest.approx(ic(a, p))
            assert line[f"{side}_rank_ic"] == pytest.approx(scipy.stats.spearmanr(a, p).statistic)
            assert line[f"{side}_r2"] == pytest.approx(1 - ((a - p) ** 2).sum() / (a**2).sum())
            assert line[f"{side}_mse"] == pytest.approx(((a - p) ** 2).mean())
            assert line[f"{side}_hit_rate"] == pytest.approx((np.sign(a) == np.sign(p)).mean())
        assert line["n_samples"] == len(days)
        assert line["counted"] == (len(days) >= 10)
        if line["counted"]:
            assert line["ic_improvement"] == pytest.approx(line["model_ic"] - line["baseline_ic"])
    assert found.loc[("ABC", "2025-03"), ["ic_improvement", "zero_model", "counted"]].tolist() == [
        0,
        True,
        True,
    ]
    assert found.loc[("DEF", "2025-05"), "n_samples"] == 9
    assert np.isnan(found.loc[("DEF", "2025-05"), "ic_improvement"])


def test_the_columns_come_in_the_promised_order(root, report):
    names = list(read(root, "baseline_comparison.csv").columns)
    assert names[:6] == ["ticker", "month", "baseline_ic", "model_ic", "ic_improvement", "n_samples"]


def test_every_adr_is_the_mean_of_its_months(root, rows):
    found = read(root, "improvement_by_adr.csv").set_index("ticker")
    monthly = read(root, "baseline_comparison.csv")
    for ticker, days in rows.groupby("ticker"):
        line, counted = found.loc[ticker], monthly[(monthly["ticker"] == ticker) & monthly["counted"]]
        assert line["improvement"] == pytest.approx((counted["model_ic"] - counted["baseline_ic"]).mean())
        assert line["months"] == len(counted)
        assert line["baseline_ic"] == pytest.approx(ic(days["ordinary_return"], days["baseline"]))
        assert line["model_ic"] == pytest.approx(ic(days["ordinary_return"], days["forecast"]))
        assert line["low"] < line["improvement"] < line["high"]
        assert line["passes_gate"] == (line["improvement"] >= 0.04)
    assert found["zero_months"].to_dict() == {"ABC": 1, "DEF": 0}


def one_slope(y: pd.Series, x: pd.Series, month: str) -> float:
    first = pd.Timestamp(month)
    past = (y.index >= first - pd.DateOffset(months=12)) & (y.index < first) & x.notna()
    return np.linalg.lstsq(x[past].to_numpy()[:, None], y[past].to_numpy(), rcond=None)[0][0]


@pytest.mark.parametrize("name", ["own_lag", "market_average", "sector_average"])
def test_forecasts_without_a_model_use_the_past_only(root, rows, name):
    improvements = []
    for ticker, days in rows.groupby("ticker"):
        features = pd.read_parquet(root / FEATURES / f"{ticker}.parquet")
        y = features["ordinary_residual"]
        if name == "own_lag":
            x = y.shift()
        elif name == "market_average":
            x = features.drop(columns="ordinary_residual").mean(axis=1)
        elif ticker == "ABC":
            x = features[["U03", "U04"]].mean(axis=1)
        else:
            continue  # no sector is known of DEF
        for month, of_month in days.groupby("month"):
            forecast = one_slope(y, x, month) * x.reindex(of_month["date"]).to_numpy()
            with_it = ic(of_month["ordinary_return"], of_month["baseline"] + forecast)
            gain = with_it - ic(of_month["ordinary_return"], of_month["baseline"])
            improvements.append((month, gain if len(of_month) >= 10 else np.nan))
    by_month = pd.DataFrame(improvements).groupby(0)[1].mean()
    line = read(root, "nulls.csv").set_index("forecast").loc[name]
    assert line["improvement"] == pytest.approx(by_month.mean())
    assert line["month_t"] == pytest.approx(mean_test(by_month, lags=0).t)
    assert line["adrs"] == (1 if name == "sector_average" else 2)


def test_zero_changes_nothing(root, report):
    line = read(root, "nulls.csv").set_index("forecast").loc["zero"]
    assert line["improvement"] == 0.0
    assert np.isnan(line["low"])


def test_every_selection_rule_is_compared_on_the_same_months(tmp_path):
    root = trained(tmp_path)
    found = evaluate(desk(root, DRAWS))
    rules = read(root, "selection_comparison.csv").set_index("rule")
    assert {"mse_1se", "ic", "ic_total", "mse", "past_oos"} <= set(rules.index)
    model = found.nulls.set_index("forecast").loc["model"]
    for name in ("improvement", "low", "high", "month_t", "months", "adrs"):
        assert rules.loc["mse_1se", name] == pytest.approx(model[name])
    predicted = pd.read_parquet(root / MODELS / "lasso_evaluation" / SELECTION_PREDICTIONS)
    zero = predicted.groupby(["rule", "ticker", "month"])["prediction"].apply(lambda days: not days.any())
    pd.testing.assert_series_equal(
        rules["zero_models"], zero.groupby("rule").mean(), check_names=False, check_dtype=False
    )


def test_the_same_files_come_out_again(root, report):
    before = {path.name: path.read_bytes() for path in (root / FOLDER).iterdir()}
    evaluate(desk(root, DRAWS))
    assert {path.name: path.read_bytes() for path in (root / FOLDER).iterdir()} == before
    assert len(before) == 6


def test_the_gate_by_hand():
    """Ten months of four ADRs; expanding needs three months and sees nothing of the month itself."""
    random = np.random.default_rng(5)
    months = np.repeat(np.arange(10), 12)
    outcome, baseline = random.normal(size=(2, 120, 4))
    added = np.array([0.8, 0.1, 0.0, -0.3]) * outcome + 0.3 * random.normal(size=(120, 4))
    added[:, 2] = 0.0
    added[months < 4, 1] = np.nan
    found = compare(outcome, baseline, added, months, min_days=10, block=5.0, draws=200, level=0.9, seed=1)
    table = gate_table(found, load().adr.gate).set_index("mode")
    used = {"full_sample": [], "expanding": []}
    for n in range(4):
        mine = found.monthly[:, n]
        for month in range(10):
            before = mine[:month][~np.isnan(mine[:month])]
            if np.isnan(mine[month]) or len(before) < 3:
                continue
            used["full_sample"].append((np.nanmean(mine) >= 0.04, mine[month]))
            used["expanding"].append((before.mean() >= 0.04, mine[month]))
    for mode, decisions in used.items():
        opened, gained = np.array(decisions).T
        assert 0.0 < table.loc[mode, "share_used"] == pytest.approx(opened.mean())
        assert table.loc[mode, "gain"] == pytest.approx((opened * gained).mean())
        assert table.loc[mode, "improvement_used"] == pytest.approx(gained[opened == 1].mean())
    assert table.loc["full_sample", "adrs_passing"] == (np.nanmean(found.monthly, axis=0) >= 0.04).sum()
    noise = [draws[~np.isnan(draws)] for draws in found.each.noise.T]  # some draws have no month of ADR 1
    shares = [(draws >= 0.04).mean() for draws in noise]
    assert shares[2] == 0.0
    assert table.loc["full_sample", "noise_share"] == pytest.approx(np.mean(shares))


def test_the_reading_says_what_is_luck():
    by_adr = pd.DataFrame({"ticker": ["ABC", "DEF"], "stepwise_p": [0.06, np.nan]})
    model = {"forecast": "model", "improvement": 0.01, "low": -0.01, "high": 0.03, "months": 13}
    overall, each = reading(by_adr, pd.DataFrame([model]), 0.9)
    assert "+0.010 over 13 months (90% interval -0.010 to +0.030), which is luck" in overall
    assert each.startswith("None of the 2 improvements can be told from luck")
    better = {**model, "low": 0.001}
    overall, each = reading(by_adr.assign(stepwise_p=[0.01, 0.2]), pd.DataFrame([better]), 0.9)
    assert overall.endswith("an improvement.")
    assert each.startswith("1 of the 2 improvements can be told from luck: ABC (")
    assert reading(by_adr, pd.DataFrame([{**model, "low": -0.02, "high": -0.01}]), 0.9)[0].endswith("a loss.")
    nothing = {**model, "improvement": 0.0, "low": np.nan, "high": np.nan}
    assert "never adds" in reading(by_adr, pd.DataFrame([nothing]), 0.9)[0]


def test_the_report_counts_what_it_leaves_out(root, report):
    columns, lines = report.table()
    assert [line[0] for line in lines] == ["ABC", "DEF"]
    assert {len(line) for line in lines} == {len(columns)}
    assert any(remark.endswith("or without an IC: 1.") for remark in report.remarks())
    assert any("over 6 test months it would admit" in remark for remark in report.remarks())


def test_wrong_files_are_named(tmp_path):
    with pytest.raises(InputError, match=r"targets\.parquet.*`features`"):
        evaluate(desk(tmp_path))
    write(tmp_path, market(seed=3))
    with pytest.raises(InputError, match=r"predictions\.parquet.*`train`"):
        evaluate(desk(tmp_path))
    train(desk(tmp_path))
    good = predictions_of(tmp_path)
    for wrong, message in (
        (pd.concat([good, good.iloc[:1]]), "ABC has two rows on 2025-01-02"),
        (good.assign(date=good["date"] + pd.Timedelta(days=400)), "ABC has no target on 2026-"),
        (good.iloc[:0], "no predictions"),
        (good.drop(columns="prediction"), r"predictions\.parquet.*prediction"),
    ):
        replace_predictions(tmp_path, wrong)
        with pytest.raises(InputError, match=message):
            evaluate(desk(tmp_path))


def test_a_users_file_stays(tmp_path):
    root = trained(tmp_path)
    mine = root / evaluation_output(desk(root)) / "gate.csv"
    mine.parent.mkdir()
    mine.write_text("mine")
    with pytest.raises(InputError, match=r"gate\.csv: this file was not made by the desk"):
        evaluate(desk(root, DRAWS))
    assert mine.read_text() == "mine"
