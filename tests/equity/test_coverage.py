"""The registry of factors, and what share of the members has each: against a count of the stored rows."""

from __future__ import annotations

import datetime as dt
import json

import numpy as np
import pandas as pd
import pytest
from tables_market import walk

from kairos.cli import main
from kairos.equity import coverage, factors, ingest
from kairos.errors import InputError
from kairos.settings import load


def counted(built, table, column):
    """First date, share, and share of the last 365 days, from the rows joined by key."""
    base = built.read("sep_base_academic")[["ticker", "date", "member"]]
    rows = base.merge(built.read(table)[["ticker", "date", column]], on=["ticker", "date"], validate="1:1")
    assert len(rows) == len(base)
    of = rows[rows["member"].astype(bool)]
    has, lately = of[column].notna(), of["date"] > of["date"].max() - dt.timedelta(days=365)
    return of["date"][has].min() if has.any() else None, has.mean(), has[lately].mean()


@pytest.mark.slow
@pytest.mark.parametrize(
    "table",
    [
        "feat_trend",
        "feat_targets",
        "feat_labels",
        "feat_value_v2",
        "feat_institutional_academic",
        "feat_composite_v8",
    ],
)
def test_coverage_is_that_of_a_plain_count(simulated, table):
    found = coverage(simulated.db, [table], settings=simulated.settings)
    stored = simulated.snapshot().table(table)
    assert {f.column for f in found} == set(stored.names) - {"ticker", "date"}
    for factor in found:
        first, share, last_year = counted(simulated, table, factor.column)
        assert factor.first == first, factor.name
        np.testing.assert_allclose([factor.coverage, factor.last_year], [share, last_year], rtol=1e-12)
    shares = [factor.coverage for factor in found]
    assert min(shares) < 1.0


def test_every_column_of_every_feature_table_is_a_factor(simulated):
    found = coverage(simulated.db, settings=simulated.settings)
    tables = {t for _, t in simulated.snapshot().tables if t.startswith("feat_") and "matrix" not in t}
    stored = {
        f"{table}.{column}"
        for table in tables
        for column in simulated.snapshot().table(table).names
        if column not in ("ticker", "date")
    }
    assert {factor.name for factor in found} == stored
    assert len(found) == len(stored)
    assert all(factor.why == "" for factor in found)
    assert {f.kind for f in found if f.table == "feat_targets"} == {"target"}
    assert {f.kind for f in found if f.table == "feat_composite_v5"} == {"composite"}
    known = {factor.name: factor for factor in found}
    accruals = known["feat_quality_v2.computed_accruals"]
    assert (accruals.sign, accruals.source, accruals.kind) == (-1, "Sloan (1996)", "feature")
    assert set(accruals.inputs) == {"filings", "sep_base_academic"}


def test_an_entry_of_the_settings_is_a_factor_before_it_is_built(simulated):
    entry = 'equity.composites.alpha_composite_v9={components={"feat_value_v2.value_composite_z"=1.0}}'
    settings = load(overrides=[entry])
    [declared] = [f for f in factors(settings) if f.column == "alpha_composite_v9"]
    assert declared.formula == "weighted mean of 1·value_composite_z; at least 1 of them; z"
    [found] = [f for f in coverage(simulated.db, settings=settings) if f.column == "alpha_composite_v9"]
    assert (found.why, found.coverage, found.first) == ("not built", None, None)


def test_a_column_of_other_settings_has_no_coverage(simulated):
    settings = load(overrides=["equity.tables.feat_insider.window=20"])
    found = {f.column: f for f in coverage(simulated.db, ["feat_insider"], settings=settings)}
    assert found["buy_value_20d"].coverage is None
    assert found["buy_value_20d"].why == "the table was built with other settings"
    assert found["insider_composite_z"].coverage == 1.0


def test_tables_of_other_rows_are_not_counted(tiny):
    market = tiny(80)
    for i in range(6):
        market.add(f"ALIVE{i}", walk(market, i))
    built = market.build()
    market.add("NEW", walk(market, 9))
    market.write()
    ingest([market.folder], built.db, settings=built.settings)
    built.build("feat_trend")
    found = {f.table: f for f in coverage(built.db, ["feat_trend", "feat_stat"], settings=built.settings)}
    assert found["feat_trend"].coverage is not None
    assert found["feat_stat"].coverage is None
    assert found["feat_stat"].why.endswith("run `kairos equity build feat_stat`")


def test_what_is_wrong_is_said(simulated, tmp_path):
    with pytest.raises(InputError, match="feat_tend is no feature table; there are feat_adv"):
        coverage(simulated.db, ["feat_tend"], settings=simulated.settings)
    with pytest.raises(InputError, match="kairos equity build sep_base_academic"):
        coverage(simulated.db, settings=simulated.settings, namespace="other")
    with pytest.raises(InputError, match="no database"):
        coverage(tmp_path / "none.duckdb", settings=simulated.settings)


def printed(capsys, *words):
    with pytest.raises(SystemExit) as ended:
        main(["equity", "factors", *words])
    assert not ended.value.code
    return capsys.readouterr().out


def test_the_command_prints_the_registry(simulated, capsys):
    words = ["feat_momentum_v2", "--db", str(simulated.db)]
    first, share, _ = counted(simulated, "feat_momentum_v2", "mom_12_1")
    found = pd.DataFrame(json.loads(printed(capsys, *words, "--json"))).set_index("column").loc["mom_12_1"]
    assert (found["source"], found["sign"]) == ("Jegadeesh & Titman (1993)", 1)
    assert found["first"] == first.isoformat()
    assert found["coverage"] == pytest.approx(share)
    [line] = [row for row in printed(capsys, *words).splitlines() if "feat_momentum_v2.mom_12_1 " in row]
    assert line.split()[1:4] == ["feature", "+1", first.isoformat()]
