"""The page that shows two universes side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kairos.equity.backtest.scaling import SESSIONS_PER_YEAR
from kairos.equity.sheets import universe_text
from kairos.equity.universe_comparison import LABELS, STILL_LISTED
from kairos.evaluation.growth import monthly_table, wealth
from kairos.report import Page, charts
from kairos.report.page import (
    Block,
    Chart,
    Column,
    Facts,
    Figure,
    Figures,
    Grid,
    Note,
    Quantity,
    Section,
    Table,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kairos.equity.universe_comparison import UniverseComparison
    from kairos.report.format import Kind

KINDS: dict[str, Kind] = {
    "sharpe": "ratio",
    "sharpe_se": "ratio",
    "information_ratio": "ratio",
    "turnover": "ratio",
    "n_positions": "number",
}
"""How numbers of the backtest are written that are no percentages."""


def universe_page(found: UniverseComparison, command: str) -> Page:
    """Lay a comparison out: what it is worth, who is a member, how the names ended, how each is made."""
    result, overlap = found.results[0], found.overlap
    sign = "−" if result.lower_is_better else ""
    return Page(
        title=f"Universe {found.one} against {found.other}",
        subtitle=f"{result.strategy.name} on {sign}{result.alpha} in both, net of costs",
        facts=[
            ("Command", f"kairos {command}"),
            ("Members", f"{overlap.dates[0]} to {overlap.dates[-1]}, {len(overlap.dates):,} sessions"),
            ("Backtest", f"{result.dates[0]} to {result.dates[-1]}, {len(result.dates):,} sessions"),
            ("Snapshot", result.facts["snapshot"]),
        ],
        warnings=found.warnings,
        sections=[_worth(found), _members(found), _ends(found), _rules(found)],
    )


def _worth(found: UniverseComparison) -> Section:
    headline, test = found.headline(), found.difference
    year, lags = SESSIONS_PER_YEAR, found.results[0].strategy.backtest.rebalance_every
    interval = (
        f"95%: {Quantity(test.low * year, 'percent').text} to {Quantity(test.high * year, 'percent').text}"
    )
    tiles = [
        *(_tile(found, name, headline[name]) for name in ("annual_return", "sharpe", "max_drawdown")),
        Figure("Mean daily difference, a year", Quantity(test.mean * year, "percent"), interval),
        Figure("t of the difference", Quantity(test.t, "ratio"), f"p {Quantity(test.p, 'p_value').text}"),
    ]
    rows: list[list[Any]] = [
        [LABELS[name], *(Quantity(value, KINDS.get(name, "percent")) for value in values)]
        for name, values in headline.items()
    ]
    return Section(
        "What the difference is worth",
        found.verdict,
        [
            Figures(tiles),
            Table(columns=_columns(found), rows=rows, title="The same strategy in both"),
            _growth(found),
            Table(
                columns=[Column("Year"), *(Column(c.label, "percent") for c in _columns(found)[1:])],
                rows=_years(found),
                title="Yearly net returns",
                caption="The first and the last year may be incomplete.",
            ),
            Note(
                f"Differences are {found.other} less {found.one}. The test is of the mean of {test.n:,} "
                f"daily differences of the net returns, times {year}; Newey–West with {lags} lags. Annual "
                "returns are compounded, so their difference is another number. Each namespace has its own "
                f"benchmark: {found.results[0].bench_name}."
            ),
        ],
    )


def _tile(found: UniverseComparison, name: str, values: tuple[float, float, float]) -> Figure:
    one, other, difference = (Quantity(value, KINDS.get(name, "percent")) for value in values)
    return Figure(
        f"{LABELS[name]}, difference", difference, f"{found.one} {one.text}, {found.other} {other.text}"
    )


def _columns(found: UniverseComparison) -> list[Column]:
    return [Column(""), *(Column(label, "number") for label in (found.one, found.other, "Difference"))]


def _growth(found: UniverseComparison) -> Grid:
    dates = found.results[0].dates
    names = found.one, found.other
    books = {name: wealth(r.ret) for name, r in zip(names, found.results, strict=True)}
    benchmarks = {name: wealth(r.bench) for name, r in zip(names, found.results, strict=True)}
    text = f"Lines over time of the growth of 1 in {found.one} and in {found.other}"
    return Grid([
        Chart(
            "Growth of 1, the strategy",
            charts.equity_curve(dates, books),
            "Net of costs; logarithmic.",
            f"{text}, the strategy.",
        ),
        Chart(
            "Growth of 1, the benchmarks",
            charts.equity_curve(dates, benchmarks),
            "What a universe earns before anything is selected; logarithmic.",
            f"{text}, the benchmarks.",
        ),
    ])  # fmt: skip


def _years(found: UniverseComparison) -> list[list[Any]]:
    (years, _, one), (_, _, other) = (monthly_table(r.ret, r.dates) for r in found.results)
    return [[str(year), a, b, b - a] for year, a, b in zip(years, one, other, strict=True)]


def _members(found: UniverseComparison) -> Section:
    overlap, mean = found.overlap, found.overlap.means()
    labels = _member_labels(found)
    columns = [Column("Year"), *(Column(label, "number") for label in labels.values())]
    yearly: list[list[Any]] = [
        [str(year), *(_member_quantity(name, values) for name in labels)]
        for year, values in overlap.years().items()
    ]
    whole: list[Any] = ["All", *(_member_quantity(name, mean) for name in labels)]
    counts = {found.one: overlap.one, found.other: overlap.other, "In both": overlap.both}
    series = {name: count.astype(np.float64) for name, count in counts.items()}
    return Section(
        "Who is a member",
        "Averages over the sessions. Shared is Jaccard's share: members of both, of all that are a member of "
        "either.",
        [
            Figures([Figure(label, _member_quantity(name, mean)) for name, label in labels.items()]),
            Grid([
                Chart(
                    "Members",
                    charts.lines(overlap.dates, series, kind="count", zero=True),
                    "After the close of each session.",
                    f"Lines over time of the members of {found.one}, of {found.other} and of both.",
                ),
                Chart(
                    "Shared members",
                    charts.lines(overlap.dates, {"Shared": overlap.shared}, kind="percent", zero=True),
                    "100% where both have the same members.",
                    "Line over time of the share of members that both universes have.",
                ),
            ]),
            Table(columns=columns, rows=[*yearly, whole], title="Members a session, by year"),
        ],
    )  # fmt: skip


def _member_labels(found: UniverseComparison) -> dict[str, str]:
    return {
        "one": f"In {found.one}",
        "other": f"In {found.other}",
        "both": "In both",
        "only_one": f"Only in {found.one}",
        "only_other": f"Only in {found.other}",
        "shared": "Shared",
    }


def _member_quantity(name: str, values: Mapping[str, float]) -> Quantity:
    return Quantity(values[name], "percent") if name == "shared" else Quantity(values[name], "count")


def _ends(found: UniverseComparison) -> Section:
    groups = found.only_one, found.both, found.only_other
    reasons = sorted({reason for names in groups for reason in names.ends} - {STILL_LISTED})
    rows: list[list[Any]] = [
        ["Ever a member", *(names.ever for names in groups)],
        ["Delisted later", *(names.delisted for names in groups)],
        ["– by bankruptcy, liquidation or the regulator", *(names.failed for names in groups)],
        [
            "Delisted later, of all",
            *(Quantity(_share(names.delisted, names.ever), "percent") for names in groups),
        ],
    ]
    labels = f"Only {found.one}", "Both", f"Only {found.other}"
    blocks: list[Block] = [
        Table(columns=[Column(""), *(Column(label, "count") for label in labels)], rows=rows)
    ]
    if reasons:
        blocks.append(
            Table(
                columns=[Column("Reason"), *(Column(label, "count") for label in labels)],
                rows=[[reason, *(names.ends.get(reason, 0) for names in groups)] for reason in reasons],
                title="Why they ended",
                caption="The vendor's words. Of some ends no reason is delivered; they are unknown.",
            )
        )
    return Section(
        "How the names ended",
        "A name is one listing of a ticker, counted once if it was a member on any session. Both: in both "
        "universes at some time, if not on the same sessions.",
        blocks,
    )


def _share(part: int, whole: int) -> float:
    return part / whole if whole else np.nan


def _rules(found: UniverseComparison) -> Section:
    blocks: list[Block] = []
    for name, facts in zip((found.one, found.other), found.facts, strict=True):
        left = [(rule, f"{n:,} left on the last session") for rule, n in facts.get("rules", {}).items()]
        blocks.append(Facts([(name, universe_text(facts)), *left]))
    return Section(
        "How each is made",
        "What each rule left, on the last session, of the listings that those before it left.",
        [Grid(blocks)],
    )
