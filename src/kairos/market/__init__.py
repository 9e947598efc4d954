"""Facts about exchanges: sessions. No files, no prices."""

from kairos.market.exchange import next_session, sessions

__all__ = ["next_session", "sessions"]
