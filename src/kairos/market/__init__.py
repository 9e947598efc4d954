"""Facts about exchanges: sessions and closes. No files, no prices."""

from kairos.market.auction import close_times, early_closes, is_open, open_times, reference_times
from kairos.market.exchange import is_exchange, next_session, sessions

__all__ = [
    "close_times",
    "early_closes",
    "is_exchange",
    "is_open",
    "next_session",
    "open_times",
    "reference_times",
    "sessions",
]
