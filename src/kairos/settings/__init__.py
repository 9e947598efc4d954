"""One typed, frozen tree of settings: packaged defaults < ``kairos.toml`` < ``--set key=value``."""

from kairos.settings.load import Resolved, load, resolve
from kairos.settings.tree import (
    Backtest,
    Columns,
    Costs,
    Data,
    Delisting,
    Equity,
    Listing,
    Run,
    Settings,
    Signals,
    Storage,
    Strategy,
    StrategyDefaults,
    Universe,
    Volatility,
    Windows,
)

__all__ = [
    "Backtest",
    "Columns",
    "Costs",
    "Data",
    "Delisting",
    "Equity",
    "Listing",
    "Resolved",
    "Run",
    "Settings",
    "Signals",
    "Storage",
    "Strategy",
    "StrategyDefaults",
    "Universe",
    "Volatility",
    "Windows",
    "load",
    "resolve",
]
