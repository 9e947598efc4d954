"""`kairos rerun`: a recorded backtest again, and whether it gives the same returns to the last bit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from kairos.equity.backtest.execute import run_strategy
from kairos.equity.backtest.result import BacktestResult
from kairos.equity.backtest.save import result_name, save
from kairos.equity.context import PRICES, Context, open_store
from kairos.equity.frame import dates, numbers
from kairos.equity.recorded import find_run, headline_of, namespace_of, setup_of, stored
from kairos.settings import Settings
from kairos.store import Store
from kairos.store.ledger import Run
from kairos.store.version import code_version

HEADLINE = ("total_return", "annual_return", "volatility", "sharpe", "max_drawdown", "turnover", "cost_drag")
"""Numbers of the ledger that are compared when the daily returns are gone."""


@dataclass(frozen=True)
class Repeated:
    """A recorded backtest that was run again.

    Attributes
    ----------
    result : BacktestResult
        Of now.
    context : Context
        The tables that were read.
    data, configuration, code : str
        What changed of each since the run; empty when nothing did.
    """

    run: Run
    result: BacktestResult
    context: Context
    data: str
    configuration: str
    code: str

    @property
    def changed(self) -> list[str]:
        """Everything that changed, a sentence each."""
        return [text for text in (self.data, self.configuration, self.code) if text]


@dataclass(frozen=True)
class Rerun:
    """How a repeated backtest compares.

    Attributes
    ----------
    compared : str
        What was: the daily results, or the headline numbers where those are gone.
    differences : list of str
        Each column or number that differs, by how much and from when on; empty when all are equal.
    changed : list of str
        Why that may be: data, configuration, code.
    saved : str or None
        Identifier of the new run.
    """

    run: str
    command: str
    snapshot: str
    compared: str
    differences: list[str]
    changed: list[str]
    saved: str | None

    @property
    def equal(self) -> bool:
        """Whether every number is the same to the last bit."""
        return not self.differences

    def as_dict(self) -> dict[str, Any]:
        """Everything by name."""
        return {"equal": self.equal, **vars(self)}

    @property
    def verdict(self) -> str:
        """One sentence."""
        if self.equal:
            return f"Equal: {self.compared} of run {self.run} are the same to the last bit."
        why = "nothing that is recorded has changed" if not self.changed else "see what changed"
        return f"Different: {len(self.differences)} of {self.compared} of run {self.run} differ; {why}."


def rerun(db: Path, run: str, *, settings: Settings, save_as: str | None = None, wait: bool = False) -> Rerun:
    """Run a recorded backtest again and compare.

    The configuration is the recorded one. The data are those of the recorded snapshot, or of the present one
    when it is no longer kept.

    Parameters
    ----------
    run : str
        See `find_run`.
    save_as : str, optional
        Store the result under this name; otherwise nothing is stored.

    Raises
    ------
    InputError
        No such run, or the present code does not take its configuration.
    """
    store = open_store(db, settings)
    meant = find_run(store.snapshot(), run)
    if save_as is not None:
        result_name("", save_as, several=False)  # refused before anything is computed
    again = repeat(store, meant, settings)
    before, saved = stored(store, meant), None
    if before is None:
        compared, differences = "the headline numbers", _numbers_apart(meant, again.result)
    else:
        compared, differences = "the columns of daily results", apart(before, again.result.daily())
    if save_as is not None:
        setup = setup_of(meant, settings)
        found = save(
            store,
            again.context,
            [again.result],
            save_as=save_as,
            benchmark=setup.benchmark,
            trials=0,
            wait=wait,
        )
        saved = found[0][1].id
    return Rerun(
        run=meant.id,
        command=meant.command,
        snapshot=again.context.snapshot.id,
        compared=compared,
        differences=differences,
        changed=again.changed,
        saved=saved,
    )


def repeat(store: Store, run: Run, settings: Settings) -> Repeated:
    """Run a recorded backtest again; nothing is stored."""
    setup, headline, namespace = setup_of(run, settings), headline_of(run), namespace_of(run)
    kept = [snapshot for snapshot in store.snapshots() if snapshot.id == run.snapshot]
    there = [snapshot for snapshot in kept if (namespace, PRICES) in snapshot.tables]
    context = Context(there[0] if there else store.snapshot(), setup.settings, namespace)
    result = run_strategy(context, setup.strategy, headline["alpha"], setup.lower_is_better, setup.benchmark)
    prices = context.prices_fingerprint
    data = ""
    if not there:
        same = "has the same prices" if prices == headline["data"] else "has other prices"
        data = (
            f"data: snapshot {run.snapshot} is no longer kept; the present one, {context.snapshot.id}, {same}"
        )
    elif prices != headline["data"]:
        data = f"data: the prices of {run.snapshot} have the fingerprint {prices}, not {headline['data']}"
    elif setup.benchmark and Path(setup.benchmark).is_file():
        data = f"data: the benchmark is the file {setup.benchmark}, whose content is not recorded"
    now = code_version()
    return Repeated(
        run=run,
        result=result,
        context=context,
        data=data,
        configuration=f"configuration: new keys with their defaults: {', '.join(setup.added)}"
        if setup.added
        else "",
        code="" if now == run.code_version else f"code: {run.code_version} then, {now} now",
    )


def apart(before: pa.Table, now: pa.Table) -> list[str]:
    """Columns of two tables of daily results that are not the same to the last bit, in words."""
    then, days = dates(before["date"]), dates(now["date"])
    if not np.array_equal(then, days):
        dated = [f"{len(d):,} from {d[0]} to {d[-1]}" for d in (then, days)]
        return [f"dates: {dated[0]} then, {dated[1]} now"]
    found = []
    for name in before.column_names:
        if name == "date" or name not in now.column_names:
            continue
        one, other = numbers(before[name]), numbers(now[name])
        unequal = ~((one == other) | (np.isnan(one) & np.isnan(other)))
        if unequal.any():
            most = float(np.nanmax(np.abs(one - other)[unequal], initial=0.0))
            found.append(
                f"{name}: {int(unequal.sum()):,} of {len(days):,} values, by up to {most:.3g}, "
                f"first on {days[np.argmax(unequal)]}"
            )
    gone = sorted(set(before.column_names) ^ set(now.column_names))
    return [*found, *(f"{name}: only in one of the two" for name in gone)]


def _numbers_apart(run: Run, result: BacktestResult) -> list[str]:
    before, now = headline_of(run), result.headline()
    return [
        f"{name}: {before.get(name)!r} then, {now[name]!r} now"
        for name in HEADLINE
        if before.get(name) != now[name]
    ]
