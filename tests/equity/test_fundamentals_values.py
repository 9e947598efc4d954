"""Columns of the fundamental tables against their definition, cases by hand, and the simulation's truth."""

import fundamentals_cases as hand
import fundamentals_oracle as oracle
import numpy as np
import pytest
import tables_oracle as basics
from tables_market import built

TABLES = (
    *("feat_value_v2", "feat_quality_v2", "feat_growth_v2", "feat_momentum_v2", "feat_insider"),
    *("feat_institutional_academic", "feat_fundamental", "feat_gross_profit", "feat_value"),
)
OPTIONS = {
    "defaults": ((), {}),
    "a crowd of ten": (["equity.tables.feat_value_v2.crowd=10"], {"crowd": 10}),
    "single quarters": (["equity.tables.feat_quality_v2.ttm=false"], {"ttm": False}),
    "adjusted units": (["equity.tables.holdings.units=adjusted"], {"units": "adjusted"}),
}


class Defined:
    """A built market and what the definitions say about it."""

    def __init__(self, market, **options):
        self.market, self.vendor = market, market.vendor
        self.sessions = basics.calendar(self.vendor)
        self.listed = basics.listings(self.vendor)
        members = basics.point_in_time(self.vendor, self.listed)
        self.tables = oracle.fundamentals(self.vendor, self.listed, members, **options)
        self.chosen = {one.ticker for one, who in zip(self.listed, members, strict=True) if who.any()}

    def differences(self, name, namespace="main", values=None):
        """Cells in which a stored table is not what the definition says."""
        stored = self.market.read(name, namespace).sort_values(["ticker", "date"], ignore_index=True)
        expected = basics.rows(self.listed, self.sessions, values or self.tables[name])
        expected = expected[expected["ticker"].isin(self.chosen)].sort_values(
            ["ticker", "date"], ignore_index=True
        )
        assert stored[["ticker", "date"]].equals(expected[["ticker", "date"]])
        lines = []
        for column in values or self.tables[name]:
            a, b = stored[column].to_numpy(float), expected[column].to_numpy(float)
            same = np.isclose(a, b, rtol=2e-6, atol=1e-7, equal_nan=True)
            if not same.all():
                i = int(np.flatnonzero(~same)[0])
                where = f"{stored['ticker'][i]} {stored['date'][i]}"
                lines.append(f"{column} {where}: stored {a[i]!r}, defined {b[i]!r}; {(~same).sum()} differ")
        return "\n".join(lines)


@pytest.fixture(scope="module")
def simulated_truth(simulated):
    return Defined(simulated)


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    return Defined(built(hand.vendor_files(tmp_path_factory.mktemp("cases") / "vendor", hand.CASES)))


@pytest.mark.parametrize("name", TABLES)
def test_columns_are_what_the_definitions_say(simulated_truth, name):
    stored = simulated_truth.market.read(name)
    assert set(stored.columns) - {"ticker", "date"} == set(simulated_truth.tables[name])
    assert not (found := simulated_truth.differences(name)), found


@pytest.mark.parametrize("name", [name for name in TABLES if name != "feat_institutional_academic"])
def test_columns_of_the_cases_are_what_the_definitions_say(cases, name):
    assert not (found := cases.differences(name)), found


@pytest.mark.parametrize("option", [name for name in OPTIONS if name != "defaults"])
@pytest.mark.slow
def test_options_are_what_the_definitions_say(simulated, option):
    overrides, options = OPTIONS[option]
    space = option.replace(" ", "_")
    simulated.build(*TABLES, overrides=overrides, into=space)
    defined = Defined(simulated, **options)
    for name in TABLES:
        assert not (found := defined.differences(name, space)), (name, found)


def check(market, case):
    rows = market.read(case.table)
    for date, value in case.values.items():
        found = rows.loc[(rows["ticker"] == case.ticker) & (rows["date"] == date), case.name].astype(float)
        assert len(found) == 1, date
        expected = np.nan if value is None else value
        assert np.isclose(found.iloc[0], expected, rtol=1e-6, atol=1e-9, equal_nan=True), (
            date,
            found.iloc[0],
            value,
        )


@pytest.mark.parametrize("case", hand.CASES, ids=lambda case: f"{case.ticker} {case.name}")
def test_cases_worked_out_by_hand(cases, case):
    check(cases.market, case)


@pytest.mark.parametrize("case", hand.ALONE, ids=lambda case: f"{case.ticker} {case.name}")
def test_cases_that_need_a_market_of_their_own(tmp_path, case):
    check(built(hand.vendor_files(tmp_path / "vendor", [case]), tables=(case.table,)), case)


def test_accounts_in_force_are_those_of_the_simulations_truth(simulated):
    """TTM sums and balances from the accounts that were drawn, by the days on which they were filed."""
    vendor = simulated.vendor
    listed = basics.listings(vendor)
    values, agree = oracle.from_truth(oracle.read_truth(simulated.folder), vendor, listed)
    with np.errstate(all="ignore"):
        roe = np.where(values["equity"] > 0, values["netinc"] / values["equity"], np.nan)
        bounded = np.clip(np.where(np.abs(roe) >= 2, np.nan, roe), -1, 1)
        profit = np.where(values["assets"] > 0, values["gp"] / values["assets"], np.nan)
        growth = (values["revenue"] - values["revenue before"]) / np.abs(values["revenue before"])
    compared = 0
    for table, column, truth, needs in (
        ("feat_quality_v2", "computed_roe", bounded, ("netinc", "equity")),
        ("feat_gross_profit", "gross_profitability", profit, ("gp", "assets")),
        ("feat_growth_v2", "revenue_growth_yoy", growth, ("revenue", "revenue before")),
    ):
        rows = basics.rows(
            listed,
            basics.calendar(vendor),
            {"truth": truth, "agree": np.all([agree[name] for name in needs], axis=0).astype(float)},
        )
        joined = simulated.read(table).merge(rows, on=["ticker", "date"])
        joined = joined[joined["agree"] == 1.0]
        same = np.isclose(joined[column], joined["truth"], rtol=1e-5, atol=1e-6, equal_nan=True)
        assert same.all(), (column, joined[~same].head(3))
        compared += int(joined[column].notna().sum())
    assert compared > 10_000
