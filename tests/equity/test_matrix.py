"""The feature matrix: each column of each table once, under a name that no later table takes away."""

from __future__ import annotations

import shutil
from dataclasses import replace

import duckdb
import numpy as np
import pandas as pd
import pytest
from tables_market import built

from kairos.equity import build, registry
from kairos.equity.declare import Column, FeatureTable, Scope
from kairos.equity.matrix import matrix_query
from kairos.errors import InputError, WorkError
from kairos.settings import load
from kairos.simulate.equity import simulate
from kairos.store import Store

KEY = ["ticker", "date"]

OWNERS = {
    "quality_z": "feat_composite_long_v2",
    "growth_z": "feat_composite_long_v2",
    "size_z": "feat_adv",
    "adv_z": "feat_adv",
    "dollar_volume": "feat_volume_volatility",
    "earnings_yield": "feat_value_v2",
    "revenue_growth_yoy": "feat_growth_v2",
    "earnings_growth_yoy": "feat_growth_v2",
    "fcf_growth_yoy": "feat_growth_v2",
    "book_value_growth_yoy": "feat_growth_v2",
    "value_z": "feat_value",
    "inst_z": "feat_institutional_academic",
}
"""Who has a name by the specification."""


def stored(market, name, namespace="main"):
    """A table as its files hold it; pandas puts the parts together."""
    parts = market.snapshot().table(name, namespace).parts
    return pd.concat([pd.read_parquet(part.path) for part in parts], ignore_index=True)


def matrix(market, name="main.feat_matrix_all"):
    with duckdb.connect(str(market.db), read_only=True) as con:
        return con.sql(f"SELECT * FROM {name}").df().assign(date=lambda m: m["date"].dt.date)


def tables(market, namespace="main"):
    """Stored feature tables by name, each with its columns."""
    found = market.snapshot().tables.items()
    return {
        name: [column for column in table.names if column not in KEY]
        for (space, name), table in found
        if space == namespace and name.startswith("feat_") and not table.sql
    }


def sources(market, names, namespace="main"):
    """Table and column behind each name of a matrix, told from the names alone."""
    having = pd.Series(
        {
            (table, column): column
            for table, columns in tables(market, namespace).items()
            for column in columns
        }
    )
    found = {}
    for column, group in having.groupby(having):
        long = {f"{table}__{column}": (table, column) for table, _ in group.index}
        others = {name: source for name, source in long.items() if name in names}
        plain = [source for name, source in long.items() if name not in others]
        assert len(plain) == 1, f"{column} has {len(plain)} plain names"
        found |= {**others, column: plain[0]}
    return found


def check_values(market, whole, namespace="main"):
    """Every value of a matrix is that of its table at the same key."""
    names = sources(market, set(whole.columns), namespace)
    assert sorted(whole.columns) == sorted([*KEY, *names])
    for table in tables(market, namespace):
        rows = whole[KEY].merge(stored(market, table, namespace), on=KEY, how="left", validate="one_to_one")
        for name, (owner, column) in names.items():
            if owner == table:
                pd.testing.assert_series_equal(
                    plain(whole[name]), plain(rows[column]), check_names=False, check_dtype=False, obj=name
                )
    return names


def plain(values):
    """Missing words are None, whether the library calls them None or NaN."""
    numeric = pd.api.types.is_numeric_dtype(values)
    return values if numeric else values.astype(object).where(values.notna(), None)


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("once") / "vendor"
    simulate(folder, tickers=12, years=1, seed=4, format="parquet")
    return built(folder)


@pytest.fixture
def small(once, tmp_path):
    """A small market of its own for a test that builds more."""
    db = tmp_path / "kairos.duckdb"
    shutil.copy(once.db, db)
    shutil.copytree(once.db.with_suffix(""), db.with_suffix(""))
    Store(db).relocate()
    return replace(once, db=db)


def test_every_column_of_every_table_is_there_once_with_its_values(simulated):
    names = check_values(simulated, matrix(simulated))
    assert len(tables(simulated)) > 30
    assert {name: names[name][0] for name in OWNERS} == OWNERS


def test_a_feature_comes_before_a_composite(simulated):
    names = sources(simulated, set(matrix(simulated).columns))
    having = {}
    for table, columns in tables(simulated).items():
        for column in columns:
            having.setdefault(column, set()).add(table)
    composite = {"feat_alpha_smoothed_v31", *(name for name in tables(simulated) if "_composite_" in name)}
    shared = {column: group for column, group in having.items() if column not in OWNERS}
    mixed = {column: group for column, group in shared.items() if group & composite and group - composite}
    assert {"roe_z", "quality_composite_z"} <= set(mixed)
    assert not {column for column in mixed if names[column][0] in composite}


def test_feat_matrix_has_the_rows_of_the_members(simulated):
    whole = matrix(simulated)
    keys = stored(simulated, "universe")[KEY]
    members = whole.merge(keys, on=KEY, validate="one_to_one")
    assert len(keys) == len(members) < len(whole) == len(stored(simulated, "sep_base_academic"))
    for name in ("feat_matrix", "feat_matrix_v2"):
        pd.testing.assert_frame_equal(matrix(simulated, f"main.{name}"), members)
    assert members["sector"].notna().all()
    assert members["regime"].notna().any()


MINE = [
    'equity.composites.mom_12_1.components={"feat_momentum_v2.mom_12_1"=0.5, "feat_adv.adv_z"=0.5}',
    'equity.composites.mom_12_1.table="feat_aaa"',
]
"""A composite whose table has a column of a feature table (its own name) and legs that other tables have."""


def check_grown(before, after, new):
    """No column has another name or other values than before, and only the new ones came."""
    assert set(after.columns) - set(before.columns) == new
    pd.testing.assert_frame_equal(after[list(before.columns)], before)


@pytest.mark.slow
def test_a_composite_of_the_user_renames_nothing(small):
    before = matrix(small)
    small.build(overrides=MINE)
    after = matrix(small)
    check_grown(before, after, {"feat_aaa__mom_12_1", "feat_aaa__mom_12_1_z", "feat_aaa__adv_z"})
    check_values(small, after)
    small.build()
    assert set(matrix(small).columns) >= set(before.columns)


def odd(x, _):
    close = x["sep_base_academic.close"]
    return {"ret_1d": close * 0 + 7, "brand_new": close}


@pytest.fixture
def another(monkeypatch):
    """A table in a module of its own, before all others by its name, with a column that another one has."""
    columns = (Column("ret_1d", "seven"), Column("brand_new", "close"))
    table = FeatureTable(
        name="feat_aaa",
        doc="One more.",
        inputs=("sep_base_academic.close",),
        columns=lambda _: columns,
        history=lambda _, __: 0,
        scope=Scope.TICKER,
        compute=odd,
    )
    found = {"feat_aaa": table, **registry.found()}

    def register():
        monkeypatch.setattr(registry, "found", lambda: found)
        registry._declarations.cache_clear()

    yield register
    monkeypatch.undo()
    registry._declarations.cache_clear()


def test_a_declared_table_renames_nothing(small, another):
    before = matrix(small)
    another()
    small.build()
    after = matrix(small)
    check_grown(before, after, {"feat_aaa__ret_1d", "brand_new"})
    check_values(small, after)
    assert set(after["feat_aaa__ret_1d"].dropna()) == {7.0}
    small.build(force=True)
    pd.testing.assert_frame_equal(matrix(small), after)


@pytest.mark.slow
def test_another_namespace_has_the_names_of_main(small, another):
    before = matrix(small)
    another()
    small.build(into="second", overrides=["equity.universe.min_price=5.0"])
    after = matrix(small, "second.feat_matrix_all")
    assert set(after.columns) - set(before.columns) == {"feat_aaa__ret_1d", "brand_new"}
    check_values(small, after, "second")


def test_the_settings_choose_the_owner(small):
    before = matrix(small)
    small.build("feat_matrix_all", overrides=['equity.matrix.owners.dollar_volume="feat_adv"'])
    after = matrix(small)
    here, there = "feat_adv__dollar_volume", "feat_volume_volatility__dollar_volume"
    assert set(before.columns) - set(after.columns) == {here}
    assert set(after.columns) - set(before.columns) == {there}
    np.testing.assert_array_equal(after["dollar_volume"], before[here])
    np.testing.assert_array_equal(after[there], before["dollar_volume"])


@pytest.mark.slow
def test_names_that_differ_in_capitals_are_one_name_to_sql(small):
    before = matrix(small)
    legs = '{"feat_adv.adv_z"=1.0}'
    small.build(overrides=[f"equity.composites.alpha_cl.components={legs}"])
    after = matrix(small)
    check_grown(before, after, {"feat_cl__alpha_cl", "feat_cl__adv_z"})
    expected = matrix(small)[KEY].merge(stored(small, "feat_cl"), on=KEY)["alpha_cl"]
    pd.testing.assert_series_equal(after["feat_cl__alpha_cl"], expected, check_names=False)


def test_two_columns_with_one_name_are_refused(small):
    before, snapshot = matrix(small), small.snapshot().id
    leg = '{"feat_stat.vol_21d"={weight=1.0, name="feat_adv__dollar_volume"}}'
    with pytest.raises(
        InputError, match="two columns of feat_matrix would be called 'feat_adv__dollar_volume'"
    ):
        small.build(overrides=[f"equity.composites.alpha_mine.components={leg}"])
    assert small.snapshot().id == snapshot
    pd.testing.assert_frame_equal(matrix(small), before)


def altered(table, case):
    if case == "other keys":
        return replace(table, meta={**table.meta, "keys": "of other rows"})
    if case == "other parts":
        return replace(table, parts=table.parts[:-1])
    first, second, *rest = table.parts
    return replace(table, parts=(replace(first, rows=second.rows), replace(second, rows=first.rows), *rest))


@pytest.mark.parametrize("case", ["other keys", "other parts", "as many rows, cut elsewhere"])
def test_a_table_with_other_rows_is_named(simulated, case):
    context, features = simulated.context(), registry.features(simulated.settings)
    query, _ = matrix_query(context, features, members=True)
    assert query == context.table("feat_matrix").sql
    context.made["feat_stat"] = altered(context.table("feat_stat"), case)
    with pytest.raises(
        WorkError, match=r"table feat_stat has not the rows of sep_base_academic.*feat_stat --force"
    ):
        matrix_query(context, features, members=True)


@pytest.mark.parametrize(
    ("owner", "message"),
    [
        ('ret_1d="feat_price_actoin"', "owners.ret_1d = 'feat_price_actoin': there is no such feature table"),
        ('ret_1d="universe"', "owners.ret_1d = 'universe': there is no such feature table"),
        ('ret_1="feat_price_action"', "owners.ret_1 = 'feat_price_action': the table has no column 'ret_1'"),
    ],
)
def test_owners_that_do_not_exist_are_refused(simulated, owner, message):
    before = simulated.snapshot().id
    settings = load(overrides=["run.memory_limit=1GB", f"equity.matrix.owners.{owner}"])
    with pytest.raises(InputError, match=message):
        build(simulated.db, settings=settings)
    assert simulated.snapshot().id == before
