"""The page that says whether the ADR desk's model foretells the ordinaries better than their index alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kairos.report import charts
from kairos.report.format import MISSING, show
from kairos.report.page import (
    Block,
    Chart,
    Column,
    Facts,
    Figure,
    Figures,
    Grid,
    Note,
    Page,
    Quantity,
    Section,
    Table,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

    from kairos.report.charts import Estimate, Series
    from kairos.report.format import Value

_FULL_SHADE = 0.10


@dataclass(frozen=True, kw_only=True)
class AdrRow:
    """One ADR. Coefficients are raw; missing is NaN.

    Parameters
    ----------
    ticker, exchange, index : str
        ADR, market code of its ordinary, index that the baseline uses.
    improvement : Estimate
        Mean monthly improvement of the IC with its interval and t; `n` counts the months.
    baseline_ic, model_ic, baseline_rank_ic, model_rank_ic : float
        Over all test days, Pearson and Spearman.
    baseline_r2, model_r2, baseline_hit_rate, model_hit_rate : float
        Over all test days.
    stepwise_p, holm_p : float
        One-sided p-values, adjusted for all ADRs.
    zero_months : int
        Counted months of the zero model.
    n_nonzero : float
        Mean number of US stocks in its models.
    passes : bool
        Whether it passes the gate.
    """

    ticker: str
    exchange: str
    index: str
    improvement: Estimate
    baseline_ic: float
    model_ic: float
    baseline_rank_ic: float
    model_rank_ic: float
    baseline_r2: float
    model_r2: float
    baseline_hit_rate: float
    model_hit_rate: float
    stepwise_p: float
    holm_p: float
    zero_months: int
    n_nonzero: float
    passes: bool


@dataclass(frozen=True, kw_only=True)
class AdrMonth:
    """One month, mean over the ADRs that count in it.

    Parameters
    ----------
    month : str
        "2025-01".
    adrs : int
        ADRs that count.
    baseline_ic, model_ic, improvement : float
        Means.
    better, unchanged : float
        Share of ADRs whose IC is higher with the model, and to whose baseline the model adds nothing.
    """

    month: str
    adrs: int
    baseline_ic: float
    model_ic: float
    improvement: float
    better: float
    unchanged: float


@dataclass(frozen=True, kw_only=True)
class AdrForecast:
    """One way to forecast the residual: a null, or a selection rule.

    Parameters
    ----------
    improvement : Estimate
        Of the mean IC over months and ADRs; `label` names the forecast, `n` counts the months.
    month_t : float
        Mean over standard error of the monthly means.
    adrs, told : int
        ADRs that have it, and those whose improvement is told from luck.
    zero_models, n_nonzero : float
        Share of models that are zero, and mean number of US stocks; NaN for a null.
    """

    improvement: Estimate
    month_t: float
    adrs: int
    told: int
    zero_models: float = math.nan
    n_nonzero: float = math.nan


@dataclass(frozen=True, kw_only=True)
class AdrGate:
    """What one mode of the gate lets through.

    Parameters
    ----------
    mode : str
        How the ADRs are chosen.
    passing : int
        ADRs that use the model at any time.
    share_used : float
        Share of the ADRs' months with the model.
    improvement_used, gain : float
        Mean improvement of these months, and of all months when the others have the baseline.
    """

    mode: str
    passing: int
    share_used: float
    improvement_used: float
    gain: float


@dataclass(frozen=True, kw_only=True)
class AdrSheet:
    """Everything the page shows. Numbers are raw; missing is NaN.

    Parameters
    ----------
    model : str
        Name of the model.
    facts, warnings : Sequence
        As in a tear sheet.
    reading : Sequence[str]
        What the numbers say, in sentences.
    level : float
        Coverage of the intervals.
    overall : Estimate
        Mean improvement of the IC over months and ADRs.
    baseline_ic, model_ic : float
        Mean over months and ADRs.
    adrs : Sequence[AdrRow]
        By ticker.
    months : Sequence[AdrMonth]
        In order.
    improvements : (ADRs, months)
        Of the IC; NaN where a month doesn't count.
    selections, nulls : Sequence[AdrForecast]
        Selection rules and forecasts without a model, on the same test days.
    selection : str
        The rule that the model was trained with.
    gate : Sequence[AdrGate]
        Both modes.
    gate_threshold, noise_share : float
        Improvement that the gate asks for, and the share of ADRs without any true improvement that the
        full-sample gate would let through.
    nonzero : Series
        Number of US stocks in each model.
    alphas : Sequence[Estimate]
        Chosen strengths, each with the number of models as its value.
    stocks : Sequence[tuple[str, int, int]]
        US stocks used most: ticker, models, ADRs.
    suspicious : Sequence[tuple[str, str, float]]
        ADR, US stock and correlation of its residual with the target, where that is suspiciously high.
    assumptions : Sequence[tuple[str, str]]
        How it was evaluated.
    """

    model: str
    facts: Sequence[tuple[str, str]]
    warnings: Sequence[str]
    reading: Sequence[str]
    level: float
    overall: Estimate
    baseline_ic: float
    model_ic: float
    adrs: Sequence[AdrRow]
    months: Sequence[AdrMonth]
    improvements: Sequence[Series] | npt.NDArray[np.float64]
    selections: Sequence[AdrForecast]
    nulls: Sequence[AdrForecast]
    selection: str
    gate: Sequence[AdrGate]
    gate_threshold: float
    noise_share: float
    nonzero: Series
    alphas: Sequence[Estimate]
    stocks: Sequence[tuple[str, int, int]]
    suspicious: Sequence[tuple[str, str, float]]
    assumptions: Sequence[tuple[str, str]]


def adr_page(sheet: AdrSheet) -> Page:
    """Lay an evaluation out: headline, each ADR, each month, what it is compared with, gate, models."""
    return Page(
        title=f"ADR desk: {sheet.model} on US residuals",
        subtitle="Same-day return of the ordinary: index beta alone, and with the US stocks",
        facts=sheet.facts,
        warnings=sheet.warnings,
        sections=[
            _headline(sheet),
            _by_adr(sheet),
            _by_month(sheet),
            _forecasts(sheet),
            _gate(sheet),
            _models(sheet),
            Section("How it was evaluated", blocks=[Facts(sheet.assumptions)]),
        ],
    )


def _headline(sheet: AdrSheet) -> Section:
    overall = sheet.overall
    tiles = [
        Figure("Improvement of the IC", Quantity(overall.value, "coefficient"), _interval(overall)),
        Figure("Baseline IC", Quantity(sheet.baseline_ic, "coefficient"), "mean of months and ADRs"),
        Figure("IC with the model", Quantity(sheet.model_ic, "coefficient"), "mean of months and ADRs"),
        Figure("ADRs", Quantity(len(sheet.adrs), "count"), f"{len(sheet.months)} test months"),
        Figure("Pass the gate", Quantity(sum(row.passes for row in sheet.adrs), "count"), "in-sample"),
        Figure("Noise that would pass", Quantity(sheet.noise_share, "percent"), "of ADRs without any gain"),
    ]
    return Section("Headline", " ".join(sheet.reading), [Figures(tiles)])


def _interval(estimate: Estimate) -> str:
    if math.isnan(estimate.low):
        return MISSING
    return f"{show(estimate.low, 'coefficient', 3)} to {show(estimate.high, 'coefficient', 3)}"


def _by_adr(sheet: AdrSheet) -> Section:
    best = sorted(sheet.adrs, key=lambda row: (math.isnan(row.improvement.value), -row.improvement.value))
    table = Table(
        title="Each ADR",
        columns=[
            Column("ADR"),
            Column("Exchange"),
            Column("Index"),
            Column("Improvement", "coefficient", shade=_FULL_SHADE, hint="Mean over months"),
            Column(f"Interval, {sheet.level:.0%}", "number"),
            Column("t", "ratio", hint="Improvement over its bootstrap error"),
            Column("p, Romano–Wolf", "p_value", hint="One-sided, all ADRs tested together"),
            Column("p, Holm", "p_value"),
            Column("Gate"),
            Column("Baseline IC", "coefficient", hint="All test days"),
            Column("Model IC", "coefficient", hint="All test days"),
            Column("Baseline rank IC", "coefficient"),
            Column("Model rank IC", "coefficient"),
            Column("Baseline R²", "percent"),
            Column("Model R²", "percent"),
            Column("Baseline hit rate", "percent"),
            Column("Model hit rate", "percent"),
            Column("Months", "count"),
            Column("Zero months", "count", hint="Months of the zero model, counted as no improvement"),
            Column("US stocks", "number", hint="Mean number in a model"),
        ],
        rows=[
            [
                *(row.ticker, row.exchange, row.index),
                *(row.improvement.value, _interval(row.improvement), row.improvement.t),
                *(row.stepwise_p, row.holm_p, "passes" if row.passes else ""),
                *(row.baseline_ic, row.model_ic, row.baseline_rank_ic, row.model_rank_ic),
                *(row.baseline_r2, row.model_r2, row.baseline_hit_rate, row.model_hit_rate),
                *(row.improvement.n, row.zero_months, row.n_nonzero),
            ]
            for row in best
        ],
        caption="ICs, R² and hit rates are over all test days; the improvement is the mean of the months. A "
        "dash for the interval: the model never added anything.",
    )
    forest = Chart(
        "Improvement of the IC by ADR",
        charts.intervals([row.improvement for row in best], across=True),
        f"Bars with their {sheet.level:.0%} interval; one that crosses zero may be luck.",
        "Horizontal bars of the improvement of the information coefficient of each ADR, the largest first.",
    )
    return Section(
        "By ADR",
        "The information coefficient of the model's forecast minus that of the baseline, both against the "
        "return of the ordinary, month by month.",
        [forest, table],
    )


def _by_month(sheet: AdrSheet) -> Section:
    labels = [month.month for month in sheet.months]
    table = Table(
        title="Each month",
        columns=[
            Column("Month"),
            Column("ADRs", "count"),
            Column("Baseline IC", "coefficient"),
            Column("Model IC", "coefficient"),
            Column("Improvement", "coefficient", shade=_FULL_SHADE),
            Column("Better", "percent", hint="ADRs with a higher IC"),
            Column("Unchanged", "percent", hint="ADRs with the zero model"),
        ],
        rows=[
            [m.month, m.adrs, m.baseline_ic, m.model_ic, m.improvement, m.better, m.unchanged]
            for m in sheet.months
        ],
    )
    return Section(
        "By month",
        blocks=[
            Chart(
                "Mean improvement by month",
                charts.intervals([charts.Estimate(m.month, m.improvement) for m in sheet.months]),
                "Mean over the ADRs that count in the month.",
                "Bars of the mean improvement of the information coefficient in each month.",
            ),
            Chart(
                "Improvement by ADR and month",
                charts.heatmap(
                    [row.ticker for row in sheet.adrs], labels, sheet.improvements, limit=2 * _FULL_SHADE
                ),
                "Blue is better than the baseline, orange worse, blank a month that doesn't count.",
                "Colours of the improvement of the information coefficient of each ADR in each month.",
            ),
            table,
        ],
    )


def _forecasts(sheet: AdrSheet) -> Section:
    blocks: list[Block] = [
        _forecast_table("Forecasts without a model", "Forecast", sheet.nulls, sheet.level),
        _forecast_table("Selection rules", "Rule", sheet.selections, sheet.level),
        Note(
            f"The model was trained with {sheet.selection}. To pick another rule because it is best here is "
            "to choose with hindsight."
        ),
    ]
    return Section(
        "What it is compared with",
        "Each forecast of the residual is added to the baseline on the same test days. A forecast without a "
        "model has one slope, fitted on the months of the model's own window. Every selection rule has the "
        "same windows and sees the past only.",
        blocks,
    )


def _forecast_table(title: str, kind: str, forecasts: Sequence[AdrForecast], level: float) -> Table:
    columns = [
        Column(kind),
        Column("Improvement", "coefficient", shade=_FULL_SHADE / 2),
        Column(f"Interval, {level:.0%}", "number"),
        Column("t", "ratio"),
        Column("t of months", "ratio", hint="Mean of the monthly means over its standard error"),
        Column("ADRs", "count"),
        Column("Told from luck", "count", hint="ADRs with an adjusted p of 5% at most"),
    ]
    rows: list[list[Value | Quantity]] = [
        [
            *(f.improvement.label, f.improvement.value, _interval(f.improvement), f.improvement.t),
            *(f.month_t, f.adrs, f.told),
        ]
        for f in forecasts
    ]
    if any(not math.isnan(f.zero_models) for f in forecasts):
        columns += [Column("Zero models", "percent"), Column("US stocks", "number")]
        rows = [[*row, f.zero_models, f.n_nonzero] for row, f in zip(rows, forecasts, strict=True)]
    return Table(title=title, columns=columns, rows=rows)


def _gate(sheet: AdrSheet) -> Section:
    table = Table(
        columns=[
            Column("Mode"),
            Column("ADRs", "count", hint="That use the model at any time"),
            Column("Months with the model", "percent"),
            Column("Improvement when used", "coefficient"),
            Column("Improvement, all months", "coefficient", hint="0 where the baseline is kept"),
        ],
        rows=[[g.mode, g.passing, g.share_used, g.improvement_used, g.gain] for g in sheet.gate],
        caption="Both on the months that have enough counted months before them.",
    )
    return Section(
        "The gate",
        f"The model is used for ADRs whose improvement is {sheet.gate_threshold:g} or more. Chosen on the "
        "full sample this is in-sample: the months that choose are the months that are measured. Over "
        f"{len(sheet.months)} test months it would let {show(sheet.noise_share, 'percent', 0)} of the ADRs "
        "pass whose true improvement is zero.",
        [table],
    )


def _models(sheet: AdrSheet) -> Section:
    blocks: list[Block] = [
        Grid(
            [
                Chart(
                    "US stocks in a model",
                    charts.distribution(sheet.nonzero, kind="count"),
                    "How many models have how many stocks; zero is the zero model.",
                    "Histogram of the number of US stocks with a coefficient other than zero.",
                ),
                Chart(
                    "Chosen strength",
                    charts.intervals(sheet.alphas, kind="count"),
                    "How many models have which alpha.",
                    "Bars of the number of models by alpha.",
                ),
            ]
        ),
        Table(
            title="US stocks used most",
            columns=[Column("Stock"), Column("Models", "count"), Column("ADRs", "count")],
            rows=[list(row) for row in sheet.stocks],
        ),
    ]
    if sheet.suspicious:
        blocks.append(
            Table(
                title="Suspicious stocks",
                columns=[Column("ADR"), Column("US stock"), Column("Correlation", "ratio")],
                rows=[list(row) for row in sheet.suspicious],
                caption="Residuals this close to the target may be another line of the same issuer; name "
                "such a stock in adr.features.exclude.",
            )
        )
    return Section("The models", blocks=blocks)
