"""The page of an audit by null markets: how often tests find what is not there, and what is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kairos.report.page import Column, Figure, Figures, Page, Quantity, Section, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

_COUNTS = (
    Column("Markets", "count"),
    Column("Found", "count", hint="markets with a finding, or whose interval misses the truth"),
    Column("Rate", "percent"),
)
_BOUNDS = (
    Column("Low", "percent", hint="of the Clopper-Pearson interval of the rate"),
    Column("High", "percent", hint="of the Clopper-Pearson interval of the rate"),
)
_PROMISED = (
    Column("Test"),
    Column("Truth", "ratio", 3, hint="the true effect, in the test's own unit"),
    *_COUNTS,
    Column("Nominal", "percent", hint="the rate that the test promises"),
    *_BOUNDS,
    Column("Verdict"),
)
_POWER = (*_PROMISED[:2], *_COUNTS, *_BOUNDS)


@dataclass(frozen=True, kw_only=True)
class NullRow:
    """One test on all its markets; `nominal` is NaN where no rate is promised."""

    part: str
    test: str
    truth: float
    markets: int
    found: int
    rate: float
    nominal: float
    low: float
    high: float
    verdict: str

    @property
    def promises(self) -> bool:
        """Whether the test promises a rate."""
        return self.nominal == self.nominal


def null_page(
    *,
    facts: Sequence[tuple[str, str]],
    rows: Sequence[NullRow],
    remarks: Sequence[str],
    confidence: float,
) -> Page:
    """The page of :class:`kairos.audit.NullAudit`.

    Parameters
    ----------
    facts
        How many markets of which seeds, level, effect, time.
    rows
        One a test.
    remarks
        What a reader must know.
    confidence
        That all intervals hold together.
    """
    promised = [row for row in rows if row.promises]
    accused = [row for row in promised if row.verdict == "too many"]
    figures = Figures(
        (
            Figure("Too many", Quantity(len(accused), "count"), "tests that find more than they promise"),
            *(
                Figure(label, Quantity(sum(row.verdict == verdict for row in promised), "count"), hint)
                for label, verdict, hint in _OTHERS
            ),
        )
    )
    warnings = [
        f"{row.part}: {row.test}: {row.rate:.1%} of {row.markets:,} markets, where {row.nominal:.1%} are "
        f"promised (at least {row.low:.1%})"
        for row in accused
    ]
    reading = (
        f"All intervals of the rates hold together with {confidence:.0%}. A test finds too many when its "
        "interval lies wholly above the nominal rate, and is conservative when it lies wholly below."
    )
    sections = [Section("In short", reading, blocks=(figures,))]
    for part in dict.fromkeys(row.part for row in rows):
        sections += _sections(part, [row for row in rows if row.part == part])
    return Page(title="Null markets", facts=facts, warnings=(*warnings, *remarks), sections=sections)


_OTHERS = (
    ("As promised", "as promised", "nothing says otherwise"),
    ("Conservative", "conservative", "find less than they may"),
)


def _sections(part: str, rows: Sequence[NullRow]) -> list[Section]:
    """What a part finds where it may not, and what it finds of an effect."""
    promised = [
        (row.test, row.truth, row.markets, row.found, row.rate, row.nominal, row.low, row.high, row.verdict)
        for row in rows
        if row.promises
    ]
    power = [
        (row.test, row.truth, row.markets, row.found, row.rate, row.low, row.high)
        for row in rows
        if not row.promises
    ]
    name = part.capitalize()
    sections = [Section(f"{name}: against what is promised", blocks=(Table(_PROMISED, promised),))]
    if power:
        sections.append(Section(f"{name}: how often an effect is found", blocks=(Table(_POWER, power),)))
    return sections
