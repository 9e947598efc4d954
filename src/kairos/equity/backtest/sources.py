"""What a backtest is made from, for the ledger: vendor tables, tables, files, and the code that made them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kairos.equity import registry
from kairos.equity.backtest.execute import run_strategy, strategies_of
from kairos.equity.backtest.inputs import REGIMES, columns_of
from kairos.equity.backtest.result import BacktestResult
from kairos.equity.context import PRICES, RAW, Context
from kairos.equity.declare import code_fingerprint, tables_of
from kairos.store import Table

ENGINE = "the engine"
"""Name of the backtest's own code among that of the tables."""

Sources = Mapping[str, Mapping[str, Any]]


def sources(result: BacktestResult, benchmark: str | None) -> dict[str, dict[str, Any]]:
    """What decides a result, its settings apart.

    Parameters
    ----------
    benchmark : str, optional
        As asked for: a ticker, or a file of returns.

    Returns
    -------
    dict
        ``vendor`` and ``tables``: fingerprint, rows and last date of each of the vendor's tables that the
        run depends on, and of each table that it reads. ``code``: fingerprint of the code behind the engine
        and each table. ``files``: digest of the benchmark's file.
    """
    context = result.context
    read = _tables_read(context, result)
    known = registry.declarations(context.settings)
    behind = [table.name for table in registry.select(sorted(read & known.keys()), context.settings)]
    needed = {name for table in behind for name in known[table].reads}
    found = {name: context.find(name) for name in sorted({*read, *behind, *needed})}
    there = {name: table for name, table in found.items() if table is not None}
    path = Path(benchmark) if benchmark else None
    return {
        "vendor": {name: _seen(table) for name, table in there.items() if name in RAW},
        "tables": {name: _seen(table) for name, table in there.items() if name in read},
        "code": {ENGINE: code_fingerprint(run_strategy)}
        | {name: t.meta["recipe"]["code"] for name, t in there.items() if "recipe" in t.meta},
        "files": {str(path): hashlib.sha256(path.read_bytes()).hexdigest()}
        if path and path.is_file()
        else {},
    }


def data_apart(before: Sources, now: Sources) -> list[str]:
    """Tables of the vendor, tables and files of which two runs saw different contents, in words."""
    found = []
    for kind, title in (("vendor", "vendor table"), ("tables", "table")):
        for name in _differing(before[kind], now[kind]):
            then, today = before[kind].get(name), now[kind].get(name)
            found.append(f"data: {title} {name}: {_said(then)} then, {_said(today)} now")
    found += [
        f"data: the file {name} has another content" for name in _differing(before["files"], now["files"])
    ]
    return found


def code_apart(before: Sources, now: Sources) -> list[str]:
    """The engine and the tables whose code differs between two runs."""
    return _differing(before["code"], now["code"])


def _tables_read(context: Context, result: BacktestResult) -> set[str]:
    strategies = strategies_of(context.settings, result.strategy)
    regime = [REGIMES] if result.strategy.regimes or result.strategy.mix.strategies else []
    columns = columns_of(context, strategies, result.alpha)
    return {PRICES, "universe", "listings", *tables_of(columns), *regime}


def _seen(table: Table) -> dict[str, Any]:
    last = [part.hi for part in table.parts if part.hi is not None]
    return {"fingerprint": table.fingerprint, "rows": table.rows, "last": str(max(last)) if last else None}


def _said(seen: Mapping[str, Any] | None) -> str:
    if seen is None:
        return "none"
    until = f" to {seen['last']}" if seen["last"] else ""
    return f"{seen['rows']:,} rows{until}"


def _differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    return sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
