"""The step `train` against a plain walk with scikit-learn, and its promises about time, order and files."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import adr_train_desk as small
import numpy as np
import pandas as pd
import pytest
from scipy.stats import pearsonr
from sklearn.linear_model import Lasso
from sklearn.preprocessing import StandardScaler

from kairos.adr.desk import MODELS, TARGETS
from kairos.adr.modelfile import read_model
from kairos.adr.models import Model, register
from kairos.adr.selection import rules
from kairos.adr.train import compare_selections, train
from kairos.errors import InputError

GRID = np.logspace(-4, 1, 50)[::-1]
MONTHS = [f"2025-{m:02d}" for m in range(1, 8)]


@pytest.fixture(scope="module")
def market() -> dict[str, tuple[pd.DataFrame, pd.DataFrame]]:
    return small.market()


@pytest.fixture(scope="module")
def trained(market: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = small.write(tmp_path_factory.mktemp("trained"), market)
    train(small.desk(root))
    compare_selections(small.desk(root))
    return root


def metadata(root: Path, name: str = "lasso") -> pd.DataFrame:
    return pd.read_csv(root / MODELS / name / "training_metadata.csv").set_index(["ticker", "month"])


def predictions(root: Path, name: str = "lasso") -> pd.DataFrame:
    return pd.read_parquet(root / MODELS / name / "predictions.parquet")


def tight(alpha: float, Z: np.ndarray, y: np.ndarray) -> np.ndarray:
    return Lasso(alpha=alpha, fit_intercept=False, tol=1e-11, max_iter=1_000_000).fit(Z, y).coef_


def plain(features: pd.DataFrame, month: str) -> tuple[float | None, np.ndarray, pd.Series]:
    """Alpha by one standard error, coefficients and predictions of a month, by scikit-learn and pandas."""
    by_month = features.index.to_period("M")
    test = pd.Period(month)
    X, y = features.drop(columns="ordinary_residual"), features["ordinary_residual"]
    train_rows, validation = (by_month >= test - 12) & (by_month < test - 1), by_month == test - 1
    used = X.columns[(X[train_rows] != 0).mean() >= 0.5]
    scaler = StandardScaler().fit(X.loc[train_rows, used].to_numpy())
    fits = [
        tight(a, scaler.transform(X.loc[train_rows, used].to_numpy()), y[train_rows].to_numpy()) for a in GRID
    ]
    losses = [(y[validation] - X.loc[validation, used] @ (w / scaler.scale_)).to_numpy() ** 2 for w in fits]
    means = [loss.mean() for loss in losses]
    best = int(np.argmin(means))
    if not means[best] < (y[validation] ** 2).mean():
        return None, np.zeros(X.shape[1]), pd.Series(0.0, index=y.index[by_month == test])
    for k, w in enumerate(fits):
        d = losses[k] - losses[best]
        if w.any() and d.mean() <= d.std(ddof=1) / np.sqrt(len(d)):
            break
    both = train_rows | validation
    used = X.columns[(X[both] != 0).mean() >= 0.5]
    scaler = StandardScaler().fit(X.loc[both, used].to_numpy())
    w = tight(GRID[k], scaler.transform(X.loc[both, used].to_numpy()), y[both].to_numpy())
    raw = pd.Series(w / scaler.scale_, used).reindex(X.columns, fill_value=0.0)
    return GRID[k], raw.to_numpy(), X[by_month == test] @ raw


@pytest.mark.parametrize("adr", small.ADRS)
def test_models_and_predictions_are_those_of_a_plain_walk(adr: str, market: Any, trained: Path) -> None:
    features = market[adr][0]
    found = predictions(trained).query("ticker == @adr").set_index("date")["prediction"]
    told = metadata(trained).loc[adr]
    assert told.index.tolist() == MONTHS
    for month in MONTHS:
        alpha, raw, expected = plain(features, month)
        assert told.loc[month, "alpha"] == pytest.approx(alpha, rel=1e-12, nan_ok=True)
        assert (told.loc[month, "status"] == "zero model") == (not raw.any())
        saved = read_model(trained / MODELS / "lasso" / told.loc[month, "model_file"])
        weights = pd.Series(saved.linear(Path()), saved.features).reindex(
            features.columns[1:], fill_value=0.0
        )
        np.testing.assert_allclose(weights, raw, atol=1e-6 * max(np.abs(raw).max(), 1e-9))
        if month != MONTHS[-1]:
            of_month = found[found.index.to_period("M") == pd.Period(month)]
            assert of_month.index.equals(expected.index)
            np.testing.assert_allclose(of_month, expected, atol=1e-5 * max(expected.abs().max(), 1e-9))
    assert (told["status"] == "ok").sum() >= 5
    assert found.index.max() == pd.Timestamp(small.days_of(small.ADRS[adr][0])[-1])


def test_planted_stocks_are_used(trained: Path) -> None:
    told = metadata(trained).query("status == 'ok'")
    top = told["top_5_features"].str.split(";")
    assert all(set(stocks[:2]) <= {"U00", "U01"} for stocks in top)
    assert told["test_ic"].dropna().mean() > 0.2


def test_the_metadata_score_what_was_predicted(market: Any, trained: Path) -> None:
    told, found = metadata(trained), predictions(trained)
    assert list(pd.read_csv(trained / MODELS / "lasso" / "training_metadata.csv", nrows=0).columns)[:18] == [
        *("ticker", "exchange", "index", "month", "alpha", "n_train", "n_val", "n_test", "n_features"),
        *("n_nonzero", "val_ic", "test_ic", "test_r2", "test_mse", "test_hit_rate", "top_5_features"),
        *("model_file", "status"),
    ]
    for (ticker, month), rows in found.groupby(["ticker", "month"]):
        e = market[ticker][0]["ordinary_residual"][rows["date"]].to_numpy()
        p, row = rows["prediction"].to_numpy(), told.loc[(ticker, month)]
        assert row["n_test"] == len(rows)
        assert row["test_mse"] == pytest.approx(np.mean((e - p) ** 2), rel=1e-12)
        assert row["test_r2"] == pytest.approx(1 - np.sum((e - p) ** 2) / np.sum(e**2), abs=1e-12)
        if row["status"] == "zero model":
            assert np.isnan([row["test_ic"], row["test_hit_rate"]]).all()
        else:
            assert row["test_ic"] == pytest.approx(pearsonr(e, p)[0], rel=1e-10)
            both = (e != 0) & (p != 0)
            assert row["test_hit_rate"] == pytest.approx(np.mean(np.sign(e[both]) == np.sign(p[both])))
    live = told.xs("2025-07", level="month")
    assert live["live"].all()
    assert (live["n_test"] == 0).all()
    assert live[["test_ic", "test_mse"]].isna().all(axis=None)
    assert not told.drop("2025-07", level="month")["live"].any()


def test_features_that_are_not_there_yet_are_not_chosen_from(market: Any, trained: Path) -> None:
    """The last stock is listed in October 2024: it counts once half of the twelve months' rows have it."""
    told = metadata(trained)
    for adr in small.ADRS:
        last = market[adr][0]["U39"]
        for month in pd.PeriodIndex(MONTHS, freq="M"):
            year = last[(last.index.to_period("M") >= month - 12) & (last.index.to_period("M") < month)]
            expected = len(small.US) - int((year != 0).sum() < len(year) / 2)
            assert told.loc[(adr, str(month)), "n_features"] == expected
        assert set(told.loc[adr, "n_features"]) == {39, 40}
    assert told.loc[("ABC", "2025-01"), "n_train"] == len(small.days_of("XLON", end="2024-11-30"))


def test_availability_is_judged_on_the_rows_of_the_fit(market: Any, tmp_path: Path) -> None:
    """With any return counting, one listed in the validation month is in the refit, a later one is not."""
    late = {"ABC": tuple(frame.copy() for frame in market["ABC"])}
    features = late["ABC"][0]
    features.loc[features.index < "2024-12-01", "U05"] = 0.0
    features.loc[features.index < "2025-01-01", "U06"] = 0.0
    small.write(tmp_path, late)
    train(small.desk(tmp_path, "adr.windows.min_present=0.0"))
    told = metadata(tmp_path).loc["ABC"]
    assert told.loc["2025-01", "n_features"] == len(small.US) - 1
    assert told.loc["2025-02", "n_features"] == len(small.US)


def test_a_stock_of_yesterday_is_no_feature(market: Any, tmp_path: Path) -> None:
    """A column of zeros with a week of returns has a tiny deviation: a fit would multiply what comes next."""
    late = {"ABC": tuple(frame.copy() for frame in market["ABC"])}
    features, targets = late["ABC"]
    begin = features.index.searchsorted(pd.Timestamp("2024-11-25"))
    features.iloc[:begin, features.columns.get_loc("U05")] = 0.0
    features.iloc[begin:, features.columns.get_loc("U05")] = targets["ordinary_residual"].to_numpy()[begin:]
    small.write(tmp_path, late)
    train(small.desk(tmp_path))
    told = metadata(tmp_path).loc["ABC"]
    assert told.loc["2025-01", "n_features"] == len(small.US) - 2  # nor is the last one, of October
    assert told.loc["2025-07", "n_features"] == len(small.US)


@pytest.mark.parametrize("month", ["2025-02", "2025-05"])
def test_nothing_of_a_month_changes_with_what_comes_after_it(
    month: str, market: Any, tmp_path: Path, trained: Path
) -> None:
    """Files byte for byte, and predictions; the month after is live then, and its model the same."""
    last = str((pd.Period(month) + 1).start_time.date() - pd.Timedelta(days=1))
    small.write(tmp_path, market, until=last)
    train(small.desk(tmp_path))
    compare_selections(small.desk(tmp_path))
    whole, cut = small.files(trained), small.files(tmp_path)
    models = [name for name in cut if name.endswith(".pkl")]
    assert len(models) == 2 * (int(month[-2:]) + 1)
    assert all(cut[name] == whole[name] for name in models)
    for file, keys in {
        "lasso/predictions.parquet": [],
        "lasso_evaluation/selection_predictions.parquet": ["rule"],
    }.items():
        now, then = (pd.read_parquet(root / MODELS / file) for root in (tmp_path, trained))
        then = then[then["date"] <= last].reset_index(drop=True)
        assert now["month"].max() == month
        pd.testing.assert_frame_equal(now, then, check_exact=True)
        assert list(now.columns[: len(keys)]) == keys


def test_a_model_knows_nothing_of_its_month(market: Any, tmp_path: Path, trained: Path) -> None:
    """Other numbers from May on: models up to May's are the same, June's is not."""
    other = {adr: (f.copy(), t.copy()) for adr, (f, t) in market.items()}
    for features, targets in other.values():
        late = features.index >= "2025-05-01"
        features.loc[late] = -3.0 * features.loc[late].to_numpy()
        targets.loc[late, "ordinary_residual"] = features.loc[late, "ordinary_residual"].to_numpy()
    train(small.desk(small.write(tmp_path, other)))
    ours, theirs = small.files(trained), small.files(tmp_path)
    for name in (name for name in ours if name.endswith(".pkl")):
        assert (ours[name] == theirs[name]) == (name[-11:-4] <= "2025_05")


def test_two_workers_write_the_same_bytes(market: Any, tmp_path: Path, trained: Path) -> None:
    desk = small.desk(small.write(tmp_path, market), workers=2)
    train(desk)
    compare_selections(desk)
    assert small.files(tmp_path) == small.files(trained)


def test_the_order_of_us_stocks_decides_nothing(market: Any, tmp_path: Path, trained: Path) -> None:
    shuffled = np.random.default_rng(0).permutation(small.US)
    mixed = {adr: (f[["ordinary_residual", *shuffled]], t) for adr, (f, t) in market.items()}
    desk = small.desk(small.write(tmp_path, mixed))
    train(desk)
    compare_selections(desk)
    assert small.files(tmp_path) == small.files(trained)


def test_every_rule_predicts_the_same_days(market: Any, trained: Path) -> None:
    found = pd.read_parquet(trained / MODELS / "lasso_evaluation" / "selection_predictions.parquet")
    assert list(found.columns) == ["rule", "ticker", "date", "month", "prediction", "n_nonzero"]
    assert sorted(set(found["rule"])) == sorted(rules())
    wide = found.pivot(index=["ticker", "date"], columns="rule", values="prediction")
    assert not wide.isna().any(axis=None)
    ours = predictions(trained).set_index(["ticker", "date"])["prediction"]
    pd.testing.assert_series_equal(wide["mse_1se"], ours, check_names=False, check_exact=True)
    assert wide.corr().min(axis=None) < 1.0


def test_the_fourth_rule_by_hand(market: Any, trained: Path) -> None:
    """Fourth grid alpha below alpha_max of the training rows, fitted on all twelve months."""
    found = pd.read_parquet(trained / MODELS / "lasso_evaluation" / "selection_predictions.parquet")
    fourth = found.query("rule == 'fourth' and ticker == 'ABC' and month == '2025-03'").set_index("date")
    features = market["ABC"][0]
    by_month = features.index.to_period("M").astype(str)
    X, y = features[small.US].to_numpy(), features["ordinary_residual"].to_numpy()
    rows = (by_month >= "2024-03") & (by_month < "2025-02")
    alpha_max = np.abs(StandardScaler().fit_transform(X[rows]).T @ y[rows]).max() / rows.sum()
    alpha = GRID[alpha_max > GRID][3]
    rows = (by_month >= "2024-03") & (by_month < "2025-03")
    scaler = StandardScaler().fit(X[rows])
    w = tight(alpha, scaler.transform(X[rows]), y[rows])
    expected = X[by_month == "2025-03"] @ (w / scaler.scale_)
    np.testing.assert_allclose(fourth["prediction"], expected, atol=1e-5 * np.abs(expected).max())
    assert (fourth["n_nonzero"] == np.count_nonzero(w)).all()


@pytest.mark.parametrize(
    "name",
    ["lasso", "ridge", "pls", "sklearn.tree.DecisionTreeRegressor", "sklearn.linear_model.BayesianRidge"],
)
def test_no_returns_no_prediction(name: str, market: Any, tmp_path: Path) -> None:
    """A day on which every US residual is 0 is predicted 0, whatever the means of features and target."""
    flat = {"ABC": tuple(frame.copy() for frame in market["ABC"])}
    features, targets = flat["ABC"]
    features[small.US] += 0.003
    features["ordinary_residual"] += 0.002
    targets["ordinary_residual"] = features["ordinary_residual"].to_numpy()
    features.loc["2025-01-08", small.US] = 0.0
    small.write(tmp_path, flat)
    train(small.desk(tmp_path, f"adr.model.name={name}", "adr.model.selection=ic"))
    found = predictions(tmp_path, name.rpartition(".")[2].lower()).set_index("date")["prediction"]
    assert found["2025-01-08"] == pytest.approx(0.0, abs=1e-15)
    assert (found["2025"] != 0.0).mean() > 0.5


def test_a_market_without_predictor_often_has_the_zero_model(tmp_path: Path) -> None:
    small.write(tmp_path, {adr: small.rows(adr, seed=3, strength=0.0) for adr in small.ADRS})
    report = train(small.desk(tmp_path))
    zero = report.metadata[(report.metadata["status"] == "zero model") & (report.metadata["n_alphas"] == 0)]
    assert len(zero) >= 3
    assert zero["alpha"].isna().all()
    assert (zero[["position", "n_nonzero", "weight"]] == 0).all(axis=None)
    saved = read_model(tmp_path / MODELS / "lasso" / zero["model_file"].iloc[0])
    assert (saved.alpha, saved.features, saved.coef.size) == (None, [], 0)
    assert any("the zero model" in remark for remark in report.remarks())


def test_a_short_window_is_skipped_and_listed(market: Any, tmp_path: Path) -> None:
    """Rows begin in June, and as many are needed as the training months of February's model have."""
    short = {
        adr: (f[f.index >= "2024-06-03"], t[t["date"] >= "2024-06-03"]) for adr, (f, t) in market.items()
    }
    n = len(small.days_of("XLON", "2024-06-03", "2024-12-31"))
    small.write(tmp_path, short)
    report = train(small.desk(tmp_path, f"adr.windows.min_train={n}"))
    told = metadata(tmp_path).loc["ABC"]
    assert told.loc["2025-01", "status"].startswith("skipped: ")
    assert told.loc["2025-01", "n_nonzero"] == 0
    assert pd.isna(told.loc["2025-01", "model_file"])
    assert (told.loc["2025-02", "status"], told.loc["2025-02", "n_train"]) == ("ok", n)
    assert not (tmp_path / MODELS / "lasso" / "ABC" / "2025_01.pkl").exists()
    assert "2025-01" not in set(predictions(tmp_path).query("ticker == 'ABC'")["month"])
    assert any(remark.startswith("ABC: 1 × skipped: ") for remark in report.remarks())


def test_a_short_validation_month_is_skipped(market: Any, tmp_path: Path) -> None:
    halted = {"ABC": tuple(frame.copy() for frame in market["ABC"])}
    features, targets = halted["ABC"]
    gone = (features.index >= "2025-02-10") & (features.index <= "2025-02-28")
    halted["ABC"] = (features[~gone], targets[~gone])
    small.write(tmp_path, halted)
    train(small.desk(tmp_path))
    told = metadata(tmp_path).loc["ABC"]
    assert told.loc["2025-03", "status"] == "skipped: too few validation rows (5 of 10)"
    assert told["status"].str.startswith("skipped").sum() == 1


def test_no_stock_varies(market: Any, tmp_path: Path) -> None:
    still = {"ABC": tuple(frame.copy() for frame in market["ABC"])}
    still["ABC"][0][small.US] = 0.0
    still["ABC"][0]["U03"] = 0.01
    small.write(tmp_path, {**market, **still})
    train(small.desk(tmp_path))
    told = metadata(tmp_path).loc["ABC"]
    assert set(told["status"]) == {"skipped: no US stock varies on enough training rows"}


def test_a_run_without_any_model_is_refused_and_leaves_those_of_before(market: Any, tmp_path: Path) -> None:
    small.write(tmp_path, market)
    train(small.desk(tmp_path))
    before = {path: path.read_bytes() for path in (tmp_path / MODELS / "lasso").rglob("*") if path.is_file()}
    with pytest.raises(InputError, match=r"no month.*too few training rows \(\d+ of 400\).*adr\.windows"):
        train(small.desk(tmp_path, "adr.windows.min_train=400"))
    assert {path: path.read_bytes() for path in before} == before


def test_a_model_in_ten_lines(market: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kairos.adr.models.base._MODELS", {})

    @register("largest")
    class Largest(Model):
        """The stock with the largest correlation alone."""

        def fit(self, X: np.ndarray, y: np.ndarray) -> Largest:
            c = X.T @ y / len(y)
            self.coef = np.where(np.abs(c) == np.abs(c).max(), c, 0.0)
            return self

    train(small.desk(small.write(tmp_path, market), "adr.model.name=largest"))
    told = metadata(tmp_path, "largest")
    assert told["n_nonzero"].max() == 1
    assert set(told["top_5_features"].dropna()) <= {"U00", "U01"}
    assert read_model(tmp_path / MODELS / "largest" / "ABC" / "2025_03.pkl").model == "largest"


@pytest.mark.parametrize("name", ["ridge", "elasticnet", "pls", "pcr", "sklearn.linear_model.BayesianRidge"])
def test_every_shipped_model_trains(name: str, market: Any, tmp_path: Path) -> None:
    small.write(tmp_path, {"ABC": market["ABC"]})
    train(small.desk(tmp_path, f"adr.model.name={name}", "adr.model.selection=mse"))
    told = metadata(tmp_path, name.rpartition(".")[2].lower())
    assert (told["status"] != "ok").sum() <= 3
    assert told["test_ic"].mean() > 0.1
    saved = read_model(tmp_path / MODELS / name.rpartition(".")[2].lower() / told["model_file"].iloc[-1])
    assert saved.coef is not None


def test_a_model_that_is_not_linear_is_evaluated_but_has_no_coefficients(market: Any, tmp_path: Path) -> None:
    small.write(tmp_path, {"ABC": market["ABC"]})
    train(small.desk(tmp_path, "adr.model.name=sklearn.svm.SVR", "adr.model.parameters.epsilon=0.001"))
    told = metadata(tmp_path, "svr").query("status == 'ok'")
    saved = read_model(tmp_path / MODELS / "svr" / told["model_file"].iloc[0])
    assert (saved.coef, len(saved.features)) == (None, len(small.US) - 1)  # the last one is new
    assert len(predictions(tmp_path, "svr"))
    with pytest.raises(InputError, match="not linear"):
        saved.linear(tmp_path)


def test_a_saved_model_is_plain_and_tells_its_periods(trained: Path) -> None:
    path = trained / MODELS / "lasso" / "ABC" / "2025_03.pkl"
    content = pickle.loads(path.read_bytes())
    assert type(content) is dict
    assert content["train"] == ["2024-03-01", "2025-01-31"]
    assert content["validation"] == ["2025-02-03", "2025-02-28"]
    assert content["month"] == "2025-03"
    assert "2025-03-0" not in str(content)
    row = metadata(trained).loc[("ABC", "2025-03")]
    assert content["validation_metrics"]["ic"] == pytest.approx(row["val_ic"], rel=1e-12)
    assert content["alpha"] == pytest.approx(row["alpha"], rel=1e-12)
    assert content["features"] == sorted(content["features"])


def test_models_that_are_no_longer_trained_are_removed(market: Any, tmp_path: Path) -> None:
    small.write(tmp_path, market)
    train(small.desk(tmp_path))
    mine = tmp_path / MODELS / "lasso" / "ABC" / "notes.pkl"
    mine.write_bytes(b"the user's")
    small.write(tmp_path, {"ABC": market["ABC"]}, until="2025-04-30")
    train(small.desk(tmp_path))
    left = {name for name in small.files(tmp_path) if name.endswith(".pkl")}
    assert left == {"ABC/notes.pkl", *(f"ABC/2025_{m:02d}.pkl" for m in range(1, 6))}


def test_a_file_of_the_user_is_not_replaced(market: Any, tmp_path: Path) -> None:
    small.write(tmp_path, market)
    path = tmp_path / MODELS / "lasso" / "training_metadata.csv"
    path.parent.mkdir(parents=True)
    path.write_text("mine\n")
    with pytest.raises(InputError, match=r"training_metadata\.csv: this file was not made by the desk"):
        train(small.desk(tmp_path))
    assert path.read_text() == "mine\n"


def test_broken_inputs_are_named(market: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"targets\.parquet: the file is missing"):
        train(small.desk(tmp_path))
    small.write(tmp_path, market)
    path = tmp_path / MODELS / "features" / "DEF.parquet"
    whole = pd.read_parquet(path)
    there = whole.index != "2024-05-02"
    for broken, said in (
        (whole.iloc[1:], "not those of"),
        (whole.assign(ordinary_residual=whole["ordinary_residual"].where(there)), "not those of"),
        (whole.assign(U07=whole["U07"].where(there)), "a feature of 2024-05-02"),
    ):
        broken.to_parquet(path)
        with pytest.raises(InputError, match=said) as caught:
            train(small.desk(tmp_path))
        assert "DEF.parquet" in str(caught.value)
    path.unlink()
    with pytest.raises(InputError, match=r"DEF\.parquet: the file is missing"):
        train(small.desk(tmp_path))
    (tmp_path / TARGETS).write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"targets\.parquet: damaged, or not a file of the step"):
        train(small.desk(tmp_path))


def test_too_short_a_history_is_an_error(market: Any, tmp_path: Path) -> None:
    small.write(tmp_path, market, until="2024-11-15")
    with pytest.raises(InputError, match="no 12 full months"):
        train(small.desk(tmp_path))


def test_an_error_in_one_adr_names_it(market: Any, tmp_path: Path) -> None:
    small.write(tmp_path, market)
    with pytest.raises(ValueError, match="epsilon") as caught:
        train(small.desk(tmp_path, "adr.model.name=sklearn.svm.SVR", "adr.model.parameters.epsilon=-1"))
    assert caught.value.__notes__ == ["while working on ABC"]
