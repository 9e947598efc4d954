"""What holds for every column of every registered feature table, also of one that is added later."""

import bisect
import dataclasses
import datetime as dt
import math
from fractions import Fraction

import numpy as np
import pytest
import tables_oracle as oracle
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kairos.equity import registry
from kairos.equity.context import PRICES
from kairos.equity.declare import Coded, DateTable, Scope
from kairos.equity.frame import Frame, Inputs, Outcomes
from kairos.equity.tables.regime_history_academic import REGIMES
from kairos.settings import load

TABLES = registry.features(load())
DATED = [table for table in registry.tables(load()) if isinstance(table, DateTable)]
EACH = pytest.mark.parametrize("table", TABLES, ids=lambda t: t.name)
RECURSIVE = {"ema_12", "ema_26", "macd", "macd_signal", "macd_hist"}
"""Differences of recursive averages may be off by 2 ulp of the averages."""

FEW = settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))


def resolved(table):
    return table.resolve({})


def agree(a, b, ulps, scale=None):
    """Both missing, or equal as FLOAT up to `ulps` units in the last place of the largest operand."""
    x, y = np.asarray(a, np.float32), np.asarray(b, np.float32)
    operand = np.fmax(np.abs(x), np.abs(y)) if scale is None else scale.astype(np.float32)
    with np.errstate(invalid="ignore"):
        near = np.abs(x.astype(float) - y.astype(float)) <= ulps * np.spacing(operand).astype(float)
    return (np.isnan(x) & np.isnan(y)) | (near if ulps else x == y)


def allowed(table, column, made, rows):
    """Units in the last place by which a column may differ, and the operands that they are of."""
    if column.startswith("alpha_smoothed"):  # a recursion of values of the order of 1
        return 2, np.ones(made[column][rows].shape)
    if column in RECURSIVE:
        return 2, np.fmax(np.abs(made["ema_12"][rows]), np.abs(made["ema_26"][rows]))
    return (0 if table.scope is Scope.TICKER else 2), None


def cut(x, lo, hi):
    """The same inputs, as if only sessions lo..hi-1 had been read."""
    frame = dataclasses.replace(x.frame, sessions=x.frame.sessions[lo:hi], parts=(), start=x.frame.start + lo)

    def load(name):
        panel = x.load(name)
        return panel if panel is None or name.startswith("tickers.") else np.asfortranarray(panel[lo:hi])

    return dataclasses.replace(x, frame=frame, load=load)


def reorder(x, order):
    """The same inputs with the listings in another order."""
    f, outcomes = x.frame, x.load_outcomes
    frame = dataclasses.replace(
        f, tickers=f.tickers[order], listing=f.listing[order], first=f.first[order], parts=()
    )

    def load(name):
        panel = x.load(name)
        if panel is None or (panel.ndim == 1 and not name.startswith("tickers.")):
            return panel
        return np.asfortranarray(panel[..., order])

    def ends():
        o = outcomes()
        return Outcomes(o.last[order], o.ended[order], o.settled[order], o.payout[order])

    return dataclasses.replace(x, frame=frame, load=load, load_outcomes=ends)


def decoded(made):
    """Columns of words as numbers, so that equal words are equal."""
    words = sorted({*REGIMES, *(w for p in made.values() if isinstance(p, Coded) for w in p.labels)})
    place = {word: float(i) for i, word in enumerate(words)}
    found = {}
    for name, panel in made.items():
        if isinstance(panel, Coded):
            at = np.array([*(place[label] for label in panel.labels), np.nan])
            panel = at[np.where(np.isnan(panel.codes), len(panel.labels), panel.codes).astype(int)]
        found[name] = panel
    return found


def compute(table, x, p):
    return decoded(table.compute(x, p))


def slice_differs(table, x, t):
    """Columns in which [t - history, t] does not give the row t of the whole, where t has a price."""
    p = resolved(table)
    whole = compute(table, x, p)
    lo, hi = (
        max(t - table.history(p, x.max_gap), 0),
        min(t + table.forward(p, x.max_gap) + 1, len(x.frame.sessions)),
    )
    part = compute(table, cut(x, lo, hi), p)
    stored, wrong = np.isfinite(x.load("sep_base_academic.close")[t]), {}
    for column in whole:
        ulps, scale = allowed(table, column, whole, t)
        same = agree(whole[column][t], part[column][t - lo], ulps, scale)
        if not same[stored].all():
            i = int(np.flatnonzero(~same & stored)[0])
            wrong[column] = (t, i, whole[column][t, i], part[column][t - lo, i])
    return wrong


def random_inputs(table, seed, missing, *, T=420, N=6, max_gap=10):
    """A market of random walks with random gaps; every declared input gets a plausible panel."""
    rng = np.random.default_rng(seed)
    close = np.exp(np.cumsum(rng.normal(0, 0.02, (T, N)), axis=0)) * rng.uniform(1, 400, N)
    first = np.where(np.arange(N) % 3 == 2, rng.integers(0, T // 2, N), 0)
    last = np.where(np.arange(N) % 4 == 3, rng.integers(2 * T // 3, T, N), T - 1)
    hole = rng.random((T, N)) < missing
    for j in range(N):  # no gap is so long that it would end the listing
        for t in range(max_gap, T):
            if hole[t - max_gap + 1 : t + 1, j].all():
                hole[t, j] = False
    row = np.arange(T)[:, None]
    hole[first, np.arange(N)] = hole[last, np.arange(N)] = False
    hole |= (row < first) | (row > last)
    still = (row // 40) % 5 == 2  # stretches of constant prices and no volume
    close[:, 1] = np.where(still[:, 0], 25.0, close[:, 1])
    panels = {
        "close": close,
        "closeadj": close * 0.8,
        "closeunadj": close * 2,
        "open": close * (1 + rng.normal(0, 0.005, (T, N))),
        "high": close * (1 + np.abs(rng.normal(0, 0.01, (T, N)))),
        "low": close * (1 - np.abs(rng.normal(0, 0.01, (T, N)))),
        "volume": np.where(rng.random((T, N)) < 0.02, 0.0, rng.lognormal(12, 1, (T, N)).round()),
        "price": np.where(rng.random((T, N)) < 0.8, close, np.nan),
        "marketcap": np.where(rng.random((T, N)) < 0.95, close * 10, np.nan),
        "member": np.where(rng.random((T, N)) < 0.8, 1.0, 0.0),
    }
    panels = {name: np.asfortranarray(np.where(hole, np.nan, panel)) for name, panel in panels.items()}

    series = {
        "market": rng.normal(0, 0.01, T),
        "regime_history_academic": rng.choice(np.array([*REGIMES, None], dtype=object), T),
        "tickers": rng.choice(np.array(["Energy", "Technology", None], dtype=object), N),
    }

    def load(name):
        source, _, column = name.partition(".")
        if source.startswith("weights_"):
            return series.setdefault(name, np.abs(rng.normal(size=T)))
        if source in series:
            return series[source]
        if column not in panels:
            panels[column] = np.asfortranarray(np.where(hole, np.nan, rng.normal(size=(T, N))))
        return panels[column]

    days = np.datetime64("2015-01-01") + np.arange(T)
    frame = Frame(days, np.array([f"T{j}" for j in range(N)]), np.ones(N, np.int64), first, ())
    ends = Outcomes(last, last < T - 1, last + 1, np.where(last < T - 1, -0.3, 0.0))
    return Inputs(frame, load, (*table.inputs, *table.optional), 0.8, max_gap, lambda: ends)


@EACH
@pytest.mark.parametrize("quick", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_history_is_enough_on_the_simulated_market(simulated, table, quick):
    context = simulated.context()
    x = context.panels(PRICES).inputs((*table.inputs, *table.optional))
    T = len(x.frame.sessions)
    for t in sorted({T - 1, 253} if quick else {T - 2, T // 2, 400, 450, 100}):
        assert not (wrong := slice_differs(table, x, t)), wrong


@EACH
@pytest.mark.slow
@FEW
@given(seed=st.integers(0, 10_000), missing=st.sampled_from([0.0, 0.05, 0.2]), back=st.integers(0, 40))
def test_history_is_enough_with_random_gaps(table, seed, missing, back):
    x = random_inputs(table, seed, missing)
    assert not (wrong := slice_differs(table, x, 419 - back - table.forward(resolved(table), x.max_gap))), (
        wrong
    )


@EACH
def test_history_is_enough_for_a_ticker_that_trades_every_fifth_session(table):
    x = random_inputs(table, 1, 0.8)
    assert not (wrong := slice_differs(table, x, 419 - table.forward(resolved(table), x.max_gap))), wrong


@EACH
@pytest.mark.slow
def test_history_follows_the_longest_gap_of_the_configuration(table):
    """`equity.listing.max_gap` is the oldest price that a return may use, so the history depends on it."""
    x = random_inputs(table, 5, 0.95, max_gap=60)
    for t in range(370, 399):
        assert not (wrong := {c: w for c, w in slice_differs(table, x, t).items() if c not in RECURSIVE}), (
            wrong
        )


@EACH
@FEW
@given(seed=st.integers(0, 10_000), order=st.permutations(range(6)))
def test_the_order_of_the_tickers_does_not_matter(table, seed, order):
    x, p = random_inputs(table, seed, 0.05), resolved(table)
    whole, moved = compute(table, x, p), compute(table, reorder(x, np.array(order)), p)
    for column in whole:
        ulps = 0 if table.scope is Scope.TICKER else 2
        scale = np.fmax(np.abs(whole[column]), 1.0)[:, list(order)] if ulps else None
        same = agree(whole[column][:, list(order)], moved[column], ulps, scale)
        assert same.all(), (column, np.argwhere(~same)[:3])


@EACH
def test_the_past_is_blind_to_the_future(table):
    """Other prices after t change nothing up to t; targets change only within their horizon."""
    x, p, t = random_inputs(table, 8, 0.05), resolved(table), 300
    forward = table.forward(p, x.max_gap)

    def load(name):
        panel = x.load(name).copy(order="F")
        if name.startswith("tickers."):
            return panel
        panel[t + 1 :] = panel[t + 1 :] * 1.7 if panel.dtype == float else panel[t + 1 :][::-1]
        return panel

    whole, other = compute(table, x, p), compute(table, dataclasses.replace(x, load=load), p)
    known = t + 1 - forward
    for column in whole:
        assert agree(whole[column][:known], other[column][:known], 0).all(), column
    if forward:
        assert not all(agree(whole[c][: t + 1], other[c][: t + 1], 0).all() for c in whole)


AS_OF = [
    pytest.param(("simulated", dt.date(2015, 9, 30)), marks=pytest.mark.slow),  # between two companies
    ("simulated", dt.date(2016, 2, 1)),  # shortly after a bankruptcy
    pytest.param(("simulated", dt.date(2016, 8, 2)), marks=pytest.mark.slow),  # last trade before a merger
    pytest.param(("by_hand", dt.date(2020, 4, 15)), marks=pytest.mark.slow),  # within gaps, before any end
    pytest.param(("by_hand", dt.date(2020, 4, 23)), marks=pytest.mark.slow),  # the session after the ends
]


@pytest.fixture(scope="module", params=AS_OF, ids=lambda case: f"{case[0]} {case[1]}")
def truncated(request):
    """The same tables from what was known on a date, in a namespace of their own."""
    market, as_of = request.getfixturevalue(request.param[0]), request.param[1]
    name = f"cut_{as_of:%Y%m%d}"
    market.build(as_of=as_of, into=name)
    return market, name, as_of


def both(market, namespace, name):
    """Rows of a table in the whole and in the truncated build, matched on the key."""
    if (namespace, name) not in market.snapshot().tables:
        assert name in market.report.not_built
        pytest.skip(f"{name} is not built: {market.report.not_built[name]}")
    a, b = market.read(name), market.read(name, namespace)
    return (
        a.merge(b, on=[key for key in ("ticker", "date") if key in a], suffixes=("", "_cut"), validate="1:1"),
        a,
        b,
    )


@pytest.mark.parametrize("coverage", ["0.55", "0.7", "0.8", "0.95", "1.0"])
def test_coverage_is_rounded_up_from_the_decimal_that_was_written(coverage):
    """55 % of 100 sessions are 55 observations, though 0.55 · 100 is a little more in binary."""
    x = dataclasses.replace(random_inputs(TABLES[0], 0, 0.0), coverage=float(coverage))
    for n in (5, 14, 20, 21, 60, 63, 100, 200, 252):
        assert x.rolling(n).min_obs == math.ceil(Fraction(coverage) * n), n


@EACH
def test_truncated_data_give_the_same_values(truncated, table):
    market, namespace, as_of = truncated
    joined, _, cut_rows = both(market, namespace, table.name)
    assert len(joined) == len(cut_rows) > 1000  # no row exists only in the past
    horizon = table.forward(resolved(table), oracle.GAP)
    if horizon:
        sessions = market.read("sessions")["date"].tolist()
        listed = oracle.listings(market.vendor)
        now = sessions.index(as_of)
        joined["t"] = [sessions.index(d) for d in joined["date"]]
        # whether a ticker that stopped in the last ten sessions has ended, and why, nobody knows yet
        silent = {one.ticker for one in listed if one.ended and now - oracle.GAP <= one.last < now}
        open_end = joined["ticker"].isin(silent)
    for column in (c for c in cut_rows.columns if c not in {"ticker", "date"}):
        rows = joined
        if horizon:
            h = int("".join(ch for ch in column if ch.isdigit()))
            final = joined["t"] + h + oracle.GAP <= now
            rows = joined[final | (joined["t"] + h <= now) & ~open_end]
            assert joined.loc[joined["t"] + h > now, f"{column}_cut"].isna().all()
        a, b = rows[column], rows[f"{column}_cut"]
        same = (a == b) | (a.isna() & b.isna())
        assert same.all(), (column, rows[~same].head(3))


def test_truncated_data_give_the_same_universe(truncated):
    market, namespace, as_of = truncated
    whole, part = market.read("universe"), market.read("universe", namespace)
    whole = whole[[d <= as_of for d in whole["date"]]].reset_index(drop=True)
    assert len(part) > 1000
    for column in part.columns:
        assert whole[column].equals(part[column]), column


@EACH
def test_rows_parts_and_types(simulated, table):
    snap = simulated.snapshot()
    base, made = snap.table("sep_base_academic"), snap.table(table.name)
    assert made.key == ("ticker", "date")
    assert made.rows == base.rows
    assert [(p.rows, p.lo, p.hi) for p in made.parts] == [(p.rows, p.lo, p.hi) for p in base.parts]
    types = dict(made.columns)
    assert types.pop("ticker") == "VARCHAR"
    assert types.pop("date") == "DATE"
    assert types == {c.name: c.dtype for c in table.columns(resolved(table))}
    assert set(types.values()) <= {"FLOAT", "DOUBLE", "TINYINT", "VARCHAR"}
    keys = snap.read(table.name, columns=["ticker", "date"])
    assert keys.equals(snap.read("sep_base_academic", columns=["ticker", "date"]))
    with snap.connect() as con:
        distinct = con.sql(f"SELECT count(*), count(DISTINCT (ticker, date)) FROM {table.name}").fetchall()
        assert distinct == [(made.rows, made.rows)]
        for column in types:
            odd = "false" if types[column] == "VARCHAR" else f"NOT isfinite({column}::DOUBLE)"
            ((odd, filled),) = con.sql(
                f"SELECT count(*) FILTER ({odd}), count({column}) FROM {table.name}"
            ).fetchall()
            assert odd == 0, column
            assert filled > 0, f"{column} is always NULL"


def test_a_row_stands_in_the_part_of_the_period_in_which_it_came_to_belong(simulated):
    """That of its date, or of the date on which its ticker first was a member."""
    base = simulated.snapshot().table("sep_base_academic")
    rows = simulated.read("sep_base_academic")
    first = simulated.read("universe").groupby("ticker")["date"].min()
    last = rows["date"].max()
    starts = sorted({dt.date(2015, 1, 1), *(dt.date(2016, m, 1) for m in (1, 4, 7, 10)), last.replace(day=1)})
    starts = [day for day in starts if day <= last]
    if last.month % 3 == 0:  # the last quarter by months
        starts = sorted({*starts, *(dt.date(2016, last.month - k, 1) for k in (0, 1, 2))})
    born = [max(d, first[t]) for t, d in zip(rows["ticker"], rows["date"], strict=True)]
    place = [bisect.bisect_right(starts, day) for day in born]
    keys = [*zip(place, rows["ticker"], rows["date"], strict=True)]
    assert keys == sorted(set(keys))
    counts = np.unique(place, return_counts=True)[1].tolist()
    assert [part.rows for part in base.parts] == counts
    assert len(counts) >= 4
    kinds = {"ticker": "VARCHAR", "date": "DATE"} | dict.fromkeys(oracle.FIELDS, "DOUBLE")
    assert dict(base.columns) == kinds | {"member": "BOOLEAN"}
    members = set(zip(*simulated.read("universe")[["ticker", "date"]].to_numpy().T, strict=True))
    told = {
        key
        for key, flag in zip(zip(rows["ticker"], rows["date"], strict=True), rows["member"], strict=True)
        if flag
    }
    assert told == members


@pytest.mark.parametrize("table", DATED, ids=lambda t: t.name)
def test_truncated_data_give_the_same_dates(truncated, table):
    market, namespace, as_of = truncated
    joined, whole, part = both(market, namespace, table.name)
    assert len(joined) == len(part) > 50
    assert list(part["date"]) == [d for d in whole["date"] if d <= as_of]
    for column in (c for c in part.columns if c != "date"):
        a, b = joined[column], joined[f"{column}_cut"]
        same = (a == b) | (a.isna() & b.isna())
        assert same.all(), (column, joined[~same].head(3))


def test_cross_sectional_columns_are_null_off_membership(simulated):
    member = set(zip(*simulated.read("universe")[["ticker", "date"]].to_numpy().T, strict=True))
    rows = simulated.read("feat_adv")
    inside = np.array([key in member for key in zip(rows["ticker"], rows["date"], strict=True)])
    for column, raw in (("adv_z", "adv_20"), ("size_z", "size_raw")):
        assert rows.loc[~inside, column].isna().all()
        assert rows.loc[inside, column].notna().equals(rows.loc[inside, raw].notna())
    assert rows.loc[~inside, "adv_20"].notna().any()
