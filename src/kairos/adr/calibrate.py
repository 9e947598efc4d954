"""Whether coefficients fitted on whole days serve a part of one, and a correction that knows the past only.

In each half hour since the ordinary's close, over all ADRs and days, the slope of what the ADR has done
beyond its index on what the model says:

    −baseline(t) = k·model(t)·(1 + fx(t)) + error                  no constant: model(c) = 0

k = 1 says that the coefficients hold for the part of the day. The slope of a month is that of the months
before it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from kairos.adr import fairvalue
from kairos.adr.desk import BASELINE
from kairos.adr.minutefile import MinuteFile, file_of, read_minutes
from kairos.adr.results import read_csv

if TYPE_CHECKING:
    from kairos.adr.desk import Desk
    from kairos.adr.files import Array

HALF_HOUR = 1800.0
BUCKETS = 16
"""Half hours since the close that are told apart; a later one counts with the last."""

LOWEST, HIGHEST = 0.0, 2.0
"""Bounds of a slope that is used as a factor."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """Factors of the model's term.

    Attributes
    ----------
    months : (M,) datetime64[M]
        Increasing; empty without calibration.
    slopes : (M, B)
        By month and half hour since the close.
    """

    months: np.ndarray
    slopes: Array

    @classmethod
    def none(cls) -> Calibration:
        """No correction."""
        return cls(np.empty(0, dtype="datetime64[M]"), np.empty((0, BUCKETS)))

    def at(self, months: np.ndarray, since_c: Array) -> Array:
        """Factor of each row by its month and the seconds since the close; 1 without calibration.

        A month that has no row of its own has the past of the next one that has, and a month after the last
        row that of the last.
        """
        if not len(self.months):
            return np.ones(len(months))
        rows = np.minimum(np.searchsorted(self.months, months), len(self.months) - 1)
        factor: Array = self.slopes[rows, bucket(since_c)]
        return factor

    def digest(self) -> str:
        """Hash of the factors."""
        return hashlib.sha256(self.months.tobytes() + self.slopes.tobytes()).hexdigest()[:16]


def bucket(since_c: Array) -> np.ndarray:
    """Half hour since the close: (0, 30 min] is 0.

    >>> bucket(np.array([60.0, 1800.0, 1860.0, 1e6])).tolist()
    [0, 0, 1, 15]
    """
    number = np.ceil(since_c / HALF_HOUR).astype(np.int64) - 1
    return np.clip(number, 0, BUCKETS - 1)


def half_hours(base: MinuteFile, term: MinuteFile, min_coverage: float) -> pd.DataFrame:
    """One row for each day and half hour: the last minute at which both sides are known.

    A minute counts whose model has the coverage that the signal asks for, at c and then: with fewer stocks
    the model is a smaller one.

    Returns
    -------
    DataFrame with date, month, bucket, model (the term in USD) and beyond (what the ADR did beyond its
    index).
    """
    rows = np.searchsorted(term.times, base.times)
    rows = np.minimum(rows, max(len(term.times) - 1, 0))
    empty = pd.DataFrame({name: [] for name in ("date", "month", "bucket", "model", "beyond")})
    if not len(term.times) or not len(base.times):
        return empty
    same = term.times[rows] == base.times
    model, beyond = term.columns["signal"][rows], -base.signal
    good = same & np.isfinite(model) & np.isfinite(beyond) & (term.columns["has_model"][rows] > 0.0)
    good &= model != 0.0  # the zero model says nothing
    for name in ("coverage_c", "coverage"):
        good &= fairvalue.covered(term.columns[name][rows], min_coverage)
    table = pd.DataFrame(
        {
            "date": base.dates.astype("datetime64[s]"),
            "month": base.dates.astype("datetime64[M]").astype(str),
            "bucket": bucket(term.columns["since_c"][rows]),
            "model": model,
            "beyond": beyond,
        }
    )[good]
    return table.groupby(["date", "bucket"], as_index=False).last()


def calibrate(desk: Desk, adrs: Sequence[str], terms: str, name: str) -> Calibration:
    """Slopes of the months before each month, by half hour, over all ADRs; written to a CSV file.

    ::

        k_m = Σ model·beyond / Σ model²        over the observations of the months before m

    bounded to [0, 2], and 1 while there are fewer than `adr.signal.min_calibration` of them.

    Parameters
    ----------
    desk
        The data directory; without `adr.signal.calibration` there is nothing to do.
    adrs
        ADRs that have a baseline and a term.
    terms
        Folder of the terms.
    name
        File to write.
    """
    settings = desk.settings.adr.signal
    if settings.calibration == "none":
        desk.remove([name])
        return Calibration.none()
    parts = [
        half_hours(
            read_minutes(desk.path(file_of(BASELINE, adr))),
            read_minutes(desk.path(file_of(terms, adr))),
            settings.min_coverage,
        )
        for adr in adrs
    ]
    seen = pd.concat(parts, ignore_index=True)
    months, slopes, counts = past_slopes(seen, settings.min_calibration)
    rows = [
        (str(month), b, slopes[m, b], int(counts[m, b]))
        for m, month in enumerate(months)
        for b in range(BUCKETS)
    ]
    table = pd.DataFrame(rows, columns=["month", "half_hour", "slope", "n"])
    desk.save([(name, partial(table.to_csv, index=False))])
    return Calibration(months, slopes)


def past_slopes(seen: pd.DataFrame, least: int) -> tuple[np.ndarray, Array, np.ndarray]:
    """Months, the one after the last included; slopes and numbers of observations before each, (M, B)."""
    found = np.unique(seen["month"].to_numpy().astype("datetime64[M]"))
    months = np.append(found, found[-1:] + 1)
    row = np.searchsorted(months, seen["month"].to_numpy().astype("datetime64[M]"))
    sums = np.zeros((3, len(months), BUCKETS))
    x, y = seen["model"].to_numpy(dtype=np.float64), seen["beyond"].to_numpy(dtype=np.float64)
    for total, values in zip(sums, (x * y, x * x, np.ones(len(seen))), strict=True):
        np.add.at(total, (row, seen["bucket"].to_numpy(dtype=np.int64)), values)
    before = np.cumsum(sums, axis=1) - sums
    enough = before[2] >= least
    slope = np.divide(before[0], before[1], out=np.ones_like(before[0]), where=enough & (before[1] > 0.0))
    return months, np.clip(slope, LOWEST, HIGHEST), before[2].astype(np.int64)


def read_calibration(desk: Desk, name: str) -> Calibration:
    """Read the slopes that the step `signal` has written; none without calibration."""
    if desk.settings.adr.signal.calibration == "none":
        return Calibration.none()
    table = read_csv(desk, name, "signal", months=["month"], numbers=["half_hour", "slope"])
    wide = table.pivot(index="month", columns="half_hour", values="slope")
    return Calibration(np.array(wide.index.tolist(), dtype="datetime64[M]"), wide.to_numpy(dtype=np.float64))
