"""The page of an audit by null markets."""

from __future__ import annotations

from kairos.audit.null_rates import CONFIDENCE, NullAudit, Rate
from kairos.report.null import NullRow, null_page
from kairos.report.page import Page


def page_of(audit: NullAudit) -> Page:
    """The page of an audit by null markets: tests that find too many first, then part by part."""
    facts = (
        (
            "Markets",
            f"{audit.markets:,} of each part, seeds {audit.seed} to {audit.seed + audit.markets - 1}",
        ),
        ("Level", f"{audit.level:g}"),
        ("Planted effect", f"{audit.effect:g}"),
        ("Time", f"{audit.seconds:,.0f} s"),
    )
    return null_page(
        facts=facts,
        rows=[_row(rate) for rate in audit.rates],
        remarks=audit.remarks,
        confidence=CONFIDENCE,
    )


def _row(rate: Rate) -> NullRow:
    return NullRow(
        part=rate.part,
        test=rate.test,
        truth=rate.truth,
        markets=rate.markets,
        found=rate.found,
        rate=rate.rate,
        nominal=rate.nominal,
        low=rate.low,
        high=rate.high,
        verdict=str(rate.verdict),
    )
