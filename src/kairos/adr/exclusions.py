"""US lines that say nothing new about an ordinary: its own ADR and the other lines of its issuer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kairos.adr.desk import ADR_INFO
from kairos.adr.files import US_LINE, read_records
from kairos.adr.instruments import read_us_sectors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kairos.adr.desk import Desk


def read_issuers(desk: Desk) -> dict[str, frozenset[str]]:
    """What is known about the issuer of each US line.

    Two lines are of one issuer when they stand for one ordinary or carry one name in the list of ADRs (all
    its rows count, those out of scope too), or have one ``issuer`` in the optional list of US sectors. Upper
    and lower case and runs of spaces don't matter; an empty name is no name.

    Returns
    -------
    dict
        Ticker of the US line → the marks of its issuer. Lines that share a mark share the issuer.
    """
    marks: dict[str, set[str]] = {}
    for row in read_records(desk.path(ADR_INFO), ["id", "adr"], what="the ADRs and their ordinaries"):
        line = row["adr"].removesuffix(US_LINE)
        marks.setdefault(line, set()).update(
            {f"ordinary {row['id']}", f"issuer {_plain(row.cells.get('name', ''))}"}
        )
    for ticker, stock in read_us_sectors(desk).items():
        marks.setdefault(ticker, set()).add(f"issuer {_plain(stock.issuer)}")
    nobody = {"ordinary ", "issuer "}
    return {line: frozenset(own - nobody) for line, own in marks.items() if line}


def excluded(
    adr: str, issuers: Mapping[str, frozenset[str]], chosen: Mapping[str, Sequence[str]]
) -> set[str]:
    """US lines that are no features of an ADR.

    Parameters
    ----------
    adr
        Ticker of the ADR.
    issuers
        From `read_issuers`.
    chosen
        The setting `adr.features.exclude`: further lines by ADR.

    Examples
    --------
    >>> issuers = {"RIO": frozenset({"issuer rio"}), "RTP": frozenset({"issuer rio"}), "BHP": frozenset()}
    >>> sorted(excluded("RIO", issuers, {"RIO": ["VALE"]}))
    ['RIO', 'RTP', 'VALE']
    """
    own = issuers.get(adr, frozenset())
    same = {line for line, marks in issuers.items() if marks & own}
    return {adr} | same | set(chosen.get(adr, ()))


def _plain(name: str) -> str:
    return " ".join(name.split()).casefold()
