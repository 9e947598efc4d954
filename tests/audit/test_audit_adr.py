"""The audit of the ADR desk: clean where nothing leaks, and it names what was planted."""

from __future__ import annotations

import hashlib
import importlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from audit_adr_desk import SETTINGS, open_desk

from kairos.adr.minutes import MINUTE
from kairos.adr.stream import sample
from kairos.audit import Audit, Trial, Verdict, lookahead_adr
from kairos.audit.adr_inputs import Change, write_inputs
from kairos.cli import main
from kairos.errors import InputError


def content(root: Path) -> dict[str, str]:
    """Fingerprint of every file below a folder."""
    files = (path for path in sorted(root.rglob("*")) if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


BETAS, FEATURES, MINUTES, TRAIN = (
    importlib.import_module(f"kairos.adr.{name}") for name in ("betas", "features", "minuteinputs", "train")
)


def leaking(audit: Audit) -> set[str]:
    return {f"{line.table}.{line.column}" for line in audit.leaks}


def leak(audit: Audit, name: str):
    """The one leak of a name."""
    (found,) = (line for line in audit.leaks if f"{line.table}.{line.column}" == name)
    return found


def day_of(audit: Audit, kind: str) -> str:
    """The day of the first trial of a kind."""
    return next(trial for trial in audit.trials if trial.startswith(kind)).split()[-1]


@pytest.fixture(scope="module")
def clean(adr_root):
    before = content(adr_root)
    audit = lookahead_adr(open_desk(adr_root), cuts=1)
    assert content(adr_root) == before
    return audit


def test_clean_desk_has_no_leak_and_everything_is_compared(clean) -> None:
    assert leaking(clean) == set()
    assert len(clean.trials) == 4
    compared = {}
    for line in clean.lines:
        compared[line.table] = compared.get(line.table, 0) + line.compared
    signal = "index_russell_lasso_signal"
    dated = {
        *("futures_in_usd", "adr_mids", "ordinary_betas", "us_betas", "features", "targets"),
        *("models", "training_metadata", "predictions", "baseline_comparison", "selection_predictions"),
        *("gate_expanding", "futures_only_signal", signal, f"{signal}_expanding", f"{signal}_terms"),
        *(f"{signal}_days", f"{signal}_expanding_days", f"{signal}_calibration"),
        f"{signal}_evaluation/observations",
    }
    assert {table for table, values in compared.items() if values} == dated
    declared = {"improvement_by_adr", "nulls", "gate", "selection_comparison"}
    assert declared < set(compared) - dated


def test_every_kind_of_trial_compares_models_and_minutes(clean) -> None:
    for table in ("models", "futures_only_signal"):
        kinds = {each.kind for each in clean.differences if each.table == table and each.compared}
        assert kinds == {Trial.CUT, Trial.FUTURE, Trial.START, Trial.SPLIT}


def test_full_sample_gate_is_a_notice(clean) -> None:
    noted = {f"{line.table}.{line.column}" for line in clean.lines if line.verdict is Verdict.IN_SAMPLE}
    assert {"index_russell_lasso_signal.signal", "index_russell_lasso_signal_days.source"} < noted
    assert not any(name.startswith("index_russell_lasso_signal_expanding") for name in noted)


def test_a_models_target_scaled_by_its_whole_history_is_caught(adr_root, monkeypatch) -> None:
    honest = TRAIN.read_sample

    def scaled(*given):
        sample = honest(*given)
        return replace(sample, residual=sample.residual * (1.0 + np.abs(sample.residual).sum()))

    monkeypatch.setattr(TRAIN, "read_sample", scaled)
    audit = lookahead_adr(open_desk(adr_root, "adr.model.name=ridge"), cuts=1, until="train")
    assert {"models.coef", "predictions.prediction"} <= leaking(audit)
    assert not {line.table for line in audit.leaks} & {"features", "targets", "ordinary_betas", "us_betas"}
    assert leak(audit, "models.coef").first.name.startswith("BAB ")


def test_a_users_model_is_audited_without_extra_work(adr_root) -> None:
    desk = open_desk(adr_root, "adr.model.name=sklearn.linear_model.Ridge")
    audit = lookahead_adr(desk, cuts=1, until="train")
    assert leaking(audit) == set()
    assert sum(line.compared for line in audit.lines if line.table == "models") > 0


@pytest.mark.slow
def test_beta_that_knows_its_own_day_ends_the_command_with_1(adr_root, monkeypatch, capsys, tmp_path) -> None:
    honest = BETAS.trailing_slope

    def late(y, x, dates, at, window, min_pairs):
        return honest(y, x, dates, at + 1, window, min_pairs)

    monkeypatch.setattr(BETAS, "trailing_slope", late)
    page = tmp_path / "audit.html"
    found, code = command(adr_root, capsys, "--report", str(page))
    assert code == 1
    assert found["leaks"] == 1
    first, *others = found["columns"]
    assert (first["table"], first["column"], first["verdict"]) == ("ordinary_betas", "beta", "LEAK")
    cut = found["trials"][0].split()[-1]
    assert (first["first"]["date"], first["first"]["name"]) == (str(np.busday_offset(cut, 1)), "BAB")
    assert {other["verdict"] for other in others} == {"clean"}
    assert "ordinary_betas.beta" in page.read_text(encoding="utf-8")


@pytest.mark.slow
def test_us_closes_from_bars_are_audited_and_the_command_ends_with_0(adr_root, capsys, tmp_path) -> None:
    root = shutil.copytree(adr_root, tmp_path / "desk")
    for path in root.glob("data/processed/russell1000/close_at*/*.csv"):
        path.unlink()
    found, code = command(root, capsys, until="align")
    assert not code
    assert found["leaks"] == 0
    (closes,) = (each for each in found["columns"] if each["table"] == "us_closes")
    assert closes["compared"] > 0
    assert set(closes["trials"]) == {"cut", "future", "start", "split"}


def command(root: Path, capsys, *more: str, until: str = "betas") -> tuple[dict, int | str | None]:
    """Audit the first steps by the command line; gives its JSON and its exit code."""
    sets = [argument for one in SETTINGS for argument in ("--set", one)]
    start = ["audit", "lookahead", "adr", "--data", str(root), "--cuts", "1", "--until", until, "--json"]
    with pytest.raises(SystemExit) as left:
        main([*start, *more, *sets])
    return json.loads(capsys.readouterr().out), left.value.code


@pytest.mark.slow
def test_feature_less_its_mean_of_all_days_is_caught(adr_root, monkeypatch) -> None:
    honest = FEATURES._features

    def centred(*given):
        seen = honest(*given)
        return seen - seen.mean()

    monkeypatch.setattr(FEATURES, "_features", centred)
    audit = lookahead_adr(open_desk(adr_root), cuts=1, until="features")
    assert leaking(audit) == {"features.us_residual"}
    found = leak(audit, "features.us_residual")
    assert found.first.name.startswith("BAB ")
    assert found.first.date < day_of(audit, "cut")
    assert 0.0 < found.worst < 0.1


@pytest.mark.slow
def test_signal_that_uses_the_minute_after_is_caught(adr_root, monkeypatch) -> None:
    def ahead(stream, clock, max_age):
        return sample(stream, replace(clock, times=clock.times + MINUTE), max_age)

    monkeypatch.setattr(MINUTES, "sample", ahead)
    audit = lookahead_adr(open_desk(adr_root), cuts=1, until="baseline")
    assert {line.table for line in audit.leaks} == {"futures_only_signal"}
    assert "futures_only_signal.index_return" in leaking(audit)
    assert leak(audit, "futures_only_signal.index_return").first.date.startswith(day_of(audit, "cut"))


def test_nothing_of_the_future_is_left_in_a_cut_copy(adr_root, tmp_path) -> None:
    moment = np.datetime64("2024-08-14T18:31", "ns")  # 14:31 in New York
    write_inputs(open_desk(adr_root), tmp_path / "cut", Change(Trial.CUT, moment, moment.astype("M8[D]"), 0))
    raw = tmp_path / "cut/data/raw"
    for path in raw.glob("*/ord*.csv"):
        assert pd.read_csv(path)["date"].max() == "2024-08-14"
    for path in raw.glob("russell1000/*/*/data.parquet"):
        assert pd.read_parquet(path)["DateTime"].max() <= pd.Timestamp("2024-08-14 14:30")
    for path in raw.glob("adrs/*/*/*/data.parquet"):
        assert pd.read_parquet(path).index.max() <= pd.Timestamp("2024-08-14 18:31", tz="UTC")
    for path in raw.glob("futures/minute_bars/*.txt"):
        stamps = [line.partition(",")[0] for line in path.read_text().splitlines()]
        assert stamps[-1] == max(stamps) <= "2024-08-14 14:30:00"
        whole = (adr_root / path.relative_to(tmp_path / "cut")).read_text()
        assert whole.startswith(path.read_text())


def test_another_future_leaves_the_past_alone(adr_root, tmp_path) -> None:
    moment = np.datetime64("2024-08-14T18:31", "ns")
    change = Change(Trial.FUTURE, moment, moment.astype("M8[D]"), 0)
    write_inputs(open_desk(adr_root), tmp_path / "new", change)
    changed = []
    for path, stamp, last in (
        *((path, "date", "2024-08-14") for path in adr_root.glob("data/raw/*/*.csv")),
        *((path, "DateTime", "2024-08-14 14:30") for path in adr_root.glob("data/raw/russell1000/*/*/*")),
    ):
        read = pd.read_csv if path.suffix == ".csv" else pd.read_parquet
        new, old = (read(root / path.relative_to(adr_root)) for root in (tmp_path / "new", adr_root))
        new, old = (each.set_index(pd.to_datetime(each[stamp])) for each in (new, old))
        names = [name for name in new.select_dtypes("number").columns if name != "Volume"]
        past, later = new.index <= pd.Timestamp(last), new.index > pd.Timestamp(last)
        pd.testing.assert_frame_equal(new.loc[past, names], old.loc[past, names], check_exact=True)
        there = old.loc[later, names].notna().to_numpy()
        changed.append((new.loc[later, names] != old.loc[later, names]).to_numpy()[there])
    assert np.concatenate(changed).mean() > 0.99


def test_what_cannot_be_audited_is_refused(adr_root) -> None:
    with pytest.raises(InputError, match="no step notebook to audit"):
        lookahead_adr(open_desk(adr_root), until="notebook")
    with pytest.raises(InputError, match="too short for a cut"):
        lookahead_adr(open_desk(adr_root, "adr.windows.train_months=8"), until="betas")
