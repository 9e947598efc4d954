"""The page that shows recorded backtests side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from kairos.equity.compare import Comparison
from kairos.equity.sheets.limits import Use, limits_used
from kairos.equity.sheets.regimes import bands
from kairos.evaluation.growth import drawdown, wealth
from kairos.report import Estimate, charts
from kairos.report.page import Block, Chart, Column, Facts, Grid, Note, Page, Quantity, Section, Table

if TYPE_CHECKING:
    from kairos.equity.compare import Compared
    from kairos.equity.frame import Array
    from kairos.report.format import Kind

NUMBERS: tuple[tuple[str, str, Kind], ...] = (
    ("annual_return", "Annual return", "percent"),
    ("volatility", "Volatility", "percent"),
    ("sharpe", "Sharpe ratio", "ratio"),
    ("sharpe_se", "± standard error", "ratio"),
    ("max_drawdown", "Max drawdown", "percent"),
    ("excess_return", "Over the benchmark, a year", "percent"),
    ("information_ratio", "Information ratio", "ratio"),
    ("probabilistic_sharpe", "Probabilistic Sharpe ratio", "percent"),
    ("deflated_sharpe", "Deflated Sharpe ratio", "percent"),
    ("published_deflated_sharpe", "Deflated, by the published formula", "percent"),
    ("trials", "Trials in the ledger when it was run", "count"),
    ("trials_elsewhere", "Trials made elsewhere", "count"),
    ("turnover", "Turnover a year", "ratio"),
    ("cost_drag", "Trading cost a year", "percent"),
    ("n_positions", "Names", "number"),
    ("gross", "Gross exposure", "percent"),
    ("net", "Net exposure", "percent"),
    ("beta", "Beta to benchmark", "ratio"),
    ("relaxed", "Decisions at which limits gave way", "count"),
    ("sessions", "Returns", "count"),
)
"""Number of the ledger, how it is called, how it is written."""


EXPOSURES: tuple[tuple[str, str, Kind, str], ...] = (
    ("beta_port", "Beta", "ratio", "Σ weight · beta, with the betas that the last decision knew."),
    ("net", "Net exposure", "percent", "Σ weight."),
    ("gross", "Gross exposure", "percent", "Σ |weight|."),
    ("n_positions", "Names", "number", "Positions."),
)
"""Column of the results, title, how it is written, what it is."""

WORDS = ("binds", "gave way")


def comparison_page(found: Comparison, command: str) -> Page:
    """Lay a comparison out: numbers, growth, differences, what is configured differently, origins."""
    return Page(
        title=" against ".join(found.labels) if len(found.runs) < 4 else f"{len(found.runs)} runs",
        subtitle="Recorded backtests side by side, net of costs",
        facts=[("Command", f"kairos {command}"), ("Shared dates", _span(found))],
        warnings=found.warnings,
        sections=[
            _numbers(found),
            _growth(found),
            _differences(found),
            _exposures(found),
            *_limits(found),
            _settings(found),
            _origins(found),
        ],
    )


def _span(found: Comparison) -> str:
    days = found.days
    return f"{days[0]} to {days[-1]}, {len(days):,}" if len(days) else "none"


def _columns(found: Comparison) -> list[Column]:
    return [Column(""), *(Column(label, "number") for label in found.labels)]


def _numbers(found: Comparison) -> Section:
    rows: list[list[Any]] = []
    for key, label, kind in NUMBERS:
        rows.append([label, *(Quantity(one.headline.get(key), kind) for one in found.runs)])
        if key == "sharpe_se":
            rows.append(["90% interval", *(_interval(one.sharpe, "ratio") for one in found.runs)])
            rows.append(["on the shared dates", *(Quantity(one, "ratio") for one in found.shared.tolist())])
        if key == "max_drawdown":
            rows.append(
                ["90% of such histories", *(_interval(one.drawdown, "percent") for one in found.runs)]
            )
    return Section(
        "Side by side",
        "The numbers of the ledger, each over its run's own period. The deflated Sharpe ratio allows for the trials "
        "that the ledger had when the run was recorded; comparing runs and taking the best is a choice that it does "
        "not know of.",
        [
            Table(
                columns=_columns(found),
                rows=rows,
                caption="Intervals from histories resampled in blocks.",
            )
        ],
    )


def _interval(bounds: tuple[float, float], kind: Kind) -> Quantity:
    low, high = (Quantity(bound, kind).text for bound in bounds)
    return Quantity(f"{low} to {high}", "text")


def _growth(found: Comparison) -> Section:
    dates = np.unique(np.concatenate([one.dates for one in found.runs]))
    growth = {one.label: _on(dates, one, wealth(one.ret)) for one in found.runs}
    falls = {one.label: _on(dates, one, drawdown(one.ret)) for one in found.runs}
    names = ", ".join(found.labels)
    blocks: list[Block] = [
        Chart(
            "Growth of 1",
            _shaded(found, dates, charts.equity_curve(dates, growth)),
            "Net of costs, each from its own first day. Logarithmic: equal distances are equal percentages."
            + (f" {charts.REGIMES}" if found.regimes else ""),
            f"Lines over time of the growth of 1 of {names}.",
        ),
        Chart(
            "Drawdown",
            _shaded(found, dates, charts.lines(dates, falls, kind="percent", zero=True)),
            "Distance below the highest value so far.",
            f"Lines over time of the drawdown of {names}.",
        ),
    ]
    return Section("Growth and drawdown", blocks=blocks)


def _shaded(found: Comparison, dates: Any, figure: Any) -> Any:
    """The chart with the market's regimes behind it, where there is a table of them."""
    if found.regimes is None or not len(dates):
        return figure
    days, labels = found.regimes
    inside = (days >= dates[0]) & (days <= dates[-1])
    return charts.shaded(figure, bands(days[inside], labels[inside])) if inside.any() else figure


def _exposures(found: Comparison) -> Section:
    """What each book was exposed to over time."""
    dates = np.unique(np.concatenate([one.dates for one in found.runs]))
    names = ", ".join(found.labels)
    return Section(
        "Exposures",
        "Of the scaled books at each close, costs of its trades not yet paid.",
        [
            Grid([
                Chart(
                    title,
                    charts.lines(
                        dates, {one.label: _on(dates, one, one.exposure[key]) for one in found.runs},
                        kind=kind, zero=True,
                    ),
                    text,
                    f"Lines over time of {title.lower()} of {names}.",
                )
                for key, title, kind, text in EXPOSURES
            ]),
        ],
    )  # fmt: skip


def _limits(found: Comparison) -> list[Section]:
    """How often each kind of limit bound and gave way; nothing where no run has limits."""
    used = {one.label: limits_used(one.limits) for one in found.runs if one.limits is not None}
    used = {label: kinds for label, kinds in used.items() if kinds}
    if not used:
        return []
    kinds = list(dict.fromkeys(kind for found in used.values() for kind in found))
    table = Table(
        columns=[
            Column("Kind"),
            *(Column(f"{label}: {what}", "percent") for label in used for what in WORDS),
        ],
        rows=[
            [
                kind,
                *(
                    share
                    for of in used.values()
                    for share in (of[kind].shares if kind in of else (None,) * 2)
                ),
            ]
            for kind in kinds
        ],
        caption="Share of the decisions on which one limit of the kind binds, and on which one gave way.",
    )
    charted = [chart for kind in kinds if (chart := _use(kind, used))]
    return [Section("Limits", "Runs without limits are left out.", [table, Grid(charted)])]


def _use(kind: str, used: Mapping[str, Mapping[str, Use]]) -> Chart | None:
    """Use of one kind of limit over time; nothing where it is zero and has no share that is used."""
    series = {
        label: of[kind] for label, of in used.items() if kind in of and np.isfinite(of[kind].used).any()
    }
    if not series:
        return None
    days = np.unique(np.concatenate([use.days for use in series.values()]))
    lines = {
        label: np.interp(days.astype(float), use.days.astype(float), use.used, left=np.nan, right=np.nan)
        for label, use in series.items()
    }
    return Chart(
        f"Use of the limit: {kind}",
        charts.lines(days, lines, kind="percent", zero=True),
        "At each decision the one that is used most; above 100% where it gave way.",
        f"Lines over time of the use of {kind} by {', '.join(lines)}.",
    )


def _on(dates: Any, one: Compared, values: Array) -> Array:
    """A series on more dates than its own: the last value carried on between them, NaN outside."""
    at = np.searchsorted(one.dates, dates, side="right") - 1
    inside = (at >= 0) & (dates <= one.dates[-1])
    return np.where(inside, values[np.maximum(at, 0)], np.nan)


def _differences(found: Comparison) -> Section:
    blocks: list[Block] = [
        Table(
            title="Correlation of the returns, on the shared dates",
            columns=[Column(""), *(Column(label, "ratio", shade=1.0) for label in found.labels)],
            rows=[[label, *row] for label, row in zip(found.labels, found.correlation.tolist(), strict=True)],
        ),
    ]
    if not found.gaps:
        blocks.append(Note("Sharpe ratios are not compared in pairs: see above."))
        return Section("Do they differ", blocks=blocks)
    pairs = [f"{found.labels[g.first]} less {found.labels[g.second]}" for g in found.gaps]
    shown = [Estimate(name, g.difference, g.low, g.high) for name, g in zip(pairs, found.gaps, strict=True)]
    blocks = [
        Chart(
            "Difference of the Sharpe ratios",
            charts.intervals(shown, kind="ratio", across=True),
            "A year, with 90% intervals from the same resampled dates for both.",
            f"Bars of the differences of the Sharpe ratios: {', '.join(pairs)}.",
        ),
        Table(
            columns=[
                Column("Pair"),
                Column("Difference", "ratio"),
                Column("from", "ratio"),
                Column("to", "ratio"),
                Column("p", "p_value"),
                Column("p, adjusted", "p_value", hint="Romano–Wolf, for all pairs of this page"),
            ],
            rows=[
                [name, g.difference, g.low, g.high, g.p, g.adjusted]
                for name, g in zip(pairs, found.gaps, strict=True)
            ],
            caption="The adjusted p keeps the risk that any of the differences on this page is called real "
            "without being so. Intervals are percentiles of resampled differences, p-values are from resampled "
            "t statistics: at the border they need not agree.",
        ),
        *blocks,
    ]
    return Section("Do they differ", _verdict(found, pairs), blocks)


def _verdict(found: Comparison, pairs: list[str]) -> str:
    real = [name for name, gap in zip(pairs, found.gaps, strict=True) if gap.adjusted <= 0.05]
    if not real:
        return (
            f"No Sharpe ratio differs from another beyond chance at 5% on {len(found.days):,} shared dates."
        )
    return f"Beyond chance at 5%, all pairs considered: {'; '.join(real)}."


def _settings(found: Comparison) -> Section:
    if not found.settings:
        return Section("What is configured differently", "Nothing: only data or code can make a difference.")
    return Section(
        "What is configured differently",
        "Keys of the resolved configurations whose values are not the same; an en dash where a run has no such key.",
        [
            Table(
                columns=[Column("Key"), *(Column(label) for label in found.labels)],
                rows=[[key, *values] for key, values in found.settings],
            )
        ],
    )


def _origins(found: Comparison) -> Section:
    return Section(
        "Where they come from",
        blocks=[
            Table(
                columns=[Column(""), *(Column(label) for label in found.labels)],
                rows=[
                    ["Run", *(one.run.id for one in found.runs)],
                    ["Recorded (UTC)", *(f"{one.run.time:%Y-%m-%d %H:%M:%S}" for one in found.runs)],
                    ["Alpha", *(f"{'−' if one.headline['lower_is_better'] else ''}{one.headline['alpha']}" for one in found.runs)],
                    ["First return", *(str(one.dates[0]) for one in found.runs)],
                    ["Last return", *(str(one.dates[-1]) for one in found.runs)],
                    ["Snapshot", *(one.run.snapshot for one in found.runs)],
                    ["Prices", *(str(one.headline["data"]) for one in found.runs)],
                    ["Code", *(one.run.code_version for one in found.runs)],
                ],
            ),
            Facts([(one.label, f"kairos {one.run.command}") for one in found.runs]),
        ],
    )  # fmt: skip
