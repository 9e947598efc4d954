"""The oracle of the fundamental tables against values worked out by hand and against a simulation's truth."""

import fundamentals_cases as hand
import fundamentals_oracle as oracle
import numpy as np
import pytest
import tables_oracle as basics

from kairos.simulate.equity import simulate

COLUMNS = {
    "feat_value_v2": "earnings_yield book_yield ebitda_yield sales_yield value_composite_z value_quality_adj",
    "feat_quality_v2": "computed_roe computed_roa computed_accruals roe_z roa_z accruals_z "
    "quality_composite_z",
    "feat_growth_v2": "revenue_growth_yoy earnings_growth_yoy fcf_growth_yoy book_value_growth_yoy "
    "growth_composite_z",
    "feat_momentum_v2": "mom_1m mom_3m mom_6m mom_12m mom_12_1 reversal_1m momentum_composite_z",
    "feat_insider": "buy_value_30d sell_value_30d net_buy_value_30d buy_count_30d sell_count_30d "
    "net_buy_signal insider_composite_z",
    "feat_institutional_academic": "inst_value inst_shares inst_num inst_flow_value_qoq "
    "inst_flow_shares_qoq inst_num_change inst_z",
    "feat_fundamental": "earnings_yield fcf_yield book_to_market sales_to_price ebitda_to_ev roe roa "
    "gross_margin operating_margin net_margin asset_turnover debt_to_equity accruals revenue_growth_yoy "
    "earnings_growth_yoy fcf_growth_yoy book_value_growth_yoy earnings_volatility revenue_volatility",
    "feat_gross_profit": "gross_profitability",
    "feat_value": "value_raw value_z",
}


class Worked:
    """A folder of vendor files, read, and its fundamental tables."""

    def __init__(self, folder, **options):
        self.vendor = basics.read_vendor(folder)
        self.sessions = basics.calendar(self.vendor)
        self.found = basics.listings(self.vendor)
        self.members = basics.point_in_time(self.vendor, self.found)
        self.tables = oracle.fundamentals(self.vendor, self.found, self.members, **options)

    def value(self, case, date):
        t = self.sessions.index(date)
        (i,) = (
            i for i, one in enumerate(self.found) if one.ticker == case.ticker and one.first <= t <= one.last
        )
        return self.tables[case.table][case.name][i, t]

    def last(self, column):
        """The column's last session, listing by listing."""
        table, name = column.split(".")
        return self.tables[table][name][:, -1].tolist()


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    return Worked(hand.vendor_files(tmp_path_factory.mktemp("cases") / "vendor", hand.CASES))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return simulate(tmp_path_factory.mktemp("truth") / "vendor", tickers=60, years=2, seed=3)


@pytest.fixture(scope="module")
def market(folder):
    return Worked(folder)


def differences(worked, case):
    found = {date: worked.value(case, date) for date in case.values}
    return [
        (date, found[date], value)
        for date, value in case.values.items()
        if not np.isclose(found[date], np.nan if value is None else value, rtol=1e-8, equal_nan=True)
    ]


@pytest.mark.parametrize("case", hand.CASES, ids=lambda case: case.ticker)
def test_cases_worked_out_by_hand(together, case):
    assert not differences(together, case)


@pytest.mark.parametrize("case", hand.ALONE, ids=lambda case: case.ticker)
def test_cases_that_stand_alone(tmp_path, case):
    assert not differences(Worked(hand.vendor_files(tmp_path / "vendor", [case])), case)


def test_every_ticker_of_the_cases_is_a_member_at_some_time(together):
    members = {one.ticker for one, m in zip(together.found, together.members, strict=True) if m.any()}
    assert members == {case.ticker for case in hand.CASES}
    assert len(members) == len(hand.CASES)


def test_units_on_todays_basis_need_no_price(tmp_path):
    """The split case with adjusted units: 200/200 - 1 in March, without a price in December; 560/200 - 1."""
    case = next(case for case in hand.ALONE if case.ticker == "UNITFLOW")
    worked = Worked(hand.vendor_files(tmp_path / "vendor", [case]), units="adjusted")
    assert worked.value(case, hand.day("2020-05-19")) == 0
    assert worked.value(case, hand.day("2020-08-18")) == pytest.approx(1.8)


def several(tmp_path, column, whats, key="reports", **options):
    """A market of one ticker for each of `whats`."""
    cases = [
        hand.Case(f"T{i}", column, **{"reports": [], "expected": {}, key: x}) for i, x in enumerate(whats)
    ]
    return Worked(hand.vendor_files(tmp_path / "vendor", cases), **options)


def test_a_high_yield_is_punished_where_enough_have_one(tmp_path):
    """Yields 0.1, 0.05, 0.025: mean 0.058333, std 0.038188; the 0.9 quantile is 0.09."""
    daily = [
        {"marketcap": (("2020-01-01", 1000.0),), "pe": (("2020-01-01", pe),)} for pe in (10.0, 20.0, 40.0)
    ]
    z = [1.0910895, -0.2182179, -0.8728716]
    for crowd, expected in ((2, [0.0910895, *z[1:]]), (3, z)):
        worked = several(
            tmp_path / str(crowd), "feat_value_v2.value_quality_adj", daily, "daily", crowd=crowd
        )
        assert worked.last("feat_value_v2.value_quality_adj") == pytest.approx(expected, abs=1e-6)
        assert worked.last("feat_value_v2.value_composite_z") == pytest.approx(z, abs=1e-6)


def test_quality_is_neutral_where_a_part_is_missing(tmp_path):
    """On assets 0.1, 0.2, 0.3: z -1, 0, 1. On equity -, 0.2, 0.3: z -, -0.707, 0.707. No accruals: z 0."""
    reports = [
        [
            hand.quarter("2020-11-05", "2020-09-30", assets=100, equity=equity),
            hand.year("2020-11-05", "2020-09-30", netinc=netinc, ncfo=netinc),
        ]
        for netinc, equity in ((10, -5), (20, 100), (30, 100))
    ]
    worked = several(tmp_path, "feat_quality_v2.quality_composite_z", reports)
    expected = [-1 / 3, -0.7071068 / 3, 1.7071068 / 3]
    assert worked.last("feat_quality_v2.quality_composite_z") == pytest.approx(expected, abs=1e-6)


def test_accruals_are_bad(tmp_path):
    """Accruals 0, 0.1, 0.2: z -1, 0, 1 with the sign turned."""
    reports = [
        [
            hand.quarter("2020-11-05", "2020-09-30", assets=100),
            hand.year("2020-11-05", "2020-09-30", netinc=20, ncfo=ncfo),
        ]
        for ncfo in (20, 10, 0)
    ]
    worked = several(tmp_path, "feat_quality_v2.accruals_z", reports)
    assert worked.last("feat_quality_v2.computed_accruals") == pytest.approx([0, 0.1, 0.2])
    assert worked.last("feat_quality_v2.accruals_z") == pytest.approx([1, 0, -1])


def test_the_bounds_of_quality(tmp_path):
    """On equity 1.5 is cut at 1, 2 is an error; on assets 0.4 is cut at 0.3, 0.5 an error."""
    for netinc, roe, roa in ((150, 1, 0.3), (200, None, 0.3), (250, None, None), (-120, -1, -0.24)):
        reports = [
            hand.quarter("2020-11-05", "2020-09-30", assets=500, equity=100),
            hand.year("2020-11-05", "2020-09-30", netinc=netinc),
        ]
        worked = several(tmp_path / str(netinc), "feat_quality_v2.computed_roe", [reports])
        for name, value in (("computed_roe", roe), ("computed_roa", roa)):
            (found,) = worked.last(f"feat_quality_v2.{name}")
            assert found == pytest.approx(np.nan if value is None else value, nan_ok=True)


def test_growths_are_cut_at_quantiles_before_they_are_standardised(tmp_path):
    """Growths 0, 0.1, 0.2, 1: cut to 0.003 and 0.976, mean 0.31975, std 0.4448313."""
    reports = [
        [
            hand.quarter("2019-11-07", "2019-09-30"),
            hand.year("2019-11-07", "2019-09-30", revenue=100),
            hand.quarter("2020-11-05", "2020-09-30"),
            hand.year("2020-11-05", "2020-09-30", revenue=revenue),
        ]
        for revenue in (100, 110, 120, 200)
    ]
    worked = several(tmp_path, "feat_growth_v2.growth_composite_z", reports)
    assert worked.last("feat_growth_v2.revenue_growth_yoy") == pytest.approx([0, 0.1, 0.2, 1])
    expected = [-0.712067, -0.494008, -0.269203, 1.475278]
    assert worked.last("feat_growth_v2.growth_composite_z") == pytest.approx(expected, abs=2e-6)


def test_momentum_is_a_blend_of_what_exists(tmp_path):
    """Of two values z is ±0.7071068, of equal ones 0. Before a year there is only the reversal."""
    closes = [(("2020-01-01", 40.0), ("2020-03-02", 50.0), ("2021-04-01", 55.0)), 40.0]
    column = "feat_momentum_v2.momentum_composite_z"
    worked = several(tmp_path, column, closes, "close")
    z = 0.7071068
    case = hand.Case("T0", column, [], {})
    assert worked.value(case, hand.day("2020-03-02")) == pytest.approx(-z, abs=1e-6)
    assert worked.value(case, hand.day("2021-02-16")) == pytest.approx(0.6 * z, abs=1e-6)
    assert worked.last("feat_momentum_v2.mom_12_1") == pytest.approx([0, 0])
    assert worked.last(column) == pytest.approx([-0.4 * z, 0.4 * z], abs=1e-6)


def test_insiders_in_logarithms(tmp_path):
    """Net e² − 1, 0 and 1 − e² dollars: 2, 0, −2, so z 1, 0, −1."""
    amount = 6.38905609893065
    forms = [[hand.form("2021-04-01", "P", amount)], [], [hand.form("2021-04-01", "S", amount)]]
    worked = several(tmp_path, "feat_insider.insider_composite_z", forms, "forms")
    assert worked.last("feat_insider.insider_composite_z") == pytest.approx([1, 0, -1])


def test_columns_are_complete(market):
    found = {table: " ".join(columns) for table, columns in market.tables.items()}
    assert found == COLUMNS


def test_values_of_a_simulated_market(market):
    """Finite or missing, NULL for others where members are compared, there for most members."""
    members = np.array(market.members)
    compared = ("_z", "value_quality_adj")
    for table, columns in market.tables.items():
        for name, x in columns.items():
            where = f"{table}.{name}"
            assert x.shape == members.shape, where
            assert not np.isinf(x).any(), where
            assert np.isfinite(x[members]).mean() > 0.4, where
            if name.endswith(compared) or table == "feat_fundamental":
                assert np.isnan(x[~members]).all(), where
            elif table != "feat_insider":
                assert np.isfinite(x[~members]).any(), where


@pytest.mark.parametrize("seed", [3, 11])
def test_reports_in_force_are_those_of_the_truth(market, folder, tmp_path, seed):
    """The figures agree with the quarters drawn wherever they must, and nowhere else."""
    if seed != 3:
        folder = simulate(tmp_path / "vendor", tickers=80, years=3, seed=seed)
        vendor = basics.read_vendor(folder)
        found = basics.listings(vendor)
    else:
        vendor, found = market.vendor, market.found
    known = oracle.accounts(vendor, found)
    drawn, agree = oracle.from_truth(oracle.read_truth(folder), vendor, found)
    listed = np.array([np.isfinite(one["close"]) for one in found])
    for name, expected in drawn.items():
        rounding = 0.6e-6 if name == "tbvps" else 0.6
        same = np.isclose(known[name], expected, rtol=1e-12, atol=rounding, equal_nan=True)
        assert same[agree[name]].all(), name
        assert not same[listed & ~agree[name]].any(), name
        assert agree[name][listed].mean() > 0.7, name
        assert np.isfinite(expected[listed & agree[name]]).mean() > 0.5, name
    assert not agree["netinc"][listed].all()


def test_a_reused_ticker_keeps_its_companies_apart(market):
    """The present company's figures never come from a report that was filed before its first price."""
    since = oracle.present_since(market.vendor)
    assert since
    known = oracle.accounts(market.vendor, market.found)
    reports = market.vendor["sf1"]
    for ticker, begins in since.items():
        own = reports[(reports["ticker"] == ticker) & (reports["dimension"] == "ARQ")]
        first = min(day for day in own["datekey"] if day >= begins)
        present = [
            i
            for i, one in enumerate(market.found)
            if one.ticker == ticker and market.sessions[one.last] >= begins
        ]
        without = [t for t, date in enumerate(market.sessions) if date <= first]
        assert present
        assert np.isnan(known["assets"][present][:, without]).all()
        assert np.isfinite(known["assets"][present]).any()
