"""Panels of the ADR desk held against each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kairos.adr.minutes import new_york_clock
from kairos.audit.adr_outputs import Panel
from kairos.audit.findings import Difference, Offence

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kairos.audit.adr_horizon import Horizon
    from kairos.audit.adr_outputs import Catalog
    from kairos.audit.findings import Trial

Values = np.ndarray[Any, np.dtype[Any]]

ROUNDING = 1e-8
"""Share of a value, or of the usual size of its column, by which two values may differ: sums of the same
numbers in another order, and a refit from them."""


@dataclass
class _Tally:
    """What is counted of one column over its panels."""

    compared: int = 0
    rounding: int = 0
    beyond: int = 0
    worst: float = np.nan
    first: Offence | None = None

    def add(self, other: _Tally) -> None:
        self.compared += other.compared
        self.rounding += other.rounding
        self.beyond += other.beyond
        if other.beyond:  # NaN, no number, gives way to any
            worst = [each for each in (self.worst, other.worst) if not np.isnan(each)]
            self.worst = max(worst, default=np.nan)
        if other.first and (self.first is None or _order(other.first) < _order(self.first)):
            self.first = other.first


def _order(offence: Offence) -> tuple[str, str]:
    return offence.date, offence.name


def differences(
    whole: Catalog, other: Catalog, horizon: Horizon, kind: Trial, trial: str
) -> list[Difference]:
    """Compare the tables of a trial with those of the whole run.

    Parameters
    ----------
    whole, other
        Panels of both runs; they are read one after the other.
    horizon
        Which values must be equal.
    kind, trial
        The trial and its name.

    Returns
    -------
    list of Difference, one for each column of either side.
    """
    tallies: dict[tuple[str, str], _Tally] = {}
    for table, key in dict.fromkeys([*whole, *other]):
        one, two = (_read(side.get((table, key))) for side in (whole, other))
        for name in dict.fromkeys([*(one.columns if one else ()), *(two.columns if two else ())]):
            tally = tallies.setdefault((table, name), _Tally())
            tally.add(_compare(one, two, name, horizon, trial))
    return [
        Difference(
            *(table, column, kind, trial, tally.compared, tally.rounding, tally.beyond),
            *(tally.worst if tally.beyond else 0.0, tally.first),
        )
        for (table, column), tally in tallies.items()
    ]


def _read(reader: Callable[[], Panel] | None) -> Panel | None:
    return reader() if reader else None


def _compare(one: Panel | None, two: Panel | None, name: str, horizon: Horizon, trial: str) -> _Tally:
    """One column of one panel; a panel or a column that is absent has no values."""
    sides = [(side, side.columns[name]) for side in (one, two) if side and name in side.columns]
    panel, column = sides[0]
    texts = any(of.values.dtype == object for _, of in sides)  # a side without any value has no texts
    moments = np.unique(np.concatenate([side.moments for side, _ in sides]))
    if panel.both and one and two:
        moments = np.intersect1d(one.moments, two.moments)
    moments = moments[horizon.rows(Panel(panel.exchange, moments, {}), column)]
    names = list(dict.fromkeys(each for _, of in sides for each in of.names))
    a, b = (_laid_out(side, name, moments, names, texts=texts) for side in (one, two))
    there = _present(a) | _present(b)
    same = (a == b) | ~there
    near = np.zeros(same.shape, np.bool_)
    worst = np.nan
    if not texts:
        near = ~same & _near(a, b)
    beyond = ~same & ~near
    if beyond.any() and not texts:
        distance = np.abs(a[beyond] - b[beyond])
        worst = float(np.nanmax(distance)) if np.isfinite(distance).any() else np.nan
    first = _first(a, b, beyond, moments, names, trial) if beyond.any() else None
    return _Tally(int(there.sum()), int(near.sum()), int(beyond.sum()), worst if beyond.any() else 0.0, first)


def _laid_out(
    panel: Panel | None, name: str, moments: Values, names: Sequence[str], *, texts: bool
) -> Values:
    """Values at moments and names, (T, N)."""
    missing: Any = None if texts else np.nan
    out: Values = np.full((len(moments), len(names)), missing, dtype=object if texts else np.float64)
    if panel is None or name not in panel.columns:
        return out
    column = panel.columns[name]
    here, rows = np.isin(moments, panel.moments), np.searchsorted(panel.moments, moments)
    place = {each: position for position, each in enumerate(column.names)}
    known = np.array([each in place for each in names], dtype=np.bool_)
    if texts and column.values.dtype != object:
        return out
    if not texts:
        out[np.ix_(here, ~known)] = column.absent
    source = np.array([place[each] for each in names if each in place], dtype=np.intp)
    out[np.ix_(here, known)] = column.values[np.ix_(rows[here], source)]
    return out


def _present(values: Values) -> Values:
    there: Values = values != None if values.dtype == object else ~np.isnan(values)  # noqa: E711
    return there


def _near(a: Values, b: Values) -> Values:
    """Whether numbers differ by rounding."""
    both = np.isfinite(a) & np.isfinite(b)
    usual = float(np.mean(np.abs(a[both]))) if both.any() else 0.0
    with np.errstate(invalid="ignore"):
        size = np.maximum(np.maximum(np.abs(a), np.abs(b)), usual)
        near: Values = both & (np.abs(a - b) <= ROUNDING * size)
    return near


def _first(
    a: Values, b: Values, beyond: Values, moments: Values, names: Sequence[str], trial: str
) -> Offence:
    """The earliest value that differs, and of that moment the first name."""
    row = int(np.flatnonzero(beyond.any(axis=1))[0])
    place = min(np.flatnonzero(beyond[row]).tolist(), key=lambda position: names[position])
    whole, other = (_shown(side[row, place]) for side in (a, b))
    return Offence(_date(moments[row]), names[place], trial, whole, other)


def _date(moment: np.datetime64) -> str:
    """A month or day; a minute on New York's clock."""
    if moment.dtype != np.dtype("datetime64[ns]"):
        return str(moment)
    return str(new_york_clock(np.array([moment]))[0].astype("datetime64[m]")).replace("T", " ")


def _shown(value: object) -> str:
    missing = value is None or (isinstance(value, float) and np.isnan(value))
    return "missing" if missing else f"{value:.10g}" if isinstance(value, float) else str(value)
