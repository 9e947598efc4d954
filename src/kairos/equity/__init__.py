"""Equity factor research: the verbs of the command line as functions.

>>> from kairos.equity import ingest, build, signals, backtest
"""

from kairos.equity.backtest import BacktestResult, backtest
from kairos.equity.build import BuildReport, build
from kairos.equity.coverage import Factor, coverage, factors
from kairos.equity.download import DownloadReport, download
from kairos.equity.ingest import IngestReport, ingest
from kairos.equity.live import Picks, Scores, picks, scores
from kairos.equity.matrix_export import MatrixExport, export_matrix
from kairos.equity.signals import SignalStudy, signals
from kairos.equity.staleness import TableStatus, status
from kairos.equity.universe import universe_list
from kairos.equity.universe_comparison import UniverseComparison, compare
from kairos.equity.update import UpdateReport, update

__all__ = [
    "BacktestResult",
    "BuildReport",
    "DownloadReport",
    "Factor",
    "IngestReport",
    "MatrixExport",
    "Picks",
    "Scores",
    "SignalStudy",
    "TableStatus",
    "UniverseComparison",
    "UpdateReport",
    "backtest",
    "build",
    "compare",
    "coverage",
    "download",
    "export_matrix",
    "factors",
    "ingest",
    "picks",
    "scores",
    "signals",
    "status",
    "universe_list",
    "update",
]
