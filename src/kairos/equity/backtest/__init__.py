"""One engine, and strategies that are entries of the configuration."""

from kairos.equity.backtest.result import BacktestResult
from kairos.equity.backtest.run import backtest

__all__ = ["BacktestResult", "backtest"]
