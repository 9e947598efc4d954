"""Equity factor research: the verbs of the command line as functions.

>>> from kairos.equity import ingest, build, signals, backtest
"""

from kairos.equity.backtest import BacktestResult, backtest
from kairos.equity.build import BuildReport, TableStatus, build, status
from kairos.equity.ingest import IngestReport, ingest
from kairos.equity.signals import SignalStudy, signals
from kairos.equity.universe import universe_list

__all__ = [
    "BacktestResult",
    "BuildReport",
    "IngestReport",
    "SignalStudy",
    "TableStatus",
    "backtest",
    "build",
    "ingest",
    "signals",
    "status",
    "universe_list",
]
