"""Facts about exchanges: sessions and closes. No files, no prices."""

from kairos.market.auction import close_times, early_closes, is_open, reference_times
from kairos.market.exchange import is_exchange, next_session, sessions

__all__ = [
    "close_times",
    "early_closes",
    "is_exchange",
    "is_open",
    "next_session",
    "reference_times",
    "sessions",
]
