"""Kairos: equity factor research and ADR fair value, point in time."""

__version__ = "0.1.0"
