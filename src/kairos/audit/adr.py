"""The audit of look-ahead of the ADR desk.

The desk's own steps are run in scratch folders, once from the inputs as they are and once for each trial from
altered ones, and whatever a trial must leave as it is, is compared. The user's folder is only read.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from kairos import executor
from kairos.adr.desk import ORDINARY_CLOSES, TARGETS, Desk
from kairos.adr.files import listed, read_prices
from kairos.adr.modelfile import read_model
from kairos.adr.run import STEPS
from kairos.adr.sources import quoted, quoted_span
from kairos.adr.train import output
from kairos.audit.adr_compare import differences
from kairos.audit.adr_horizon import Horizon, horizon_of, moments_of
from kairos.audit.adr_inputs import Change, users_files, write_inputs
from kairos.audit.adr_outputs import catalog, in_sample
from kairos.audit.findings import Audit, Difference, Trial
from kairos.errors import InputError
from kairos.market import sessions

if TYPE_CHECKING:
    from kairos.market.exchange import Dates

AUDITED = tuple(step.name for step in STEPS if not step.name.endswith("notebook"))
"""Steps that are audited: the notebooks show what the others have found."""

STARTS = 60
"""Sessions among which the later start is drawn."""


@dataclass(frozen=True)
class _Task:
    """One trial: all that its process needs."""

    name: str
    desk: Desk
    whole: Desk
    horizon: Horizon
    steps: Sequence[str]
    scratch: Path


def lookahead_adr(
    desk: Desk,
    *,
    cuts: int = 3,
    seed: int = 0,
    until: str = AUDITED[-1],
    progress: Callable[[int, int], object] | None = None,
) -> Audit:
    """Look for values of the ADR desk that know the future.

    Every step is run anew, models and all, from inputs

    * cut at random moments within the signal's minutes, the first of them at the end of a month,
    * with another future after such a moment,
    * that start later, and
    * that the vendor has restated after a later split.

    Parameters
    ----------
    desk
        A data directory with its settings; nothing in it is changed, and what the desk has made there is not
        read.
    cuts
        How many moments.
    seed
        Of the moments and of the other future.
    until
        The last step that is audited, e.g. ``train``.
    progress
        Called with what is done and what there is to do.

    Returns
    -------
    Audit

    Raises
    ------
    InputError
        An input is missing or wrong, there is no such step, or the data are too short for a cut.

    Examples
    --------
    >>> lookahead_adr(Desk(Path("desk"), load()), cuts=5).leaks  # doctest: +SKIP
    []
    """
    began = time.monotonic()
    if until not in AUDITED:
        raise InputError(f"there is no step {until} to audit; there are {', '.join(AUDITED)}")
    if cuts < 1:
        raise InputError(f"{cuts} cuts: an audit needs one at least")
    with tempfile.TemporaryDirectory(prefix="kairos-audit-") as folder:
        scratch = Path(folder)
        whole = Desk(scratch / "whole", desk.settings)
        write_inputs(desk, whole.root, None)
        steps, remarks = _run_whole(whole, AUDITED[: AUDITED.index(until) + 1])
        tasks, more = _tasks(desk, whole, steps, cuts, seed)
        if progress:
            progress(1, len(tasks) + 1)
        found = executor.run(
            _try,
            tasks,
            workers=desk.settings.run,
            name=lambda task: f"the trial {task.name}",
            progress=(lambda done, of: progress(done + 1, of + 1)) if progress else None,
        )
        declared = in_sample(whole, steps)
    users = users_files(desk)
    if users:
        remarks.append(
            f"{listed(users)}: brought by you and taken as they are; what made them is not audited."
        )
    every = [difference for some in found for difference in some]
    return Audit("adr", every, declared, [*remarks, *more], time.monotonic() - began)


def _run_whole(whole: Desk, steps: Sequence[str]) -> tuple[list[str], list[str]]:
    """Run the steps on the inputs as they are; gives those that could be, and why others could not."""
    done, remarks = [], []
    for name in steps:
        if name in ("baseline", "signal", "evaluate-signal") and not quoted(whole):
            remarks.append("There are no quotes of ADRs: no minute signal.")
            break
        if name == "signal" and not _is_linear(whole):
            remarks.append("The model is not linear and has no minute signal: that step is not audited.")
            break
        _run(whole, [name])
        done.append(name)
    return done, remarks


def _is_linear(desk: Desk) -> bool:
    return all(read_model(path).coef is not None for path in desk.path(output(desk)).glob("*/*.pkl"))


def _run(desk: Desk, names: Sequence[str]) -> None:
    for step in STEPS:
        if step.name in names:
            step.run(desk, lambda _done, _of: None)


def _tasks(
    desk: Desk, whole: Desk, steps: Sequence[str], cuts: int, seed: int
) -> tuple[list[_Task], list[str]]:
    """The trials, and why one is missing."""
    if "features" in steps:
        targets = pd.read_parquet(whole.path(TARGETS), columns=["ticker", "date"])
    else:
        dates = read_prices(whole.path(ORDINARY_CLOSES), [], what="closes of the ordinaries").dates
        targets = pd.DataFrame({"date": dates.astype("datetime64[ns]")})
    rng = np.random.default_rng([seed, 1])
    found: list[tuple[str, Desk, Horizon]] = []
    spans = moments_of(whole, targets, _quoted_days(whole))
    days = _drawn(np.array(list(spans), dtype="datetime64[D]"), cuts, rng)
    for number, day in enumerate(days):
        first, last = spans[day]
        minutes = int((last - first) / np.timedelta64(1, "m")) + 1
        moment = first + np.timedelta64(int(rng.integers(minutes)), "m")
        kinds = [Trial.CUT, Trial.FUTURE] if number in (0, len(days) - 1) else [Trial.CUT]
        for kind in kinds:
            change = Change(kind, moment, day, seed)
            found.append((f"{kind} {day}", desk, horizon_of(whole, change, targets)))
    remarks = []
    start = _start(whole, targets, rng)
    if start is None:
        remarks.append("The data are too short to start later: warm-up is not audited.")
    else:
        change = Change(Trial.START, start, start, seed)
        found.append((f"start {start}", _started(desk, start), horizon_of(whole, change, targets)))
    after = targets["date"].to_numpy().astype("datetime64[D]").max() + np.timedelta64(3660, "D")
    change = Change(Trial.SPLIT, after, after, seed)
    found.append(("split", desk, horizon_of(whole, change, targets)))
    return [
        _Task(name, of, whole, horizon, steps, whole.root.with_name(f"trial-{number}"))
        for number, (name, of, horizon) in enumerate(found)
    ], remarks


def _quoted_days(desk: Desk) -> Dates | None:
    """New York's sessions from the first to the last quote of each ADR."""
    spans = [span for span in (quoted_span(desk, adr) for adr in quoted(desk)) if span]
    return np.unique(np.concatenate([sessions(*span) for span in spans])) if spans else None


def _drawn(days: Dates, cuts: int, rng: np.random.Generator) -> Dates:
    """Days of the cuts, in order: the last of a month, and others at random."""
    if not len(days):
        raise InputError(
            "the data are too short for a cut: before it there must be a finished test month, and before "
            "that the months of training and validation (adr.windows)"
        )
    months = days.astype("datetime64[M]")
    ends = np.flatnonzero(months[1:] != months[:-1])
    chosen = [int(rng.choice(ends))] if len(ends) else []
    others = rng.permutation(np.setdiff1d(np.arange(len(days)), chosen))
    rows = np.sort([*chosen, *others[: max(cuts - len(chosen), 0)]])
    found: Dates = days[rows]
    return found


def _start(desk: Desk, targets: pd.DataFrame, rng: np.random.Generator) -> np.datetime64 | None:
    """A later first day of the data that leaves a finished test month; None when there is none."""
    dates = read_prices(desk.path(ORDINARY_CLOSES), [], what="closes of the ordinaries").dates
    day: np.datetime64 = dates[1 + rng.integers(min(STARTS, len(dates) - 1))]
    settings = desk.settings.adr
    first = day if settings.start is None else max(day, np.datetime64(settings.start, "D"))
    windows = settings.windows
    tested = first.astype("datetime64[M]") + windows.train_months + windows.validation_months
    last = targets["date"].to_numpy().astype("datetime64[M]").max()
    return day if tested < last else None


def _started(desk: Desk, day: np.datetime64) -> Desk:
    """The desk with settings that start on a day, if they start before."""
    adr = desk.settings.adr
    if adr.start is not None and np.datetime64(adr.start, "D") >= day:
        return desk
    later = adr.model_copy(update={"start": day.item()})
    return replace(desk, settings=desk.settings.model_copy(update={"adr": later}))


def _try(task: _Task) -> list[Difference]:
    """Write the altered inputs, run the steps, and compare."""
    settings = task.desk.settings
    one = settings.model_copy(
        update={"run": settings.run.model_copy(update={"workers": 1, "executor": "local"})}
    )
    desk = Desk(task.scratch, one)
    change = task.horizon.change
    try:
        write_inputs(task.desk, desk.root, change)
        _run(desk, task.steps)
        whole, other = (catalog(each, task.steps) for each in (task.whole, desk))
        return differences(whole, other, task.horizon, change.kind, task.name)
    finally:
        shutil.rmtree(task.scratch, ignore_errors=True)
