"""What an audit of look-ahead finds: a verdict for every column, from its differences in all trials.

A trial makes everything again from altered inputs (cut at a moment, started later, with another future) and
compares what must be equal. A value may differ by rounding where the house's rules allow it; every other
difference before the moment is a leak.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


class Trial(StrEnum):
    """What a trial does to the inputs."""

    CUT = "cut"
    """Everything after a moment is taken away."""
    START = "start"
    """Everything before a moment is taken away: values are compared once the declared history is full."""
    FUTURE = "future"
    """Everything after a moment is replaced by something else."""
    MEMBERS = "members"
    """Who is a member on a session is drawn anew. That knows its close, so no mean of that session's returns
    may depend on it; a cut can't show this."""
    SPLIT = "split"
    """The vendor restates the past after a later split: prices are halved, volumes doubled."""


class Verdict(StrEnum):
    """What an audit says of a column."""

    CLEAN = "clean"
    LEAK = "LEAK"
    IN_SAMPLE = "IN-SAMPLE"
    """Knows the future by declaration: a notice, no leak."""
    UNTESTED = "not compared"
    """No trial had a value to compare."""


@dataclass(frozen=True)
class Offence:
    """One value that differs: when, of whom, in which trial, and both values as texts."""

    date: str
    name: str
    trial: str
    whole: str
    other: str


@dataclass(frozen=True)
class Difference:
    """One column in one trial.

    Attributes
    ----------
    table, column : str
        Where the values stand; a pseudo-table such as ``decisions.risk4`` for what has no stored one.
    kind : Trial
    trial : str
        Which trial, e.g. ``cut 2019-03-04``.
    compared : int
        Values on either side: one that exists on one side only is a difference, one on neither is none.
    rounding, beyond : int
        Values that differ within the allowed rounding, and beyond it.
    worst : float
        Largest absolute difference of those beyond; NaN when a value is missing or no number.
    first : Offence, optional
        The earliest value beyond.
    """

    table: str
    column: str
    kind: Trial
    trial: str
    compared: int
    rounding: int = 0
    beyond: int = 0
    worst: float = 0.0
    first: Offence | None = None


@dataclass(frozen=True)
class Line:
    """What all trials say of one column."""

    table: str
    column: str
    verdict: Verdict
    trials: Mapping[str, int]
    compared: int
    rounding: int
    beyond: int
    worst: float
    first: Offence | None
    note: str = ""


@dataclass
class Audit:
    """The outcome of an audit.

    Attributes
    ----------
    desk : str
        ``equity`` or ``adr``.
    differences : list of Difference
        One for each column and trial.
    in_sample : dict
        Columns, or whole tables as (table, "*"), that know the future by declaration, and what they know.
    remarks : list of str
        What a reader must know: what was not audited and why.
    seconds : float
        Wall time.
    """

    desk: str
    differences: list[Difference] = field(default_factory=list)
    in_sample: dict[tuple[str, str], str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def lines(self) -> list[Line]:
        """One line a column: leaks first, then in-sample ones, then by table and column."""
        found: dict[tuple[str, str], list[Difference]] = {}
        for difference in self.differences:
            found.setdefault((difference.table, difference.column), []).append(difference)
        for table, column in self.in_sample:
            if column != "*" or not any(known == table for known, _ in found):
                found.setdefault((table, column), [])
        lines = [self._line(key, some) for key, some in found.items()]
        order = list(_ORDER)
        return sorted(lines, key=lambda line: (order.index(line.verdict), line.table, line.column))

    @property
    def leaks(self) -> list[Line]:
        """The columns that know the future without saying so."""
        return [line for line in self.lines if line.verdict is Verdict.LEAK]

    def count(self, verdict: Verdict) -> int:
        """Columns with this verdict."""
        return sum(line.verdict is verdict for line in self.lines)

    @property
    def compared(self) -> int:
        """Values compared in all trials."""
        return sum(difference.compared for difference in self.differences)

    @property
    def trials(self) -> list[str]:
        """Names of the trials, each once, in the order in which they were run."""
        return list(dict.fromkeys(difference.trial for difference in self.differences))

    def as_dict(self) -> dict[str, Any]:
        """The audit as plain data."""
        return {
            "desk": self.desk,
            "leaks": len(self.leaks),
            "compared": self.compared,
            "trials": self.trials,
            "columns": [asdict(line) for line in self.lines],
            "remarks": self.remarks,
            "seconds": self.seconds,
        }

    def _line(self, key: tuple[str, str], some: Sequence[Difference]) -> Line:
        table, column = key
        note = self.in_sample.get(key) or self.in_sample.get((table, "*"), "")
        compared, beyond = sum(d.compared for d in some), sum(d.beyond for d in some)
        counts: dict[str, int] = {}
        for difference in some:
            counts[difference.kind] = counts.get(difference.kind, 0) + 1
        return Line(
            table=table,
            column=column,
            verdict=_verdict(bool(note), beyond, compared),
            trials=counts,
            compared=compared,
            rounding=sum(d.rounding for d in some),
            beyond=beyond,
            worst=_worst(d.worst for d in some if d.beyond),
            first=min((d.first for d in some if d.first), key=lambda o: (o.date, o.name), default=None),
            note=note,
        )


_ORDER = (Verdict.LEAK, Verdict.IN_SAMPLE, Verdict.UNTESTED, Verdict.CLEAN)


def _verdict(in_sample: bool, beyond: int, compared: int) -> Verdict:
    if in_sample:
        return Verdict.IN_SAMPLE
    if beyond:
        return Verdict.LEAK
    return Verdict.CLEAN if compared else Verdict.UNTESTED


def _worst(values: Iterable[float]) -> float:
    """Largest of the values; NaN only when none is a number."""
    known = list(values)
    numbers = [value for value in known if not math.isnan(value)]
    return max(numbers, default=math.nan if known else 0.0)
