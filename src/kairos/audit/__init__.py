"""What makes a result believable, checked on one's own data: no look-ahead, and no luck sold as skill."""

from kairos.audit.findings import Audit, Difference, Offence, Trial, Verdict

__all__ = ["Audit", "Difference", "Offence", "Trial", "Verdict"]
