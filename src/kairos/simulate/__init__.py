"""Markets with a planted truth, in memory and in the vendors' own file layouts."""

from kairos.simulate.equity import simulate
from kairos.simulate.prices import Market, market
from kairos.simulate.truth import expected_ic

__all__ = ["Market", "expected_ic", "market", "simulate"]
