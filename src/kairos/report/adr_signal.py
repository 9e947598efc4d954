"""The page of the ADR desk's minute signal: the last day, and what it has known about what follows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kairos.report import charts
from kairos.report.format import MISSING, show
from kairos.report.page import (
    Block,
    Chart,
    Column,
    Facts,
    Figure,
    Figures,
    Note,
    Page,
    Quantity,
    Section,
    Table,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt
    import plotly.graph_objects as go

    from kairos.report.charts import Estimate, Series

_FULL_SHADE = 0.10
_FULL_SIGNAL = 0.01


@dataclass(frozen=True, kw_only=True)
class SignalForecast:
    """One forecast: the signal under a mode of the gate, the baseline under a leg, or the ADR's reversal.

    Parameters
    ----------
    traded, mid, hedged, next_open : Estimate
        IC with the return to New York's close at quotes that can be traded, from mid to mid, hedged with the
        market's fund, and to the next open of the ordinary; all entry times together. `n` counts days.
    """

    label: str
    traded: Estimate
    mid: Estimate
    hedged: Estimate
    next_open: Estimate


@dataclass(frozen=True, kw_only=True)
class SignalEntry:
    """One entry time.

    Parameters
    ----------
    time : str
        New York, "13:00".
    signal, baseline, reversal : Estimate
        IC over all ADRs and days, traded, to New York's close.
    across, across_open : Estimate
        Mean rank IC of the signal across the ADRs of a day, to the close and to the next open.
    observations : int
        ADRs and days.
    """

    time: str
    signal: Estimate
    baseline: Estimate
    reversal: Estimate
    across: Estimate
    across_open: Estimate
    observations: int


@dataclass(frozen=True, kw_only=True)
class SignalAdr:
    """One ADR: its days by source, its IC, and its last day.

    Parameters
    ----------
    ticker, source, reason : str
        `source` and `reason` are those of the last day.
    model_days, baseline_days, days_without : int
        Days with the model, with the baseline, and without a signal.
    ic, baseline_ic : Estimate
        Over days and entry times, traded, to New York's close.
    last : float
        Signal of the last minute of the last day.
    premium : float
        Median premium of the ADR over its ordinary at c.
    """

    ticker: str
    source: str
    reason: str
    model_days: int
    baseline_days: int
    days_without: int
    ic: Estimate
    baseline_ic: Estimate
    last: float
    premium: float


@dataclass(frozen=True, kw_only=True)
class AdrSignalSheet:
    """Everything the page shows. Numbers are raw; missing is NaN.

    Parameters
    ----------
    facts, warnings, reading, assumptions : Sequence
        As in the sheet of the daily models.
    level : float
        Coverage of the intervals.
    mode : str
        The configured mode of the gate, in words.
    day : str
        The last day with a signal.
    minutes : (T,) datetime64
        Minutes of that day, New York time.
    lines : Mapping[str, (T,)]
        Signal of each ADR on that day.
    forecasts : Sequence[SignalForecast]
        The configured signal first.
    entries : Sequence[SignalEntry]
        In order.
    adrs : Sequence[SignalAdr]
        By ticker.
    half_hours : Sequence[Estimate]
        Slope of what the ADR does beyond its index on the model, by half hour since c; `n` counts days.
    r2 : Series
        R² of each.
    excluded : Sequence[tuple[str, int]]
        Observations left out or flagged.
    hindsight : float
        What choosing ADRs in-sample is worth, of IC.
    """

    facts: Sequence[tuple[str, str]]
    warnings: Sequence[str]
    reading: Sequence[str]
    level: float
    mode: str
    day: str
    minutes: npt.NDArray[np.datetime64]
    lines: Mapping[str, Series]
    forecasts: Sequence[SignalForecast]
    entries: Sequence[SignalEntry]
    adrs: Sequence[SignalAdr]
    half_hours: Sequence[Estimate]
    r2: Series
    excluded: Sequence[tuple[str, int]]
    hindsight: float
    assumptions: Sequence[tuple[str, str]]


def adr_signal_page(sheet: AdrSignalSheet) -> Page:
    """Lay the minute signal out: the last day, what it has known, by entry and ADR, the parts of a day."""
    return Page(
        title="ADR desk: the minute signal",
        subtitle="What each ADR should have done since its ordinary closed, less what it has done",
        facts=sheet.facts,
        warnings=sheet.warnings,
        sections=[
            _headline(sheet),
            _day(sheet),
            _forecasts(sheet),
            _by_entry(sheet),
            _by_adr(sheet),
            _half_hours(sheet),
            _excluded(sheet),
            Section("How it was evaluated", blocks=[Facts(sheet.assumptions)]),
        ],
    )


def minute_lines(minutes: npt.NDArray[np.datetime64], series: Mapping[str, Series]) -> go.Figure:
    """Draw series over the minutes of one day, in basis points."""
    figure = charts.lines(minutes, series, kind="basis_points", zero=True)
    clock = np.asarray(minutes, dtype="datetime64[m]").astype(str).tolist()
    figure.update_traces(x=clock)
    figure.update_xaxes(
        tickformat="%H:%M", hoverformat="%H:%M", range=[clock[0], clock[-1]] if clock else None
    )
    figure.update_layout(height=380)
    return figure


def _headline(sheet: AdrSignalSheet) -> Section:
    signal, baseline, reversal = (
        next(f for f in sheet.forecasts if f.label.startswith(name))
        for name in ("Signal", "Baseline", "Reversal")
    )
    tiles = [
        Figure(
            "IC to New York's close", Quantity(signal.traded.value, "coefficient"), _interval(signal.traded)
        ),
        Figure("Baseline", Quantity(baseline.traded.value, "coefficient"), _interval(baseline.traded)),
        Figure("Reversal alone", Quantity(reversal.traded.value, "coefficient"), _interval(reversal.traded)),
        Figure(
            "IC to the next open",
            Quantity(signal.next_open.value, "coefficient"),
            _interval(signal.next_open),
        ),
        Figure("Hindsight", Quantity(sheet.hindsight, "coefficient"), "IC that in-sample choosing is worth"),
        Figure("Days", Quantity(signal.traded.n or 0, "count"), f"{len(sheet.adrs)} ADRs"),
    ]
    return Section("Headline", " ".join(sheet.reading), [Figures(tiles)])


def _day(sheet: AdrSignalSheet) -> Section:
    blocks: list[Block] = []
    if len(sheet.minutes):
        blocks.append(
            Chart(
                f"Signal on {sheet.day}",
                minute_lines(sheet.minutes, sheet.lines),
                "Basis points; New York time. Above zero the ADR has lagged behind its inferred value.",
                "Lines of the signal of each ADR over the minutes of the last day.",
            )
        )
    table = Table(
        columns=[
            Column("ADR"),
            Column("Last minute", "basis_points", shade=_FULL_SIGNAL),
            Column("Source"),
            Column("Why not the model"),
            Column("Premium at c", "percent", 2, hint="Median of all days, of the ADR over its ordinary"),
            Column("Days with model", "count"),
            Column("Days with baseline", "count"),
            Column("Days without", "count"),
        ],
        rows=[
            [
                *(row.ticker, row.last, row.source, row.reason, row.premium),
                *(row.model_days, row.baseline_days, row.days_without),
            ]
            for row in sheet.adrs
        ],
    )
    return Section("The last day", f"Gate: {sheet.mode}.", [*blocks, table])


def _forecasts(sheet: AdrSignalSheet) -> Section:
    table = Table(
        columns=[
            Column("Forecast"),
            Column(
                "IC, traded", "coefficient", shade=_FULL_SHADE, hint="In at the ask or bid, out at the other"
            ),
            Column(f"Interval, {sheet.level:.0%}", "number"),
            Column("t", "ratio", hint="Clustered by day"),
            Column("IC, mid to mid", "coefficient", shade=_FULL_SHADE),
            Column("IC, hedged", "coefficient", shade=_FULL_SHADE, hint="Less beta times the market's fund"),
            Column("t, hedged", "ratio"),
            Column("IC, next open", "coefficient", shade=_FULL_SHADE),
            Column("t, next open", "ratio"),
            Column("Days", "count"),
        ],
        rows=[
            [
                *(f.label, f.traded.value, _interval(f.traded), f.traded.t, f.mid.value),
                *(f.hedged.value, f.hedged.t, f.next_open.value, f.next_open.t, f.traded.n),
            ]
            for f in sheet.forecasts
        ],
        caption="All ADRs, days and entry times together. Mid to mid starts a minute after the signal, too.",
    )
    return Section(
        "Signal, baseline and nulls",
        "The full-sample gate chooses its ADRs with the months that are measured; the expanding one with the "
        f"months before. In-sample choosing is worth {show(sheet.hindsight, 'coefficient', 4)} of IC here.",
        [table],
    )


def _by_entry(sheet: AdrSignalSheet) -> Section:
    table = Table(
        columns=[
            Column("Entry"),
            Column("Signal IC", "coefficient", shade=_FULL_SHADE),
            Column(f"Interval, {sheet.level:.0%}", "number"),
            Column("t", "ratio"),
            Column("Baseline IC", "coefficient", shade=_FULL_SHADE),
            Column("Reversal IC", "coefficient", shade=_FULL_SHADE),
            Column("Across ADRs", "coefficient", shade=_FULL_SHADE, hint="Mean rank IC of days"),
            Column("t, across", "ratio"),
            Column("Across, next open", "coefficient", shade=_FULL_SHADE),
            Column("Observations", "count"),
        ],
        rows=[
            [
                *(
                    e.time,
                    e.signal.value,
                    _interval(e.signal),
                    e.signal.t,
                    e.baseline.value,
                    e.reversal.value,
                ),
                *(e.across.value, e.across.t, e.across_open.value, e.observations),
            ]
            for e in sheet.entries
        ],
    )
    return Section("By entry time", "Return to New York's close, at quotes that can be traded.", [table])


def _by_adr(sheet: AdrSignalSheet) -> Section:
    best = sorted(sheet.adrs, key=lambda row: (math.isnan(row.ic.value), -row.ic.value))
    forest = Chart(
        "IC of the signal by ADR",
        charts.intervals([row.ic for row in best], across=True),
        f"Bars with their {sheet.level:.0%} interval, clustered by day.",
        "Horizontal bars of the information coefficient of each ADR's signal.",
    )
    table = Table(
        columns=[
            Column("ADR"),
            Column("Signal IC", "coefficient", shade=_FULL_SHADE),
            Column("t", "ratio"),
            Column("Baseline IC", "coefficient", shade=_FULL_SHADE),
            Column("Days", "count"),
        ],
        rows=[[row.ticker, row.ic.value, row.ic.t, row.baseline_ic.value, row.ic.n] for row in best],
    )
    return Section("By ADR", blocks=[forest, table])


def _half_hours(sheet: AdrSignalSheet) -> Section:
    if not sheet.half_hours:
        blocks: list[Block] = [Note("No ADR has a model on these days.")]
        return Section("Parts of a day", blocks=blocks)
    chart = Chart(
        "Slope on the model by half hour since the close",
        charts.intervals(sheet.half_hours, kind="ratio"),
        "1 means that coefficients fitted on whole days hold for the part of the day.",
        "Bars of the regression slope in each half hour since the ordinary's close.",
    )
    table = Table(
        columns=[
            Column("Minutes since c"),
            Column("Slope", "ratio"),
            Column(f"Interval, {sheet.level:.0%}", "number"),
            Column("R²", "percent", 2),
            Column("Days", "count"),
        ],
        rows=[
            [e.label, e.value, _bounds(e, "ratio"), r2, e.n]
            for e, r2 in zip(sheet.half_hours, sheet.r2, strict=True)
        ],
        caption="What the ADR has done beyond its index since c, on the model; every ADR with a model.",
    )
    return Section("Parts of a day", blocks=[chart, table])


def _excluded(sheet: AdrSignalSheet) -> Section:
    table = Table(
        columns=[Column("What"), Column("Observations", "count")], rows=[list(row) for row in sheet.excluded]
    )
    return Section("Left out and flagged", blocks=[table])


def _interval(estimate: Estimate) -> str:
    return _bounds(estimate, "coefficient")


def _bounds(estimate: Estimate, kind: str) -> str:
    if math.isnan(estimate.low):
        return MISSING
    digits = 3 if kind == "coefficient" else 2
    return f"{show(estimate.low, 'coefficient', digits)} to {show(estimate.high, 'coefficient', digits)}"
