"""How daily tables are cut into parts: whole years, then the whole quarters and the months of the last year.

The cut depends on the first and the last date alone, so a table that grew day by day has the parts of one
that was written at once. A day's rows go into the part of its month, which is small; old parts stay.
"""

from __future__ import annotations

import calendar
import datetime as dt

Span = tuple[dt.date, dt.date]


def spans(first: dt.date, last: dt.date) -> list[Span]:
    """Return first and last day of the periods that cover `first` to `last`, in order.

    >>> [f"{a:%y-%m}..{b:%y-%m}" for a, b in spans(dt.date(2024, 5, 1), dt.date(2025, 8, 20))]
    ['24-01..24-12', '25-01..25-03', '25-04..25-06', '25-07..25-07', '25-08..25-08']
    """
    quarter = 3 * ((last.month - 1) // 3)
    found = [_span(year, 1, 12) for year in range(first.year, last.year)]
    found += [_span(last.year, month + 1, month + 3) for month in range(0, quarter, 3)]
    found += [_span(last.year, month, month) for month in range(quarter + 1, last.month + 1)]
    return [(start, end) for start, end in found if end >= first]


def _span(year: int, first: int, last: int) -> Span:
    return dt.date(year, first, 1), dt.date(year, last, calendar.monthrange(year, last)[1])
