"""What a book bets on over time: sectors, size, beta."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kairos.equity.backtest.result import BacktestResult
from kairos.evaluation.attribution import exposures
from kairos.report import charts
from kairos.report.page import Block, Chart, Column, Grid, Section, Table

if TYPE_CHECKING:
    from kairos.equity.frame import Array
    from kairos.equity.sectors import Codes
    from kairos.equity.sheets.holdings import Holdings

COLUMNS = 40
"""Dates of a map of sectors, at most."""


def exposure_section(result: BacktestResult, held: Holdings) -> Section:
    """Net and gross weight of each sector, size tilt and beta at each close, of the scaled book."""
    tilts = {name: panel for name, panel in held.characteristics.items() if name != "beta"}
    found = exposures(held.book, held.sector, len(held.sectors), tilts)
    shown = np.flatnonzero(found.gross.max(axis=0) > 0.0)
    split = result.strategy.backtest.out_of_sample_from
    mark = np.datetime64(split, "D") if split else None
    labels = {"size": "Size", "alpha": "Signal"}
    blocks: list[Block] = [
        Grid([
            Chart(
                "Beta",
                charts.lines(held.dates, {"Beta": result.book_beta}, kind="ratio", split=mark, zero=True),
                "Σ weight · beta at each close, with the betas that the last decision knew.",
                "Line over time of the beta of the book.",
            ),
            Chart(
                "Tilts",
                charts.lines(
                    held.dates,
                    {labels[name]: values for name, values in found.mean.items()},
                    kind="ratio",
                    split=mark,
                    zero=True,
                ),
                "Σ weight · z-score, over the universe of the last decision: 1 is a book one deviation above "
                "its mean.",
                "Lines over time of the book's exposure to size and to the signal.",
            ),
        ]),
        _map("Net weight by sector", held, found.net[:, shown], shown),
    ]  # fmt: skip
    if (found.net < -1e-12).any():
        blocks.append(_map("Gross weight by sector", held, found.gross[:, shown], shown))
    blocks.append(
        Table(
            title="Sectors",
            columns=[
                Column("Sector"),
                *(
                    Column(name, "percent")
                    for name in ("Net, mean", "Net, least", "Net, most", "Gross, mean")
                ),
            ],
            rows=[
                [held.sectors[s], net.mean(), net.min(), net.max(), found.gross[:, s].mean()]
                for s, net in ((s, found.net[:, s]) for s in shown.tolist())
            ],
            caption="Share of capital at the closes; the sector of a name is today's.",
        )
    )
    return Section(
        "Exposures",
        "What the scaled book was exposed to. Drift between decisions is part of it.",
        blocks,
    )


def _map(title: str, held: Holdings, weights: Array, shown: Codes) -> Chart:
    step = max(1, -(-len(held.dates) // COLUMNS))
    at = np.arange(len(held.dates) - 1, -1, -step)[::-1]
    return Chart(
        title,
        charts.heatmap(
            [held.sectors[s] for s in shown.tolist()],
            [str(day) for day in held.dates[at]],
            weights[at].T,
            kind="percent",
            limit=float(max(np.abs(weights[at]).max(), 1e-9)),
        ),
        f"Share of capital at the close, every {step} sessions.",
        f"Map of sectors against dates: {title.lower()}.",
    )
