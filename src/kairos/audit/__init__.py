"""What makes a result believable, checked on one's own data: no look-ahead, and no luck sold as skill."""

from kairos.audit.findings import Audit, Difference, Offence, Trial, Verdict
from kairos.audit.null import null_markets
from kairos.audit.null_rates import NullAudit

__all__ = ["Audit", "Difference", "NullAudit", "Offence", "Trial", "Verdict", "null_markets"]
