"""The look-ahead audit of the equity desk: everything made again from altered inputs, and compared."""

from __future__ import annotations

import datetime as dt
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from kairos import executor
from kairos.audit import equity_decisions, equity_tables
from kairos.audit.equity_decisions import Decided
from kairos.audit.equity_inputs import Alteration, write_inputs
from kairos.audit.equity_tables import Reach
from kairos.audit.findings import Audit, Difference, Trial, Verdict
from kairos.equity import registry
from kairos.equity.build import build
from kairos.equity.columns import resolve, warnings_of
from kairos.equity.context import PRICES, Context, open_store
from kairos.equity.declare import AssembledTable, DateTable, Declaration
from kairos.equity.staleness import status
from kairos.errors import InputError
from kairos.settings import Settings

EARLY, LATE = 0.4, 0.98
"""Moments are drawn from this stretch of the sessions, where most columns have values."""

BEGINS = 0.2
"""A later start leaves out this share of the sessions."""

NOT_CUT = (
    "category, exchange, sector, size class and name of tickers are today's in every trial: the vendor keeps "
    "no history of them"
)


@dataclass(frozen=True)
class Task:
    """All that a trial needs, picklable."""

    db: Path
    settings: Settings
    namespace: str
    snapshot: str
    tables: Sequence[str]
    reach: Mapping[str, Reach]
    strategies: Sequence[str]
    alpha: str
    lower_is_better: bool
    decided: Mapping[str, Decided]
    as_of: dt.date | None


def lookahead(
    db: Path,
    *,
    settings: Settings,
    cuts: int = 3,
    seed: int = 0,
    tables: Sequence[str] = (),
    strategies: Sequence[str] = (),
    alpha: str | None = None,
    lower_is_better: bool = False,
    namespace: str = "main",
    progress: Callable[[int, int], object] = lambda *_: None,
) -> Audit:
    """Make every table and every decision again from altered inputs, and compare what must be equal.

    Trials: the inputs cut at random moments; the same moments with another future behind them (prices,
    filings, amendments, ends of listings) or other members on their day; a later start; a later split of half
    of the tickers. Compared is
    everything up to the moment, of a later start everything once the declared history is full. What is
    declared to look ahead by h sessions (targets) is compared up to h sessions before. The stored tables are
    not touched; each trial is a build in a temporary folder.

    Parameters
    ----------
    db : Path
        The catalog; its tables must be current.
    cuts : int
        Random moments; each is a cut and another future.
    seed : int
        Of moments and futures: the same seed, the same audit.
    tables : sequence of str
        Only these and what they need; none for all.
    strategies : sequence of str
        Whose decisions are compared; none for tables only.
    alpha : str, optional
        The signal of the strategies; without it the first composite that has values.

    Raises
    ------
    InputError
        When tables are missing or stale, there are too few sessions, or a name does not exist.
    """
    started = time.monotonic()
    if cuts < 1:
        raise InputError(f"--cuts {cuts}: one moment at least")
    context = Context(open_store(db, settings).snapshot(), settings, namespace)
    _check_current(db, settings, namespace)
    column = resolve(context, alpha or _usual(context)) if strategies else ""
    for name in strategies:
        settings.equity.strategy(name)
    audit = Audit("equity")
    marked = equity_tables.in_sample(context)
    audit.in_sample = marked | equity_decisions.knows_future(context, strategies, column, marked)
    audit.remarks += _remarks(context, registry.select(tables, settings))
    if strategies:
        audit.remarks += warnings_of(context, column)
    whole = equity_decisions.decide(context, strategies, column, lower_is_better=lower_is_better)
    task = Task(
        db.absolute(), settings, namespace, context.snapshot.id, tuple(tables),
        equity_tables.reaches(context), tuple(strategies), column, lower_is_better, whole, _as_of(context),
    )  # fmt: skip
    trials = _trials(context.sessions, whole, _reported(context), cuts, seed)
    moments = [altered.moment for altered in trials if altered.kind is Trial.CUT]
    audit.differences = equity_tables.member_differences(
        context, registry.select(tables, settings), moments, seed
    )
    context.release()
    found = executor.run(
        partial(_trial, task),
        trials,
        workers=settings.run,
        name=lambda altered: altered.label,
        progress=progress,
    )
    audit.differences += [difference for some in found for difference in some]
    audit.remarks += _unjudged(audit)
    audit.seconds = time.monotonic() - started
    return audit


def _trial(task: Task, altered: Alteration) -> list[Difference]:
    """Build from altered inputs in a folder of its own, and compare."""
    whole = Context(open_store(task.db, task.settings).snapshot(task.snapshot), task.settings, task.namespace)
    with tempfile.TemporaryDirectory(prefix="kairos-audit-") as folder:
        db = Path(folder) / "kairos.duckdb"
        store = open_store(db, task.settings)
        write_inputs(whole, store, altered)
        build(db, task.tables, settings=task.settings, into=task.namespace, as_of=task.as_of)
        other = Context(store.snapshot(), task.settings, task.namespace)
        chosen = registry.select(task.tables, task.settings)
        found = equity_tables.differences(whole, other, chosen, altered, task.reach)
        if task.strategies and altered.kind is not Trial.START:  # a book remembers what it held before
            again = equity_decisions.decide(
                other, task.strategies, task.alpha, lower_is_better=task.lower_is_better, cut=True
            )
            found += equity_decisions.differences(task.decided, again, altered)
    return found


def _trials(
    sessions: np.ndarray[tuple[int], np.dtype[np.datetime64]],
    whole: Mapping[str, Decided],
    reported: Set[dt.date],
    cuts: int,
    seed: int,
) -> list[Alteration]:
    """Moments on which something is decided and something filed: there the shortest look ahead shows."""
    T = len(sessions)
    days = sessions.astype(object)
    stretch = set(days[int(EARLY * T) : int(LATE * T)])
    for telling in ({day for one in whole.values() for day in one.weights}, reported):
        stretch = stretch & telling if len(stretch & telling) >= cuts else stretch
    if len(stretch) < cuts:
        raise InputError(f"there are {T} sessions: too few to cut them at {cuts} moments")
    rng = np.random.default_rng(seed)
    moments: list[dt.date] = sorted(rng.choice(np.array(sorted(stretch), dtype=object), cuts, replace=False))
    return [
        *(Alteration(Trial.CUT, day, seed) for day in moments),
        *(Alteration(Trial.FUTURE, day, seed + i) for i, day in enumerate(moments)),
        Alteration(Trial.START, days[int(BEGINS * T)], seed),
        Alteration(Trial.SPLIT, days[-1], seed),
    ]


def _reported(context: Context) -> set[dt.date]:
    """Days on which companies filed their figures."""
    if context.find("sf1") is None:
        return set()
    with context.connect("sf1") as con:
        return {day for (day,) in con.execute("SELECT DISTINCT datekey FROM sf1").fetchall()}


def _check_current(db: Path, settings: Settings, namespace: str) -> None:
    """Refuse to audit what is not what a build would make."""
    stale = [
        f"{t.name} ({'; '.join(t.why)})"
        for t in status(db, settings=settings, namespace=namespace)
        if t.state == "stale"
    ]
    if stale:
        raise InputError(f"{', '.join(stale[:3])}: stale; run `kairos equity build` first")


def _usual(context: Context) -> str:
    """The first composite that is built and has a value."""
    for name in context.settings.equity.composites:
        table = context.find(context.settings.equity.composite(name).table)
        if table is not None and name in table.names and name not in table.meta.get("empty", ()):
            return f"{table.name}.{name}"
    raise InputError("no composite has values: name a signal with --alpha")


def _as_of(context: Context) -> dt.date | None:
    """The day at which the tables of the namespace end, where they were built as of one."""
    base = context.find(PRICES)
    told = None if base is None else base.meta.get("recipe", {}).get("as_of")
    return None if told is None else dt.date.fromisoformat(told)


def _unjudged(audit: Audit) -> list[str]:
    """Columns whose warm-up no later start could show, and those that the trials can't accuse."""
    found = []
    features = {(d.table, d.column) for d in audit.differences if d.kind is Trial.CUT}
    begun = {(d.table, d.column) for d in audit.differences if d.kind is Trial.START and d.compared}
    never = {table for table, _ in features - begun if not table.startswith("decisions.")}
    if never := never - equity_tables.NUMBERED:
        found.append(
            "warm-up not checked of some columns of these tables, whose declared history leaves no session "
            f"after the later start: {', '.join(sorted(never))}"
        )
    if spared := audit.count(Verdict.IN_SAMPLE):
        found.append(f"{spared} entries are IN-SAMPLE: whether they know more than that, no trial can tell")
    return found


def _remarks(context: Context, chosen: Sequence[Declaration]) -> list[str]:
    """What the audit can't see, or leaves out."""
    assembled = [
        t.name
        for t in registry.tables(context.settings)
        if isinstance(t, AssembledTable) and context.find(t.name) is not None
    ]
    missing = [t.name for t in registry.tables(context.settings) if context.find(t.name) is None]
    found = [NOT_CUT]
    if assembled:
        found.append(
            f"{', '.join(assembled)}: assembled from the columns above, without a value of their own"
        )
    if missing:
        found.append(f"not built, so not audited: {', '.join(missing)}")
    brought = sorted({file for table in chosen for file in table.files(context.settings)})
    if brought:
        found.append(f"files of the user's, the same in every trial: {', '.join(brought)}")
    untold = [t.name for t in chosen if isinstance(t, DateTable) and not equity_tables.tells_members(t)]
    if untold:
        found.append(f"means over names of these tables had no trial with other members: {', '.join(untold)}")
    if context.settings.equity.universe.mode == "file":
        found.append("the universe is the user's own list: when its rows were known is not checked")
    return found
