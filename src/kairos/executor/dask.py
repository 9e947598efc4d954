"""Tasks on a Dask cluster: that of a scheduler, or one of processes of this machine.

The scheduler gives the tasks of a lost worker to the others. What the tasks share is sent to it once, and
workers have it from each other; as it is the result of a task itself, it can't be lost with a worker.
"""

from __future__ import annotations

import logging
import pickle
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from kairos.errors import InputError, WorkError
from kairos.executor.task import Task, library, refuse_others, versions

if TYPE_CHECKING:
    from kairos.settings.tree import Run

Item = TypeVar("Item")
Result = TypeVar("Result")

PATIENCE = 60
"""Seconds to wait for the first worker of a cluster."""


def on_dask(
    task: Task[Item, Result], items: Sequence[Item], names: Sequence[str], how: Run
) -> Iterator[Result]:
    """Results of the tasks, in order."""
    distributed = library("distributed", "dask")
    with _client(how, len(items)) as client:
        shared = client.submit(pickle.loads, pickle.dumps(task, pickle.HIGHEST_PROTOCOL), pure=False)
        waiting = deque(
            client.submit(_call, shared, item, name, pure=False)
            for item, name in zip(items, names, strict=True)
        )
        for name in names:
            try:
                result: Result = waiting[0].result()
            except distributed.KilledWorker as error:
                raise WorkError(
                    f"{name}: every worker that worked on it was lost, the last one "
                    f"{error.last_worker.address}; it may need more memory than a worker has"
                ) from None
            waiting.popleft()  # the cluster may forget it
            yield result


def _call(task: Task[Item, Result], item: Item, name: str) -> Result:
    return task(item, name)


@contextmanager
def _client(how: Run, tasks: int) -> Iterator[Any]:
    """A client of the cluster, which is left as it was found."""
    distributed, dask = library("distributed", "dask"), library("dask", "dask")
    with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1TB"}):
        if not how.scheduler:
            with (
                distributed.LocalCluster(
                    n_workers=min(how.workers, tasks),
                    threads_per_worker=1,
                    processes=True,
                    memory_limit=0,
                    silence_logs=logging.CRITICAL,  # an error is raised here, too
                    dashboard_address=None,
                ) as cluster,
                distributed.Client(cluster) as client,
            ):
                yield client
            return
        try:
            connected = distributed.Client(how.scheduler, timeout=PATIENCE)
        except (OSError, ValueError) as error:
            raise InputError(
                f"run.scheduler {how.scheduler}: no Dask scheduler answers there ({error})"
            ) from None
        with connected as client:
            _check(client, how.scheduler)
            yield client


def _check(client: Any, scheduler: str) -> None:
    """Refuse workers whose results could differ from those made here."""
    try:
        client.wait_for_workers(1, timeout=PATIENCE)
    except TimeoutError:
        raise InputError(f"run.scheduler {scheduler}: no worker has joined it in {PATIENCE} s") from None
    threads = client.nthreads()
    if many := [worker for worker, count in threads.items() if count != 1]:
        raise InputError(
            f"worker {many[0]} works on {threads[many[0]]} tasks at a time, in threads of one process; start "
            "workers with `dask worker --nworkers N --nthreads 1`"
        )
    try:
        found = client.run(versions)
    except ModuleNotFoundError as error:
        raise InputError(f"the workers of {scheduler} have no {error.name}: install Kairos there") from None
    refuse_others(found)
