"""Lists of independent tasks: order, errors, and the same bits for any number of workers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest

from kairos.cli.options import run_settings
from kairos.errors import InputError, WorkError
from kairos.executor import iterate, run
from kairos.settings import load


def product(seed: int) -> tuple[int, bytes]:
    """Process and bits of a matrix product large enough for a threaded BLAS to split it."""
    a = np.random.default_rng(seed).standard_normal((400, 400))
    return os.getpid(), (a @ a.T).tobytes()


def third(item: int) -> int:
    if item >= 3:
        raise InputError(f"no room for {item}")
    return item


@pytest.mark.parametrize("workers", [1, 2])
def test_results_are_in_order_and_progress_is_told(workers: int) -> None:
    told: list[tuple[int, int]] = []
    found = run(third, [2, 0, 1], workers=workers, progress=lambda done, of: told.append((done, of)))
    assert found == [2, 0, 1]
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_no_items() -> None:
    assert run(third, [], workers=2) == []


def test_same_bits_in_this_process_and_in_others() -> None:
    here, there = run(product, [1, 2, 3], workers=1), run(product, [1, 2, 3], workers=2)
    assert [bits for _, bits in here] == [bits for _, bits in there]
    assert {pid for pid, _ in here} == {os.getpid()}
    assert os.getpid() not in {pid for pid, _ in there}


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_stays_what_it_is_and_names_its_item(workers: int) -> None:
    with pytest.raises(InputError, match="no room for 4") as caught:
        run(third, [1, 4, 2], workers=workers, name=lambda item: f"ADR {item}")
    assert caught.value.__notes__ == ["while working on ADR 4"]
    assert caught.value.exit_code == 2


def killed(number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_a_worker_that_is_killed_is_told() -> None:
    with pytest.raises(WorkError, match=r"2 worker processes was killed.*run\.workers"):
        run(killed, [1, 2, 3], workers=2)
    assert run(abs, [-1, 2], workers=2) == [1, 2]


def test_results_come_one_after_the_other() -> None:
    found = iterate(third, [0, 1, 4], workers=1)
    assert [next(found), next(found)] == [0, 1]
    with pytest.raises(InputError, match="no room for 4"):
        next(found)


def test_the_settings_name_the_processes() -> None:
    how = load(overrides=["run.workers=2"]).run
    assert len({pid for pid, _ in run(product, [1, 2], workers=how)} - {os.getpid()}) >= 1
    assert {pid for pid, _ in run(product, [1], workers=how)} == {os.getpid()}


def test_options_become_settings() -> None:
    given = run_settings("dask", "tcp://head:8786", 3)
    how = load(overrides=given).run
    assert (how.executor, how.scheduler, how.workers) == ("dask", "tcp://head:8786", 3)
    assert run_settings(None, None, None) == []
    with pytest.raises(InputError, match="--executor dask"):
        run_settings("local", "tcp://head:8786", None)


MASTER = """
import os, time
from kairos.executor import run
def task(item):
    print(os.getpid(), flush=True)
    time.sleep(0.5 if item else 60.0)  # one worker is idle by the time of the kill, the other at work
run(task, [0, 1], workers=2)
"""


def test_workers_end_with_a_master_that_is_killed() -> None:
    master = subprocess.Popen([sys.executable, "-c", MASTER], stdout=subprocess.PIPE, text=True)
    assert master.stdout is not None
    workers = [psutil.Process(int(master.stdout.readline())) for _ in range(2)]
    time.sleep(1.0)
    assert all(worker.is_running() for worker in workers)
    master.kill()
    master.wait()
    _, alive = psutil.wait_procs(workers, timeout=10)
    master.stdout.close()
    assert not alive
