"""`kairos equity compare`: recorded backtests side by side."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from kairos.equity.backtest.inputs import REGIMES
from kairos.equity.backtest.scaling import SESSIONS_PER_YEAR
from kairos.equity.backtest.signals import UNKNOWN
from kairos.equity.context import open_store
from kairos.equity.frame import Array, dates, numbers
from kairos.equity.recorded import find_run, headline_of, leaves, namespace_of, table_of, where_stored
from kairos.equity.rerun import repeat
from kairos.errors import InputError
from kairos.evaluation.bootstrap import SEED, block_length, bootstrap_interval
from kairos.evaluation.comparison import SharpeGap, sharpe_gaps
from kairos.evaluation.sharpe import sharpe_ratio
from kairos.settings import Settings
from kairos.store import Snapshot, Store
from kairos.store.ledger import Run

LEVEL = 0.90
EXPOSURE = ("beta_port", "gross", "net", "n_positions")

Dates = np.ndarray[Any, np.dtype[np.datetime64]]


@dataclass(frozen=True)
class Compared:
    """One run of a comparison.

    Attributes
    ----------
    label : str
        Name of the result, with the end of the identifier where two have the same.
    run : Run
        The row of the ledger.
    headline : dict
        The numbers of the ledger.
    dates, ret, bench : (T,)
        Net return of the scaled book and of its benchmark.
    exposure : dict of str to (T,)
        ``beta_port``, ``gross``, ``net``, ``n_positions`` of the scaled book.
    limits : Table or None
        How close each decision was to each limit; None where a later run has replaced it.
    sharpe, drawdown : (float, float)
        90 % bootstrap interval of the Sharpe ratio a year and of the deepest drawdown.
    note : str
        Where the returns come from when they are not the stored ones.
    """

    label: str
    run: Run
    headline: dict[str, Any]
    dates: Dates
    ret: Array
    bench: Array
    exposure: dict[str, Array]
    limits: pa.Table | None
    sharpe: tuple[float, float]
    drawdown: tuple[float, float]
    note: str

    @property
    def periods_per_year(self) -> float:
        """Returns a year."""
        return float(self.headline.get("periods_per_year", SESSIONS_PER_YEAR))


@dataclass(frozen=True)
class Comparison:
    """Runs side by side.

    Attributes
    ----------
    runs : sequence of Compared
        In the order asked for.
    days : (D,)
        Dates that all runs have a return on which count alike: one return a session, or one a rebalance,
        whichever more of them do.
    shared : (N,)
        Sharpe ratio a year on those dates; NaN for runs that count otherwise.
    correlation : (N, N)
        Of the returns on those dates; NaN for runs that count otherwise.
    gaps : list of SharpeGap
        Differences of the Sharpe ratios on those dates, by pair; empty when they can't be compared.
    regimes : (dates, labels), optional
        The market's regime of each session, as the tables have it now.
    settings : list of (str, list)
        Keys of the configuration that differ, and each run's value as JSON.
    warnings : list of str
        To be read before any number.
    """

    runs: Sequence[Compared]
    days: Dates
    shared: Array
    correlation: Array
    gaps: list[SharpeGap]
    settings: list[tuple[str, list[str]]]
    warnings: list[str]
    regimes: tuple[Dates, np.ndarray[Any, Any]] | None = None

    @property
    def labels(self) -> list[str]:
        """Of the runs."""
        return [one.label for one in self.runs]

    def as_dict(self) -> dict[str, Any]:
        """Everything but the daily returns, for JSON."""
        return {
            "runs": [
                {
                    "label": one.label,
                    "run": one.run.id,
                    "command": one.run.command,
                    "snapshot": one.run.snapshot,
                    "code_version": one.run.code_version,
                    "sharpe_interval": one.sharpe,
                    "drawdown_interval": one.drawdown,
                    "note": one.note,
                    "sharpe_on_common_dates": float(shared),
                    **one.headline,
                }
                for one, shared in zip(self.runs, self.shared, strict=True)
            ],
            "common_dates": len(self.days),
            "correlation": self.correlation,
            "sharpe_differences": [
                {**vars(gap), "first": self.labels[gap.first], "second": self.labels[gap.second]}
                for gap in self.gaps
            ],
            "settings": [{"key": key, "values": values} for key, values in self.settings],
            "warnings": self.warnings,
        }


def compare(db: Path, names: Sequence[str], *, settings: Settings, namespace: str = "main") -> Comparison:
    """Put recorded backtests side by side.

    The returns of a run are read from its results, in whatever kept snapshot still has them. Where a later
    run of the same name has replaced them in all, the run is repeated from the ledger, and the comparison
    says so and whether the repetition gives the recorded numbers.

    Parameters
    ----------
    names : sequence of str
        Two or more, as in `find_run`.

    Raises
    ------
    InputError
        Fewer than two runs, one twice, or no such run.
    """
    store = open_store(db, settings)
    now = store.snapshot()
    meant = [find_run(now, name, namespace) for name in names]
    ids = [run.id for run in meant]
    twice = next((run for run in ids if ids.count(run) > 1), None)
    if twice:
        same = [name for name, run in zip(names, ids, strict=True) if run == twice]
        raise InputError(f"{' and '.join(same)} are the same run, {twice}: name each run once")
    if len(meant) < 2:
        raise InputError("a comparison needs two runs or more; the table runs lists them")
    runs = [_compared(store, run, label, settings) for run, label in zip(meant, _labels(meant), strict=True)]
    alike = _alike(runs)
    days = reduce(np.intersect1d, [runs[i].dates for i in alike])
    ret = np.column_stack([runs[i].ret[np.isin(runs[i].dates, days)] for i in alike])
    shared, correlation, gaps = np.full(len(runs), np.nan), np.full((len(runs), len(runs)), np.nan), []
    if len(alike) > 1 and len(days) > 2:
        with np.errstate(divide="ignore", invalid="ignore"):
            correlation[np.ix_(alike, alike)] = np.corrcoef(ret, rowvar=False)
        year = runs[alike[0]].periods_per_year
        shared[alike] = [sharpe_ratio(column, year) for column in ret.T]
        block = max(block_length(column) for column in ret.T)
        gaps = [
            replace(gap, first=alike[gap.first], second=alike[gap.second])
            for gap in sharpe_gaps(ret, year, block=block, seed=SEED, level=LEVEL)
        ]
    settings_apart, warnings = _settings(meant), _warnings(runs, alike, days)
    return Comparison(
        runs, days, shared, correlation, gaps, settings_apart, warnings, _regimes(now, namespace)
    )


def _alike(runs: Sequence[Compared]) -> list[int]:
    """The runs with one return a session, or those with one a rebalance, whichever are more."""
    periods = [one.periods_per_year for one in runs]
    most = max(dict.fromkeys(periods), key=periods.count)
    return [i for i, one in enumerate(periods) if one == most]


def _regimes(snapshot: Snapshot, namespace: str) -> tuple[Dates, np.ndarray[Any, Any]] | None:
    if not snapshot.has(REGIMES, namespace):
        return None
    rows = snapshot.read(REGIMES, ["date", "regime"], namespace=namespace)
    return dates(rows["date"]), np.array([label or UNKNOWN for label in rows["regime"].to_pylist()], object)


def _labels(runs: Sequence[Run]) -> list[str]:
    names = [headline_of(run)["table"].removeprefix("backtest_results_") for run in runs]
    return [
        name if names.count(name) == 1 else f"{name} {run.id.rpartition('-')[2]}"
        for name, run in zip(names, runs, strict=True)
    ]


def _compared(store: Store, run: Run, label: str, settings: Settings) -> Compared:
    found, limits, note = where_stored(store, run), None, ""
    if found is None:
        daily, note = _repeated(store, run, label, settings)
    else:
        snapshot, space = found
        daily = snapshot.read(table_of(run), namespace=space)
        if snapshot.has(table_of(run, "limits"), space):
            limits = snapshot.read(table_of(run, "limits"), namespace=space)
    ret, headline = numbers(daily["port_ret"]), headline_of(run)
    block, year = block_length(ret), np.sqrt(headline.get("periods_per_year", SESSIONS_PER_YEAR))
    low, high = bootstrap_interval(ret, "sharpe", block=block, seed=SEED, level=LEVEL)
    return Compared(
        label=label,
        run=run,
        headline=headline,
        dates=dates(daily["date"]),
        ret=ret,
        bench=numbers(daily["bench_ret"]),
        exposure={name: numbers(daily[name]) for name in EXPOSURE},
        limits=limits,
        sharpe=(low * year, high * year),
        drawdown=bootstrap_interval(ret, "max_drawdown", block=block, seed=SEED, level=LEVEL),
        note=note,
    )


def _repeated(store: Store, run: Run, label: str, settings: Settings) -> tuple[pa.Table, str]:
    again = repeat(store, run, settings)
    found, told = again.result.performance.sharpe, headline_of(run)["sharpe"]
    same = "it gives the recorded Sharpe ratio"
    if found != told:
        changed = "; ".join(again.changed) or "nothing that is recorded has changed"
        same = f"it gives a Sharpe ratio of {found:.4f} instead of {told:.4f} ({changed})"
    return again.result.daily(), (
        f"{label}: a later run of the same name has replaced the results of run {run.id}, so it was repeated "
        f"from the ledger; {same}."
    )


def _settings(runs: Sequence[Run]) -> list[tuple[str, list[str]]]:
    """Keys of the resolved configurations whose values are not the same in all runs.

    The entries of strategies count only for parts of a mix: those that were run stand there resolved.
    """
    configs = [json.loads(run.config) for run in runs]
    mixed = {name for config in configs for name in config["strategy"]["mix"]["strategies"]}
    flat = [leaves(config) for config in configs]
    keys = dict.fromkeys(key for config in flat for key in config)
    found = []
    for key in keys:
        if key == "strategy.name" or key.startswith("equity.backtest."):
            continue  # the first is the label; the second is resolved under strategy.backtest
        if key.startswith("equity.strategies.") and key.split(".")[2] not in mixed:
            continue
        values = [
            json.dumps(config[key], ensure_ascii=False) if config.get(key, {}) != {} else ""
            for config in flat
        ]
        if len(set(values)) > 1:
            found.append((key, values))
    return found


def _warnings(runs: Sequence[Compared], alike: Sequence[int], days: Dates) -> list[str]:
    found = [f"{one.label}: {line}" for one in runs for line in one.headline.get("looks_ahead", [])]
    found += [f"{one.label}: {line}" for one in runs for line in one.headline.get("odd_betas", [])[:1]]
    found += [one.note for one in runs if one.note]
    if len({namespace_of(one.run) for one in runs}) > 1:
        found.append("The runs are of different namespaces: their universes differ.")
    if len({one.headline["data"] for one in runs}) > 1:
        found.append("The runs saw different prices: differences may come from the data.")
    if len({one.run.code_version for one in runs}) > 1:
        found.append("The runs were made by different versions of the code.")
    others = [one.label for i, one in enumerate(runs) if i not in alike]
    if others:
        found.append(
            "Some runs count one return a session and others one a rebalance: neither correlated nor "
            f"compared in pairs with the others {'is' if len(others) == 1 else 'are'} {', '.join(others)}."
        )
    longest = max(len(runs[i].dates) for i in alike)
    if len(alike) > 1 and len(days) < longest:
        found.append(
            f"The runs share {len(days):,} dates; the longest has {longest:,}. Headline numbers are of each "
            "run's own period, correlations and differences of the shared dates."
        )
    return found
