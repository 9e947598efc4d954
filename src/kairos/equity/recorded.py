"""Backtests of the run ledger: which one is meant, what it stored, and the settings that it ran with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pydantic import ValidationError

from kairos.equity.backtest.save import TABLES
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
        Name of a result (``longonly_r4``), or of the strategy that is stored under it (``risk4``): the run
        that the table holds; or the identifier of a run, or a beginning of it that no other run has.

    Raises
    ------
    InputError
        Nothing, or several runs are meant, or the run is no backtest.
    """
    table = f"backtest_results_{name}"
    if not snapshot.has(table, namespace):
        table = f"backtest_results_{TABLES.get(name, name)}"
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


def table_of(run: Run, kind: str = "results") -> str:
    """Name of the table of ``results``, ``weights`` or ``limits`` that a run stored."""
    table: str = headline_of(run)["table"]
    return table.replace("results", kind, 1)


def where_stored(store: Store, run: Run) -> tuple[Snapshot, str] | None:
    """Snapshot and namespace that still have what a run stored; None when a later run replaced it in all.

    The newest snapshot counts first. Results of a name are replaced by the next run of that name, but the
    snapshots before it keep theirs.
    """
    name, namespace = table_of(run), namespace_of(run)
    for snapshot in reversed(store.snapshots()):
        for space in dict.fromkeys((namespace, "main")):
            table = snapshot.tables.get((space, name))
            if table is not None and table.meta.get("run") == run.id:
                return snapshot, space
    return None


def stored(store: Store, run: Run) -> pa.Table | None:
    """The results of a run, of whatever snapshot still has them; None as of `where_stored`."""
    found = where_stored(store, run)
    return None if found is None else found[0].read(table_of(run), namespace=found[1])


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
    added : dict
        Keys that the run did not know, with their present defaults, which are used.
    """

    settings: Settings
    strategy: Strategy
    lower_is_better: bool
    benchmark: str | None
    added: dict[str, Any]


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
    known = leaves({"equity": recorded, "strategy": config["strategy"]})
    asked = config["asked"]
    return Setup(
        settings=settings.model_copy(update={"equity": equity}),
        strategy=strategy,
        lower_is_better=bool(asked["--lower-is-better"]),
        benchmark=asked["--benchmark"],
        added={key: value for key, value in leaves(used).items() if key not in known},
    )


def settings_apart(run: Run, setup: Setup, settings: Settings) -> list[str]:
    """Keys whose value in the present settings is not the one that a run was made with, in words.

    Of the strategies only the one that was run counts, with its bases and the overrides of that day.
    """
    config = json.loads(run.config)
    then = leaves({"equity": config["equity"], "strategy": config["strategy"]})
    entry = setup.strategy.name
    known = entry in settings.equity.strategies
    strategy = settings.equity.strategy(entry).model_dump(mode="json") if known else {}
    now = leaves({"equity": settings.part("equity"), "strategy": strategy})
    found = [] if known else [f"there is no strategy {entry} any more"]
    found += [f"{key} is new; used was its default, {_shown(value)}" for key, value in setup.added.items()]
    for key in sorted((then.keys() | now.keys()) - setup.added.keys()):
        if key.startswith(("equity.strategies.", "equity.backtest.")) or then.get(key) == now.get(key):
            continue
        if known or not key.startswith("strategy."):
            before = _shown(then[key]) if key in then else "not there"
            found.append(f"{key}: {before} then, {_shown(now[key]) if key in now else 'not there'} now")
    return found


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def leaves(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Every value of nested tables by its dotted key; an empty table is a value."""
    found: dict[str, Any] = {}
    for name, value in tree.items():
        key = f"{prefix}{name}"
        found.update(leaves(value, f"{key}.") if isinstance(value, Mapping) and value else {key: value})
    return found
