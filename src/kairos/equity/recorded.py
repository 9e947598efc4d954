"""Backtests of the run ledger: which one is meant, what it stored, and the settings that it ran with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pydantic import ValidationError

from kairos.equity.backtest.trials import Trial
from kairos.errors import InputError
from kairos.settings import Settings, Strategy
from kairos.settings.load import defaults
from kairos.settings.tree import merged
from kairos.store import Snapshot, Store
from kairos.store.ledger import Run, find, runs

OWN = ("strategies", "composites", "tables")
"""Sections of ``equity`` whose entries are the user's: a later default is no part of them."""


def find_run(snapshot: Snapshot, name: str, namespace: str = "main") -> Run:
    """The backtest that a user means.

    Parameters
    ----------
    name : str
        Name of a result (``longonly_r4``): the run that the table holds; or the identifier of a run, or a
        beginning of it that no other run has.

    Raises
    ------
    InputError
        Nothing, or several runs are meant, or the run is no backtest.
    """
    table = f"backtest_results_{name}"
    if snapshot.has(table, namespace):
        run = str(snapshot.table(table, namespace).meta.get("run", ""))
        known = {one.id: one for one in runs(snapshot)}
        if run in known:
            return known[run]
    try:
        found = find(snapshot, name)
    except InputError as error:
        raise InputError(f"{error}; nor is there a result {table} in namespace {namespace}") from None
    if Trial.of(found) is None:
        raise InputError(f"run {found.id} is no backtest: it was `kairos {found.command}`")
    return found


def headline_of(run: Run) -> dict[str, Any]:
    """The numbers that the ledger keeps of a run."""
    numbers: dict[str, Any] = json.loads(run.headline)
    return numbers


def namespace_of(run: Run) -> str:
    """Where a run read its tables and stored its results."""
    trial = Trial.of(run)
    return "main" if trial is None else trial.namespace


def stored(store: Store, run: Run) -> pa.Table | None:
    """The results of a run, of whatever snapshot still has them; None when a later run replaced them in all.

    The newest snapshot counts first. Results of a name are replaced by the next run of that name, but the
    snapshots before it keep theirs.
    """
    name, namespace = headline_of(run)["table"], namespace_of(run)
    for snapshot in reversed(store.snapshots()):
        for space in dict.fromkeys((namespace, "main")):
            table = snapshot.tables.get((space, name))
            if table is not None and table.meta.get("run") == run.id:
                return snapshot.read(name, namespace=space)
    return None


@dataclass(frozen=True)
class Setup:
    """What a recorded run ran with, read by the present code.

    Attributes
    ----------
    settings : Settings
        The recorded ``equity``; everything else as it is now.
    strategy : Strategy
        As it was resolved.
    lower_is_better, benchmark
        As asked for.
    added : list of str
        Keys that the run did not know; their present defaults are used.
    """

    settings: Settings
    strategy: Strategy
    lower_is_better: bool
    benchmark: str | None
    added: list[str]


def setup_of(run: Run, settings: Settings) -> Setup:
    """Read the configuration of a run.

    Raises
    ------
    InputError
        The present code does not know a key of it, or no longer takes a value.
    """
    config = json.loads(run.config)
    packaged, recorded = defaults()["equity"], config["equity"]
    tree = merged(packaged, recorded)
    tree |= {section: recorded[section] for section in OWN if section in recorded}
    base = merged({**packaged["strategy_defaults"], "backtest": packaged["backtest"]}, config["strategy"])
    try:
        equity = type(settings.equity).model_validate(tree)
        strategy = Strategy.model_validate(base)
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(str(part) for part in detail['loc'])}: {detail['msg']}"
            for detail in error.errors(include_url=False)[:5]
        )
        raise InputError(
            f"run {run.id} was made by {run.code_version}, whose configuration this version does not take: "
            f"{wrong}. Install that version to repeat it"
        ) from None
    used = {"equity": equity.model_dump(mode="json"), "strategy": strategy.model_dump(mode="json")}
    known = set(leaves({"equity": recorded, "strategy": config["strategy"]}))
    asked = config["asked"]
    return Setup(
        settings=settings.model_copy(update={"equity": equity}),
        strategy=strategy,
        lower_is_better=bool(asked["--lower-is-better"]),
        benchmark=asked["--benchmark"],
        added=sorted(set(leaves(used)) - known),
    )


def leaves(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Every value of nested tables by its dotted key; an empty table is a value."""
    found: dict[str, Any] = {}
    for name, value in tree.items():
        key = f"{prefix}{name}"
        found.update(leaves(value, f"{key}.") if isinstance(value, Mapping) and value else {key: value})
    return found
