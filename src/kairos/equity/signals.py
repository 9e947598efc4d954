"""`kairos equity signals`: how well a column foretells returns."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kairos.equity.backtest.scaling import SESSIONS_PER_YEAR
from kairos.equity.columns import resolve, warnings_of
from kairos.equity.context import PRICES, Context, Panels, open_store
from kairos.equity.frame import Array, Ints, Mask
from kairos.equity.outcome import alive, forward_return, value_path
from kairos.equity.sectors import Codes, sectors
from kairos.errors import InputError
from kairos.evaluation.information import (
    FamaMacBeth,
    ICSummary,
    by_group,
    by_sector,
    decay,
    fama_macbeth,
    information_coefficient,
    rank_autocorrelation,
    signal_correlation,
    summarise,
)
from kairos.evaluation.quantiles import QuantilePortfolios, quantile_portfolios
from kairos.evaluation.significance import holm, romano_wolf
from kairos.panel import neutralise, z
from kairos.settings import Settings

ROMANO_WOLF_SEED = 0


@dataclass(frozen=True)
class SignalResult:
    """What one column is worth as a signal. All coefficients are daily rank correlations over the members.

    Attributes
    ----------
    column : str
        ``table.column``; `lower_is_better` when its sign was turned before anything was measured.
    ic : (T,)
        Coefficient of each session against the headline return.
    headline, neutral, in_sample, out_of_sample : ICSummary
        Of all dates; after removing the exposures; before and from the configured date (None without one).
    decay : mapping
        By horizon in sessions.
    years, sectors : mapping
        By calendar year; by sector (over its members).
    slope : FamaMacBeth
        Return per standard deviation of the signal.
    quantiles : QuantilePortfolios
        Equal-count portfolios, bought with the lag, held and drifted.
    autocorrelation : mapping
        Mean rank autocorrelation by sessions between.
    members : float
        Mean number of members with a signal and a return.
    """

    column: str
    lower_is_better: bool
    ic: Array
    headline: ICSummary
    neutral: ICSummary
    in_sample: ICSummary | None
    out_of_sample: ICSummary | None
    decay: Mapping[int, ICSummary]
    years: Mapping[int | str, ICSummary]
    sectors: Mapping[str, ICSummary]
    slope: FamaMacBeth
    quantiles: QuantilePortfolios
    autocorrelation: Mapping[int, float]
    members: float


@dataclass(frozen=True)
class SignalStudy:
    """Several signals on the same members, dates and returns.

    Attributes
    ----------
    sessions : (T,)
        Dates of all daily series.
    correlation : (S, S)
        Mean daily rank correlation between the signals.
    holm, romano_wolf : (S,)
        p-values of the headline coefficients adjusted for the number of signals.
    """

    sessions: np.ndarray[Any, np.dtype[np.datetime64]]
    signals: Sequence[SignalResult]
    correlation: Array
    holm: Array
    romano_wolf: Array
    settings: Settings
    facts: Mapping[str, Any]

    def table(self) -> tuple[list[str], list[list[Any]]]:
        """Columns and rows of a printed summary."""
        horizons = self.settings.equity.signals.horizons
        columns = [
            "signal",
            "IC",
            "t",
            "ICIR",
            "IC > 0",
            "dates",
            "members",
            "neutral IC",
            "t neutral",
            "p",
            "p neutral",
            "spread a year",
        ]
        rows = [
            [
                *(
                    r.column,
                    r.headline.mean,
                    r.headline.t,
                    r.headline.icir,
                    r.headline.positive,
                    r.headline.n,
                ),
                *(
                    r.members,
                    r.neutral.mean,
                    r.neutral.t,
                    r.headline.p,
                    r.neutral.p,
                    float(r.quantiles.spread.mean()) * SESSIONS_PER_YEAR,
                ),
                *(r.decay[h].mean for h in horizons),
            ]
            for r in self.signals
        ]
        return [*columns, *(f"IC {h}" for h in horizons)], rows

    def as_dict(self) -> dict[str, Any]:
        """The study as plain data."""
        columns, rows = self.table()
        return {
            "signals": [dict(zip(columns, row, strict=True)) for row in rows],
            "correlation": self.correlation.tolist(),
            "holm": self.holm.tolist(),
            "romano_wolf": self.romano_wolf.tolist(),
            "settings": self.settings.part("equity.signals"),
            **self.facts,
        }


def signals(
    db: Path,
    columns: Sequence[str],
    *,
    settings: Settings,
    lower_is_better: bool = False,
    namespace: str = "main",
    snapshot: str | None = None,
) -> SignalStudy:
    """Evaluate columns as signals.

    The value on t is known after the close of t; the return runs from the close of t + lag over `horizon`
    sessions. A ticker that ends on the way pays its last price and the pay-out; membership is that of t.

    Raises
    ------
    InputError
        A column does not exist, looks ahead, or has no date with enough names.
    """
    if not columns:
        raise InputError("name a column with --alpha")
    context = Context(open_store(db, settings).snapshot(snapshot), settings, namespace)
    full = list(dict.fromkeys(resolve(context, column) for column in columns))
    market = _Market.of(context)
    found = [_evaluate(context, market, column, lower_is_better) for column in full]
    sign = -1.0 if lower_is_better else 1.0
    panels = context.panels(PRICES)
    ics = np.column_stack([result.ic for result in found])
    both = ics[np.isfinite(ics).all(axis=1)]
    rules = settings.equity.signals
    several = len(found) > 1
    return SignalStudy(
        sessions=panels.frame.sessions,
        signals=found,
        correlation=signal_correlation([sign * panels[c] for c in full], market.members, rules.min_names),
        holm=holm([result.headline.p for result in found]),
        romano_wolf=romano_wolf(both, block=float(rules.horizon * 2), seed=ROMANO_WOLF_SEED)
        if several and len(both) > 1
        else np.full(len(found), np.nan),
        settings=settings,
        facts=context.facts_of_data([w for c in full for w in warnings_of(context, c)]),
    )


@dataclass(frozen=True)
class _Market:
    """What all signals are measured against."""

    members: Mask
    forward: Mapping[int, Array]
    returns: Array
    alive: Mask
    sector_names: Sequence[str]
    sector: Codes
    exposures: Sequence[Array]

    @classmethod
    def of(cls, context: Context) -> _Market:
        panels, rules = context.panels(PRICES), context.settings.equity.signals
        frame, outcomes, gap = panels.frame, panels.outcomes, context.settings.equity.listing.max_gap
        closeadj = panels[f"{PRICES}.closeadj"]
        forward = {
            h: forward_return(frame, closeadj, outcomes, gap, lag=rules.lag, horizon=h)
            for h in sorted({rules.horizon, *rules.horizons})
        }
        names, codes = sectors(context)
        return cls(
            members=panels[f"{PRICES}.member"] == 1.0,
            forward=forward,
            returns=daily_returns(panels, gap),
            alive=alive(frame, outcomes),
            sector_names=names,
            sector=codes,
            exposures=[_exposure(context, kind) for kind in rules.neutralise if kind != "sector"],
        )


def daily_returns(panels: Panels, max_gap: int) -> Array:
    """Return of holding through each session: NaN without a price, the whole move when it trades again.

    The session after a listing's last price carries the pay-out.
    """
    frame, outcomes = panels.frame, panels.outcomes
    value = value_path(frame, panels[f"{PRICES}.closeadj"], outcomes, max_gap)
    change = np.full_like(value, np.nan)
    change[1:] = value[1:] / value[:-1] - 1.0
    paid = outcomes.ended & (frame.numbers[:, None] == outcomes.last + 1)
    return np.where(frame.exists | paid, change, np.nan)


def _samples(sessions: np.ndarray[Any, Any], split: dt.date, reach: int) -> Ints:
    """0 in sample, 1 out of sample, -1 for the sessions between whose returns reach over the split."""
    first = int(np.searchsorted(sessions, np.datetime64(split, "D")))
    t = np.arange(len(sessions))
    return np.where(t >= first, 1, np.where(t + reach < first, 0, -1))


def _exposure(context: Context, kind: str) -> Array:
    rules = context.settings.equity.signals
    column = rules.size_column if kind == "size" else rules.beta_column
    return context.panels(PRICES)[resolve(context, column)]


def _evaluate(context: Context, market: _Market, column: str, lower_is_better: bool) -> SignalResult:
    rules, panels = context.settings.equity.signals, context.panels(PRICES)
    h, sessions = rules.horizon, panels.frame.sessions
    signal = panels[column] * (-1.0 if lower_is_better else 1.0)
    members, forward = market.members, market.forward[h]
    ic = information_coefficient(signal, forward, members, min_names=rules.min_names)
    if not np.isfinite(ic).any():
        raise InputError(
            f"{column}: no session has {rules.min_names} members with a value and a forward return"
        )
    groups = market.sector if "sector" in rules.neutralise else None
    pure = neutralise(signal, members, market.exposures, groups)
    split = context.settings.equity.backtest.out_of_sample_from
    sample = by_group(ic, _samples(sessions, split, rules.lag + h), h) if split else {}
    counted = (members & np.isfinite(signal) & np.isfinite(forward)).sum(axis=1)
    return SignalResult(
        column=column,
        lower_is_better=lower_is_better,
        ic=ic,
        headline=summarise(ic, h),
        neutral=summarise(information_coefficient(pure, forward, members, min_names=rules.min_names), h),
        in_sample=sample.get(0),
        out_of_sample=sample.get(1),
        decay=decay(
            signal, {k: market.forward[k] for k in rules.horizons}, members, min_names=rules.min_names
        ),
        years=by_group(ic, sessions.astype("datetime64[Y]").astype(int) + 1970, h),
        sectors={
            market.sector_names[i]: summary
            for i, summary in by_sector(
                signal, forward, members, market.sector, h, min_names=rules.min_names
            ).items()
        },
        slope=fama_macbeth(z(signal, members), forward, members, h, min_names=rules.min_names),
        quantiles=quantile_portfolios(
            signal, members, market.returns, market.alive, groups=rules.groups, every=h, lag=rules.lag
        ),
        autocorrelation={
            k: float(np.nanmean(rank_autocorrelation(signal, members, k, min_names=rules.min_names)))
            for k in rules.horizons
        },
        members=float(counted[counted > 0].mean()),
    )
