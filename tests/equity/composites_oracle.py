"""Composites and market regimes by definition: frames of sessions by listings, from the stored tables.

Each composite that ships is written out below as its line of the specification says, from the stored columns
that it is made of. `Blend` says the same of an entry that a user writes.
"""

import math
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import pandas as pd

MAX_GAP = 10  # sessions that a price may be old
FEWEST = 10  # pairs of a coefficient
COVERAGE = 0.8  # share of a window that must exist

V33 = {  # eq, CL_v2, smoothed
    "low_vol_bull": (0.50, 0.25, 0.25),
    "low_vol_neutral": (0.375, 0.375, 0.25),
    "low_vol_bear": (0.25, 0.50, 0.25),
    "normal_vol_bull": (0.40, 0.30, 0.30),
    "normal_vol_neutral": (0.325, 0.375, 0.30),
    "normal_vol_bear": (0.25, 0.45, 0.30),
    "high_vol_bull": (0.25, 0.50, 0.25),
    "high_vol_neutral": (0.225, 0.525, 0.25),
    "high_vol_bear": (0.20, 0.55, 0.25),
}
EXPOSURE = {
    "high_vol_bear": 1.2,
    "high_vol_bull": 1.1,
    "normal_vol_bull": 1.1,
    "normal_vol_neutral": 0.5,
    "normal_vol_bear": 0.8,
    "low_vol_bull": 0.8,
    "low_vol_neutral": 0.8,
    "low_vol_bear": 0.8,
}


class Stored:
    """The stored tables of a built market, as frames of sessions by listings ``ticker/number``."""

    def __init__(self, read):
        self.read = cache(read)
        self.sessions = list(self.read("sessions")["date"])
        number = {day: i for i, day in enumerate(self.sessions)}
        begins = {}
        for row in self.read("listings").sort_values(["ticker", "listing"]).itertuples():
            begins.setdefault(row.ticker, []).append(row.first_session)
        base = self.read("sep_base_academic")
        self.listing = {
            (ticker, day): f"{ticker}/{sum(first <= number[day] for first in begins[ticker])}"
            for ticker, day in zip(base["ticker"], base["date"], strict=True)
        }
        self.columns = sorted(set(self.listing.values()))
        names = [column.split("/") for column in self.columns]
        self.first = np.array([begins[ticker][int(k) - 1] for ticker, k in names])
        self.members = self._placed(self.read("universe").assign(member=1.0), "member").notna()

    def _placed(self, rows, column):
        keys = list(zip(rows["ticker"], rows["date"], strict=True))
        assert len(set(keys)) == len(keys)
        at = {name: i for i, name in enumerate(self.columns)}
        day = {date: i for i, date in enumerate(self.sessions)}
        values = np.full((len(day), len(at)), np.nan)
        for (ticker, date), value in zip(keys, rows[column].to_numpy(float), strict=True):
            values[day[date], at[self.listing[ticker, date]]] = value
        return pd.DataFrame(values, index=self.sessions, columns=self.columns)

    @cache  # noqa: B019 - as long as the test's market
    def panel(self, name):
        """``table.column`` of every row, NaN elsewhere."""
        table, column = name.split(".")
        return self._placed(self.read(table), column)

    def series(self, name):
        """``table.column`` of a table with one row a date."""
        table, column = name.split(".")
        rows = self.read(table).set_index("date")[column]
        return rows.reindex(self.sessions)

    @property
    def regime(self):
        """Label of each session, None without one."""
        return self.series("regime_history_academic.regime")


# What every composite is made of


def z(x, members, bound=math.inf):
    """(x - mean)/std over the date's members; 0 where all are equal or x is alone."""
    own = x.where(members)
    mean, std = own.mean(axis=1), own.std(axis=1, ddof=1)
    alike = (own.count(axis=1) < 2) | (own.max(axis=1) == own.min(axis=1))
    scaled = own.sub(mean, axis=0).div(std, axis=0)
    scaled[alike] = own[alike] * 0.0
    return scaled.clip(-bound, bound)


def weighted_mean(parts, weights, need, missing="skip"):
    """Weighted mean of the parts that exist, over the sum of their absolute weights.

    A weight is a number or a series over the sessions. With "neutral" a missing part is 0 with its weight.
    """
    shape = parts[0] * 0.0
    total, size, count = (shape.fillna(0.0) * 0.0 for _ in range(3))
    for part, weight in zip(parts, weights, strict=True):
        by_date = pd.Series(weight, index=part.index, dtype=float)
        there = part.notna() & np.broadcast_to(by_date.notna().to_numpy()[:, None], part.shape)
        counted = there | (missing == "neutral")
        by_date = by_date.fillna(0.0)
        total += part.where(there, 0.0).mul(by_date, axis=0)
        size += counted.astype(float).mul(by_date.abs(), axis=0)
        count += there
    return (total / size.where(size > 0)).where(count >= max(need, 1))


def smoothed(x, weight):
    """s = a·x + (1-a)·s; after k missing values the old one counts (1-a)^(k+1), and both add up to 1."""
    out = x * np.nan
    for column in x.columns:
        state, gap = None, 0
        for day, value in x[column].items():
            if math.isnan(value):
                gap += 1
                continue
            old = (1.0 - weight) ** (gap + 1)
            state = value if state is None else (weight * value + old * state) / (weight + old)
            out.loc[day, column] = state
            gap = 0
    return out


def latest_price(stored):
    """Last closeadj of the listing, at most `MAX_GAP` sessions old."""
    return stored.panel("sep_base_academic.closeadj").ffill(limit=MAX_GAP)


def coefficients(stored, signal, horizon):
    """Spearman's coefficient, date by date over its members, with the return of the sessions that follow."""
    price = latest_price(stored)
    follows = price.shift(-horizon) / price - 1.0
    found = pd.Series(np.nan, index=stored.sessions)
    for day in stored.sessions:
        pairs = pd.DataFrame({"x": signal.loc[day], "y": follows.loc[day]})[stored.members.loc[day]].dropna()
        if len(pairs) >= FEWEST and pairs["x"].nunique() > 1 and pairs["y"].nunique() > 1:
            found[day] = np.corrcoef(pairs["x"].rank(), pairs["y"].rank())[0, 1]
    return found


def ic_weights(stored, signals, *, horizon=5, lag=1, min_dates=252, signed=False):
    """Weight of each signal at t, from the dates d with d + lag + horizon up to t."""
    ic = [coefficients(stored, signal, horizon).to_numpy() for signal in signals]
    weights = np.ones((len(ic), len(stored.sessions)))
    for t in range(len(stored.sessions)):
        known = [series[: max(t - lag - horizon + 1, 0)] for series in ic]
        known = [series[~np.isnan(series)] for series in known]
        if min(map(len, known)) >= min_dates:
            means = np.array([series.mean() for series in known])
            weights[:, t] = means if signed else means - means.min()
    return [pd.Series(row, index=stored.sessions) for row in weights]


def regime_weights(stored, by_regime):
    """Weights by the label of the session, none without one."""
    number = len(next(iter(by_regime.values())))
    rows = np.array([by_regime.get(label, (np.nan,) * number) for label in stored.regime])
    return [pd.Series(rows[:, i], index=stored.sessions) for i in range(number)]


@dataclass
class Blend:
    """An entry of the configuration, in the words of the specification.

    ``legs`` maps ``table.column``, or a frame's own name, to a weight; ``turned`` are those with a minus.
    """

    legs: dict
    turned: tuple = ()
    leg: str = "z"
    standardise: str = "z"
    missing: str = "skip"
    need: int | None = None
    smooth: float = 0.0
    regimes: dict = field(default_factory=dict)
    ic: dict | None = None
    fallback: dict = field(default_factory=dict)

    def values(self, stored, made=None):
        """The result and its standardised components by the name of the column; `made` are frames by name."""
        source = {
            name: (made or {}).get(name) if name in (made or {}) else stored.panel(name)
            for name in (*self.legs, *self.fallback)
        }
        source = {name: -x if name in self.turned else x for name, x in source.items()}
        scaled = {name: scale(x, stored.members, self.leg) for name, x in source.items()}
        weights = list(self.legs.values())
        if self.regimes:
            weights = regime_weights(stored, self.regimes)
        if self.ic is not None:
            weights = ic_weights(stored, [source[name] for name in self.legs], **self.ic)
        need = len(self.legs) if self.need is None else self.need
        mixed = weighted_mean([scaled[name] for name in self.legs], weights, need, self.missing)
        if self.fallback:
            parts = [scaled[name] for name in self.fallback]
            mixed = mixed.fillna(weighted_mean(parts, list(self.fallback.values()), len(parts)))
        if self.smooth:
            mixed = smoothed(mixed, self.smooth)
        if self.leg != "raw":
            mixed = mixed.round(12)
        return scale(mixed, stored.members, self.standardise), scaled


def scale(x, members, how):
    """``z``, ``z3`` (clipped), or only the members."""
    return x.where(members) if how in ("raw", "none") else z(x, members, 3.0 if how == "z3" else math.inf)


# The composites that ship


def academic(stored):
    trend, meanrev = "feat_trend.price_vs_sma_21", "feat_stat.close_zscore_21d"
    vol, inst = "feat_volume_volatility.vol_zscore_21d", "feat_institutional_academic.inst_z"
    three = dict.fromkeys((trend, meanrev, vol), 1.0)
    eq, _ = Blend(three, turned=(meanrev,), need=1).values(stored)
    v2, legs = Blend({**three, inst: 1.0}, turned=(meanrev,), need=1).values(stored)
    return {
        "trend_z": legs[trend],
        "meanrev_z": legs[meanrev],
        "vol_z": legs[vol],
        "inst_z": legs[inst],
        "alpha_composite_eq": eq,
        "alpha_composite_v2": v2,
    }


def long(stored):
    ratios = ("roe", "roa", "gross_margin", "net_margin")
    quality, parts = Blend({f"feat_fundamental.{x}": 1.0 for x in ratios}, leg="z3", need=1).values(stored)
    growth, inst = "feat_growth_v2.growth_composite_z", "feat_institutional_academic.inst_z"
    alpha, legs = Blend({"quality": 1.0, growth: 1.0, inst: 1.0}, need=1).values(stored, {"quality": quality})
    return {
        **{f"{x}_z": parts[f"feat_fundamental.{x}"] for x in ratios},
        "quality_z": quality,
        "growth_z": legs[growth],
        "inst_z": legs[inst],
        "alpha_CL": alpha,
    }


def simple(name, blend, **columns):
    """A table with one composite: `columns` says what its components are called."""

    def values(stored):
        alpha, legs = blend.values(stored)
        assert set(legs) == set(columns.values())
        return {name: alpha, **{column: legs[source] for column, source in columns.items()}}

    return values


def with_exposure(name, blend, **columns):
    """As `simple`, with the exposure of the regime, 1 in others and without one."""

    def values(stored):
        found = simple(name, blend, **columns)(stored)
        factor = pd.Series([EXPOSURE.get(label, 1.0) for label in stored.regime], index=stored.sessions)
        return {
            **found,
            f"{name}_regime": found[name].mul(factor, axis=0),
            f"{name}_exposure": (found[name] * 0.0).add(factor, axis=0),
        }

    return values


EQ = "feat_composite_academic.alpha_composite_eq"
CL = "feat_composite_long.alpha_CL"
CL_V2 = "feat_composite_long_v2.alpha_CL_v2"
V31 = "feat_composite_v31.alpha_composite_v31"
SMOOTHED = "feat_alpha_smoothed_v31.alpha_smoothed"
V33_REGIME = "feat_composite_v33_regime.alpha_composite_v33_regime"
QUALITY = "feat_quality_v2.quality_composite_z"
VALUE = "feat_value_v2.value_composite_z"
VALUE_ADJ = "feat_value_v2.value_quality_adj"
MOM_12_1 = "feat_momentum_v2.mom_12_1"
MOMENTUM = "feat_momentum_v2.momentum_composite_z"
REVERSAL = "feat_momentum_v2.reversal_1m"
INSIDER = "feat_insider.insider_composite_z"
THREE = {"alpha_composite_eq_z": EQ, "alpha_CL_v2_z": CL_V2, "alpha_smoothed_z": SMOOTHED}
OTHERS = {
    "feat_composite_long_v2": simple(
        "alpha_CL_v2",
        Blend(
            dict.fromkeys(
                (
                    "feat_composite_long.quality_z",
                    "feat_composite_long.growth_z",
                    "feat_composite_long.inst_z",
                    "feat_value.value_z",
                    "feat_adv.size_z",
                    "feat_adv.adv_z",
                ),
                1.0,
            ),
            need=1,
        ),
        quality_z="feat_composite_long.quality_z",
        growth_z="feat_composite_long.growth_z",
        inst_z="feat_composite_long.inst_z",
        value_z="feat_value.value_z",
        size_z="feat_adv.size_z",
        adv_z="feat_adv.adv_z",
    ),
    "feat_composite_v3": simple(
        "alpha_composite_v3", Blend({EQ: 0.6, CL: 0.4}), alpha_composite_eq_z=EQ, alpha_CL_z=CL
    ),
    "feat_composite_v31": simple(
        "alpha_composite_v31", Blend({EQ: 0.6, CL_V2: 0.4}), alpha_composite_eq_z=EQ, alpha_CL_v2_z=CL_V2
    ),
    "feat_alpha_smoothed_v31": simple(
        "alpha_smoothed",
        Blend({V31: 1.0}, leg="raw", standardise="none", smooth=0.3),
        alpha_composite_v31_z=V31,
    ),
    "feat_composite_v32": simple(
        "alpha_composite_v32", Blend(dict.fromkeys((EQ, CL_V2, SMOOTHED), 1.0), ic={}), **THREE
    ),
    "feat_composite_v32b": simple(
        "alpha_composite_v32b", Blend({EQ: 0.4, CL_V2: 0.3, SMOOTHED: 0.3}), **THREE
    ),
    "feat_composite_v33_regime": simple(
        "alpha_composite_v33_regime",
        Blend(dict.fromkeys((EQ, CL_V2, SMOOTHED), 1.0), regimes=V33),
        **THREE,
    ),
    "feat_composite_v4": simple(
        "alpha_composite_v4",
        Blend({EQ: 1.0, CL: 1.0}, ic={"signed": True}),
        alpha_composite_eq_z=EQ,
        alpha_CL_z=CL,
    ),
    "feat_composite_v5": with_exposure(
        "alpha_composite_v5",
        Blend(
            {VALUE_ADJ: 0.35, MOM_12_1: 0.24, REVERSAL: 0.16, QUALITY: 0.15, INSIDER: 0.10},
            standardise="z3",
            missing="neutral",
            need=1,
        ),
        value_quality_adj_z=VALUE_ADJ,
        mom_12_1_z=MOM_12_1,
        reversal_1m_z=REVERSAL,
        quality_composite_z=QUALITY,
        insider_composite_z=INSIDER,
    ),
    "feat_composite_v6": with_exposure(
        "alpha_composite_v6",
        Blend(
            {QUALITY: 0.40, REVERSAL: 0.30, MOMENTUM: 0.20, VALUE: 0.10, INSIDER: 0.0},
            standardise="z3",
            missing="neutral",
            need=1,
        ),
        quality_composite_z=QUALITY,
        reversal_1m_z=REVERSAL,
        momentum_composite_z=MOMENTUM,
        value_composite_z=VALUE,
        insider_composite_z=INSIDER,
    ),
    "feat_composite_v7": simple(
        "alpha_composite_v7",
        Blend({V33_REGIME: 0.5, QUALITY: 0.5}),
        alpha_composite_v33_regime_z=V33_REGIME,
        quality_composite_z=QUALITY,
    ),
    "feat_composite_v8": simple(
        "alpha_composite_v8",
        Blend(
            {V33_REGIME: 0.35, QUALITY: 0.35, VALUE: 0.30},
            fallback={QUALITY: 0.54, VALUE: 0.46},
        ),
        alpha_composite_v33_regime_z=V33_REGIME,
        quality_composite_z=QUALITY,
        value_composite_z=VALUE,
    ),
}
SHIPPED = {"feat_composite_academic": academic, "feat_composite_long": long, **OTHERS}
"""Table to the function from stored tables to its columns."""


# The regime


def regime_measures(stored):
    """Volatility, trend and dispersion of each session, over the members of the session before."""
    price = stored.panel("sep_base_academic.closeadj")
    r = price / price.shift(1) - 1.0
    age = np.arange(len(price))[:, None] - stored.first + 1
    need = math.ceil(COVERAGE * 21)
    std = r.rolling(21, min_periods=need).apply(lambda x: pd.Series(x).std(ddof=1), raw=False)
    std = std.where(age >= 21)
    last = latest_price(stored)
    path = last / last.shift(60) - 1.0
    known = stored.members.shift(1, fill_value=False)
    return {
        "vol": std.where(known).median(axis=1),
        "trend": path.where(known).median(axis=1),
        "dispersion": r.where(known).std(axis=1, ddof=1),
    }


def labels(values, levels, words, least=252, whole=False):
    """Word of each value among the quantiles of the values before it, or of all of them."""
    found = []
    for t, value in enumerate(values):
        past = np.array([x for x in (values if whole else values[:t]) if not math.isnan(x)])
        if math.isnan(value) or (not whole and len(past) < least):
            found.append(None)
            continue
        low, high = np.quantile(past, levels[0]), np.quantile(past, levels[-1])
        found.append(words[-1] if value > high else words[0] if len(words) == 2 or value < low else words[1])
    return found


def regimes(measures, **options):
    """The columns of ``regime_history_academic``, its labels included."""
    third = (0.33, 0.66)
    vol = labels(list(measures["vol"]), third, ("low_vol", "normal_vol", "high_vol"), **options)
    trend = labels(list(measures["trend"]), third, ("bear", "neutral", "bull"), **options)
    spread = labels(list(measures["dispersion"]), (0.5,), ("low_dispersion", "high_dispersion"), **options)
    return {
        "vol_regime": vol,
        "trend_regime": trend,
        "dispersion_regime": spread,
        "regime": [f"{a}_{b}" if a and b else None for a, b in zip(vol, trend, strict=True)],
    }
