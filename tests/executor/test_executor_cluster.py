"""Tasks on a real Dask cluster of three worker processes: the same bits, even when a worker is lost.

Each worker that is told to die kills itself with SIGKILL in the middle of a task, the first time only.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from signal import SIGKILL
from typing import Any

import adr_minutes_desk
import adr_train_desk
import numpy as np
import pytest
from tables_market import built

from kairos import executor
from kairos.adr.baseline import baseline
from kairos.adr.desk import BASELINE, MODELS, Desk
from kairos.adr.signal import signal, terms_folder
from kairos.adr.train import train
from kairos.equity.backtest.sweep import sweep, variants_of
from kairos.errors import InputError, WorkError
from kairos.settings import load
from kairos.settings.tree import Run
from kairos.simulate.equity import simulate

dask, distributed = pytest.importorskip("dask"), pytest.importorskip("distributed")
TRAIN, SIGNAL, SWEEP = "kairos.adr.train", "kairos.adr.signal", "kairos.equity.backtest.sweep"


class Counted(distributed.diagnostics.plugin.SchedulerPlugin):
    """Counts what the scheduler saw: tasks that ended, by worker, and workers lost."""

    def __init__(self) -> None:
        self.done: Counter[str] = Counter()
        self.lost = 0

    def transition(self, key: Any, start: str, finish: str, *args: Any, **more: Any) -> None:
        if str(key).startswith("_call") and (start, finish) == ("processing", "memory"):
            self.done[more["worker"]] += 1

    def remove_worker(self, *args: Any, **more: Any) -> None:
        self.lost += 1


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "3s"}),  # for calls to a worker that is gone
        distributed.LocalCluster(
            n_workers=3, threads_per_worker=1, processes=True, dashboard_address=None, memory_limit=0
        ) as cluster,
    ):
        yield cluster


@pytest.fixture
def counted(cluster: Any) -> Iterator[Counted]:
    found = Counted()
    cluster.scheduler.add_plugin(found, name=str(id(found)))
    yield found
    cluster.scheduler.remove_plugin(str(id(found)))


def on(cluster: Any) -> tuple[str, str]:
    return "run.executor=dask", f"run.scheduler={cluster.scheduler_address}"


def run_on(cluster: Any) -> Run:
    return load(overrides=on(cluster)).run


def product(shared: np.ndarray, seed: int) -> bytes:
    """Bits of a matrix product large enough for a threaded BLAS to split it."""
    a = np.random.default_rng(seed).standard_normal((400, 400))
    return (a @ a.T + shared).tobytes()


def dies_once(mark: Path, function: Callable[..., Any], *arguments: Any) -> Any:
    """The first process that gets here is killed in the middle of its task."""
    try:
        mark.touch(exist_ok=False)
    except FileExistsError:
        return function(*arguments)
    os.kill(os.getpid(), SIGKILL)
    return None


def called(module: str, name: str, *arguments: Any) -> Any:
    """A function of the package by its name: a worker has the real one, where a test has put another here."""
    return getattr(importlib.import_module(module), name)(*arguments)


@pytest.fixture
def lossy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str, str], None]:
    """Make a function of the package one that kills its worker once."""

    def make(module: str, name: str) -> None:
        work = partial(dies_once, tmp_path / "mark", partial(called, module, name))
        monkeypatch.setattr(importlib.import_module(module), name, work)

    return make


def dies(_: int) -> None:
    os.kill(os.getpid(), SIGKILL)


def refuses(item: int) -> int:
    if item >= 3:
        raise InputError(f"no room for {item}")
    return item


def test_the_loss_of_a_worker_changes_nothing(cluster: Any, counted: Counted, tmp_path: Path) -> None:
    work = partial(product, np.arange(160_000.0).reshape(400, 400))
    items, told = list(range(12)), []
    dying = partial(dies_once, tmp_path / "mark", work)
    found = executor.run(
        dying, items, workers=run_on(cluster), progress=lambda done, of: told.append((done, of))
    )
    assert found == executor.run(work, items, workers=1)
    assert told == [(n, 12) for n in range(1, 13)]
    assert counted.lost == 1
    assert sum(counted.done.values()) >= 12
    assert len(counted.done) >= 2


def test_an_error_stays_what_it_is_and_names_its_item(cluster: Any) -> None:
    with pytest.raises(InputError, match="no room for 4") as caught:
        executor.run(refuses, [1, 4, 2], workers=run_on(cluster), name=lambda item: f"ADR {item}")
    assert caught.value.__notes__ == ["while working on ADR 4"]


def test_a_task_that_takes_its_workers_down_is_named(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster.scheduler, "allowed_failures", 0)
    with pytest.raises(WorkError, match="ADR 7: every worker that worked on it was lost"):
        executor.run(dies, [7], workers=run_on(cluster), name=lambda item: f"ADR {item}")


def content(desk: Desk, *folders: str) -> dict[str, bytes]:
    return {
        str(path.relative_to(desk.root)): path.read_bytes()
        for folder in folders
        for path in desk.path(folder).rglob("*")
        if path.is_file()
    }


def test_walk_forward_fits(
    cluster: Any, counted: Counted, tmp_path: Path, lossy: Callable[[str, str], None]
) -> None:
    root = adr_train_desk.write(tmp_path / "desk", adr_train_desk.market())
    train(adr_train_desk.desk(root))
    here = content(Desk(root, load()), MODELS)
    for path in (root / MODELS / "lasso").rglob("*.*"):
        path.unlink()
    lossy(TRAIN, "train_one")
    train(adr_train_desk.desk(root, *on(cluster)))
    assert content(Desk(root, load()), MODELS) == here
    assert (sum(counted.done.values()), counted.lost) == (2, 1)


@pytest.mark.slow
def test_minute_signals(
    cluster: Any,
    counted: Counted,
    tmp_path: Path,
    lossy: Callable[[str, str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    desk = adr_minutes_desk.build(tmp_path / "desk", adrs=3, us_stocks=20, minutes=("2025-03",))
    names = BASELINE, "data/processed/index_russell_lasso_signal", terms_folder(desk)
    baseline(desk)
    signal(desk)
    here = content(desk, *names)
    assert len(here) == 9
    for name in here:
        desk.path(name).unlink()
    monkeypatch.chdir(tmp_path)  # the workers are elsewhere
    there = adr_minutes_desk.open_desk(Path("desk"), *on(cluster))
    baseline(there)
    lossy(SIGNAL, "_term_contents")
    signal(there)
    assert content(there, *names) == here
    assert (sum(counted.done.values()), counted.lost) == (6, 1)


@pytest.mark.slow
def test_a_sweep(
    cluster: Any,
    counted: Counted,
    tmp_path: Path,
    lossy: Callable[[str, str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    simulate(tmp_path / "vendor", tickers=40, years=2, seed=3)
    market = built(tmp_path / "vendor", ("feat_price_action", "feat_adv", "feat_vol_sizing", "feat_beta"))
    variants = variants_of("baseline", ["top_n=8,12", "lag=1,2"])
    entries = [f"equity.strategies.{name}={entry}" for name, entry in variants.items()]

    def swept(*overrides: str) -> dict[str, tuple[Any, bytes]]:
        found = sweep(
            market.db.relative_to(tmp_path),
            list(variants),
            alpha="feat_price_action.ret_5d",
            settings=load(overrides=[*entries, *overrides]),
        )
        return {v.headline["strategy"]: (v.headline, v.judged.tobytes()) for v in found.variants}

    monkeypatch.chdir(tmp_path)  # the workers are elsewhere
    here = swept("run.workers=1")
    lossy(SWEEP, "_one")
    assert swept(*on(cluster)) == here
    assert len(here) == 4
    assert counted.lost == 1
    assert sum(counted.done.values()) >= 4


def test_workers_with_several_threads_are_refused() -> None:
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None
        ) as cluster,
        pytest.raises(InputError, match=r"2 tasks at a time.*--nthreads 1"),
    ):
        executor.run(abs, [1], workers=run_on(cluster))


def test_other_versions_are_refused(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kairos.executor.task.__version__", "9.9")
    with pytest.raises(InputError, match=r"kairos .* \(here 9\.9\)"):
        executor.run(abs, [1], workers=run_on(cluster))


def test_a_scheduler_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kairos.executor.dask.PATIENCE", 1)
    how = load(overrides=["run.executor=dask", "run.scheduler=tcp://127.0.0.1:9"]).run
    with pytest.raises(InputError, match=r"tcp://127\.0\.0\.1:9: no Dask scheduler answers"):
        executor.run(abs, [1], workers=how)


@pytest.mark.parametrize(("name", "library"), [("dask", "distributed"), ("ray", "ray")])
def test_what_is_not_installed_is_told(name: str, library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    how = load(overrides=[f"run.executor={name}"]).run
    with pytest.raises(InputError, match=rf"{library} is not installed; pip install 'kairos\[{name}\]'"):
        executor.run(abs, [1], workers=how)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dask", "ray"])
def test_without_a_scheduler_workers_are_started_here(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(name)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # the functions of this file are found there
    how = load(overrides=[f"run.executor={name}", "run.workers=3"]).run
    work = partial(product, np.arange(160_000.0).reshape(400, 400))
    dying = partial(dies_once, tmp_path / "mark", work)
    assert executor.run(dying, list(range(8)), workers=how) == executor.run(work, list(range(8)), workers=1)
    with pytest.raises(InputError, match="no room for 4") as caught:
        executor.run(refuses, [1, 4, 2], workers=how, name=lambda item: f"ADR {item}")
    assert caught.value.__notes__ == ["while working on ADR 4"]
