"""Rows page by page, into a CSV file.

The pages are asked for as JSON and not as CSV: a body that was cut off is then no JSON and can't pass for a
shorter page, the cursor of the next page stands in the body, and every page names its columns. The digits of
a number are never read as a number: they go into the file as they came.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kairos.equity.download.patience import PassingError
from kairos.equity.download.service import RefusedError, code
from kairos.errors import WorkError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kairos.equity.download.part import Part
    from kairos.equity.download.request import Request
    from kairos.equity.download.service import Service


@dataclass(frozen=True)
class Page:
    """One page: columns, rows, and where the next one begins; None after the last."""

    columns: tuple[str, ...]
    rows: Sequence[Sequence[Any]]
    cursor: str | None


def fetch_pages(service: Service, request: Request, part: Part, page_size: int) -> None:
    """Get all pages that are not yet in the part.

    Raises
    ------
    InputError
        When the key may not read the table.
    WorkError
        When the service does not recover, or the columns change from one page to the next; the part is then
        thrown away.
    """
    while part.progress.state == "part":
        try:
            page = _page(service, request, part.progress.cursor, page_size)
        except RefusedError:
            if not (part.resumed and part.progress.cursor):
                raise
            part.restart()  # the cursor of an earlier run is no longer known
            continue
        _check(request, part, page)
        part.append(
            _text(page, header=not part.progress.columns),
            columns=page.columns,
            cursor=page.cursor,
            rows=part.progress.rows + len(page.rows),
            state="part" if page.cursor else "whole",
        )


def _page(service: Service, request: Request, cursor: str | None, page_size: int) -> Page:
    params = {**request.filters, "qopts.per_page": str(page_size)}
    if cursor:
        params["qopts.cursor_id"] = cursor
    return service.ask(request.table, params, page_of)


def page_of(answer: Any) -> Page:
    """Take the answer of the service apart.

    Raises
    ------
    PassingError
        When it is no page, or a row has too few or too many values.
    """
    try:
        columns = tuple(str(column["name"]) for column in answer["datatable"]["columns"])
        rows = answer["datatable"]["data"]
        cursor = answer["meta"]["next_cursor_id"]
        fits = all(len(row) == len(columns) for row in rows)
        plain = all(value is None or isinstance(value, str | bool) for row in rows for value in row)
    except (KeyError, TypeError) as error:
        raise PassingError("the answer is not a page of a table") from error
    if not columns or not fits:
        raise PassingError("the answer has rows that do not fit its columns")
    if not plain:
        raise PassingError("the answer has values that are neither text nor number")
    return Page(columns, rows, cursor or None)


def _check(request: Request, part: Part, page: Page) -> None:
    before = part.progress
    if before.columns and page.columns != before.columns:
        part.restart()
        changed = sorted(set(page.columns) ^ set(before.columns)) or ["their order"]
        raise WorkError(
            f"{code(request.table)}: the columns changed between two pages ({', '.join(changed)}). What was "
            "there is thrown away; run the same command again, it begins this table anew."
        )
    if page.cursor and page.cursor == before.cursor:
        raise WorkError(f"{code(request.table)}: the service gives the same page again and again.")


def _text(page: Page, *, header: bool) -> bytes:
    """Write rows as CSV: an absent value is empty, everything else is the text that came."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if header:
        writer.writerow(page.columns)
    writer.writerows([_words(value) for value in row] for row in page.rows)
    return text.getvalue().encode()


def _words(value: str | bool | None) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value or ""
