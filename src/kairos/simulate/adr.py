"""A simulated ADR desk: the data directory of cross-listed shares, and the truth behind it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kairos.errors import InputError
from kairos.simulate.adr_desk.daily import SimulatedDesk, draw
from kairos.simulate.adr_desk.files import write_daily, write_metadata, write_minutes
from kairos.simulate.adr_desk.planted import STRENGTH, WITHOUT, draw_planted
from kairos.simulate.adr_desk.truth import describe

__all__ = ["DERIVED", "SimulatedDesk", "describe", "draw_desk", "simulate_desk"]

DERIVED = ("us_closes", "betas", "futures_in_usd", "adr_mids")
"""Files that the desk can make itself: US prices at the auctions, betas of the ordinaries, bars of the
futures in USD, and mids of the ADRs at the auctions."""


def draw_desk(
    adrs: int = 12,
    us_stocks: int = 120,
    months: int = 26,
    seed: int = 0,
    *,
    start: str = "2024-01-02",
    strength: tuple[float, float] = STRENGTH,
    without: float = WITHOUT,
    future_months: int = 0,
) -> SimulatedDesk:
    """Draw the daily world of a desk in memory; nothing is written.

    Parameters
    ----------
    adrs
        Number of ADRs n, on eleven European exchanges in turn.
    us_stocks
        Number of US stocks N, at least 20. The last two are twins of the first two ADRs.
    months
        Calendar months from `start`'s on. Listings, splits, halts and the like happen in them.
    seed
        Same seed and arguments, same desk to the last bit.
    start
        First day, ISO text.
    strength
        Range of R², the share of an ordinary's residual variance that its predictors explain; equal ends fix
        it, (0, 0) plants nothing.
    without
        Share of ADRs without any predictor.
    future_months
        Months after `months` in which the same desk goes on, without events: long enough, they measure what a
        rule fitted on the first `months` is truly worth. The first `months` are the same with and without.

    Raises
    ------
    InputError
        An argument is out of range.

    Examples
    --------
    >>> desk = draw_desk(adrs=4, us_stocks=20, months=3, seed=1)
    >>> days, prices = desk.us_closes("XLON")
    >>> len(days), prices.shape[1], desk.pairs[0].ordinary
    (61, 20, 'BAB/ LN Equity')
    """
    planted = draw_planted(adrs, us_stocks, seed, strength, without)
    return draw(planted, start, months, future_months)


def simulate_desk(
    out: Path,
    *,
    adrs: int = 12,
    us_stocks: int = 120,
    months: int = 26,
    seed: int = 0,
    start: str = "2024-01-02",
    minutes: int | Sequence[str] = 2,
    derived: Collection[str] = ("us_closes", "futures_in_usd", "adr_mids"),
    **planting: Any,
) -> Path:
    """Write a simulated desk as the data directory that the ADR desk reads, with its truth beside it.

    Besides `data/`, `truth.json` has the betas, predictors, coefficients and events, and
    `truth_fair_value.parquet` the fair value of each ADR at each of its quotes (USD, known to nobody).

    Parameters
    ----------
    out
        Folder to write, new or empty. It appears complete or not at all.
    adrs, us_stocks, months, seed, start
        See `draw_desk`.
    minutes
        Months with minute bars and quotes: the last so many of `months`, or months by name ("2025-03"). With
        or without them, currencies and futures have the minute before each reference time.
    derived
        Which of the files are written that the desk could make itself.
    **planting
        `strength`, `without` and `future_months` of `draw_desk`.

    Returns
    -------
    The folder.

    Raises
    ------
    InputError
        The folder has content, or an argument is out of range.
    """
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} exists and is not an empty folder: choose a new one.")
    unknown = set(derived) - set(DERIVED)
    if unknown:
        raise InputError(f"derived {', '.join(sorted(unknown))}: choose among {', '.join(DERIVED)}.")
    desk = draw_desk(adrs, us_stocks, months, seed, start=start, **planting)
    chosen = _months(desk, minutes)
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.parent / f".{out.name}.partial-{os.getpid()}"
    partial.mkdir()
    try:
        write_metadata(partial, desk)
        write_daily(partial, desk, derived)
        write_minutes(partial, desk, chosen, derived)
        truth = json.dumps(describe(desk), indent=1, ensure_ascii=False)
        (partial / "truth.json").write_text(truth + "\n", encoding="utf-8")
        partial.replace(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return out


def _months(desk: SimulatedDesk, asked: int | Sequence[str]) -> np.ndarray[Any, np.dtype[np.datetime64]]:
    """Months with minutes, increasing."""
    first, last = desk.timeline.days[[0, -1]].astype("datetime64[M]")
    if isinstance(asked, int):
        end = desk.timeline.planned.astype("datetime64[M]")
        if not 0 <= asked <= (end - first).astype(int) + 1:
            raise InputError(f"minutes {asked}: the desk has {(end - first).astype(int) + 1} months.")
        return np.arange(end - asked + 1, end + 1)
    try:
        months = np.unique(np.array(list(asked), dtype="datetime64[M]"))
    except ValueError as error:
        raise InputError(f"minutes {', '.join(asked)}: months in the form 2025-03 are needed.") from error
    if len(months) and not first <= months[0] <= months[-1] <= last:
        raise InputError(f"minutes {', '.join(asked)}: the desk has the months {first} to {last}.")
    return months
