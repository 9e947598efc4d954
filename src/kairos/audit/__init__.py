"""What makes a result believable, checked on one's own data: no look-ahead, and no luck sold as skill."""

from typing import TYPE_CHECKING, Any

from kairos.audit.equity import lookahead as lookahead_equity
from kairos.audit.findings import Audit, Difference, Offence, Trial, Verdict
from kairos.audit.null import null_markets
from kairos.audit.null_rates import NullAudit

if TYPE_CHECKING:
    from kairos.audit.adr import lookahead_adr

__all__ = [
    "Audit",
    "Difference",
    "NullAudit",
    "Offence",
    "Trial",
    "Verdict",
    "lookahead_adr",
    "lookahead_equity",
    "null_markets",
]


def __getattr__(name: str) -> Any:
    """Import the audit of the ADR desk when it is asked for: the libraries of that desk are optional."""
    if name == "lookahead_adr":
        from kairos.audit.adr import lookahead_adr

        return lookahead_adr
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
