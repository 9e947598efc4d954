"""The one place where lists of independent tasks are run: in processes of this machine, or on a cluster.

Results come in the order of the items and depend neither on the number of workers nor on where they are:
every task runs with one thread in its linear algebra, in this process or in another.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from joblib import Parallel, delayed, parallel_config
from joblib.externals.loky.process_executor import BrokenProcessPool

from kairos.errors import WorkError
from kairos.executor.task import Task
from kairos.executor.watch import end_with
from kairos.settings.tree import Run

__all__ = ["iterate", "run"]

Item = TypeVar("Item")
Result = TypeVar("Result")


def run(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    workers: int | Run,
    name: Callable[[Item], str] = str,
    progress: Callable[[int, int], object] | None = None,
) -> list[Result]:
    """Apply a function to every item, in several processes.

    Parameters
    ----------
    function
        Depends on its item alone. Like items and results it must be picklable. What it carries, such as the
        arguments of a `partial`, reaches each worker once; arrays in it may not be changed.
    items
        What the tasks are about.
    workers
        The section `run` of the settings, which names the executor; or a number of processes of this machine.
        1 works in this process.
    name
        What an error calls an item.
    progress
        Called after each task with how many are done and how many there are.

    Returns
    -------
    list
        Results in the order of the items, the same for any executor and number of workers.

    Raises
    ------
    Exception
        That of the first failing task in the order of the items, with a note that names the item.
    InputError
        The executor is not installed, its scheduler can't be reached, or its workers are not like this one.
    WorkError
        A worker process was killed, by the system for want of memory, say, or a task has taken several
        workers of a cluster down with it.

    Examples
    --------
    >>> run(abs, [-1, 2], workers=1)
    [1, 2]
    """
    return list(iterate(function, items, workers=workers, name=name, progress=progress))


def iterate(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    workers: int | Run,
    name: Callable[[Item], str] = str,
    progress: Callable[[int, int], object] | None = None,
) -> Iterator[Result]:
    """Give the results of :func:`run` one after the other, so that each can be saved when it comes."""
    how = workers if isinstance(workers, Run) else None
    task: Task[Item, Result] = Task(function)
    names = [name(item) for item in items]
    if not items:
        results: Iterator[Result] = iter(())
    elif how is not None and how.executor == "dask":
        from kairos.executor.dask import on_dask

        results = on_dask(task, items, names, how)
    elif how is not None and how.executor == "ray":
        from kairos.executor.ray import on_ray

        results = on_ray(task, items, names, how)
    else:
        processes = workers if isinstance(workers, int) else workers.workers
        results = _here(task, items, names, min(processes, len(items)))
    for done, result in enumerate(results, 1):
        if progress:
            progress(done, len(items))
        yield result


def _here(
    task: Task[Item, Result], items: Sequence[Item], names: Sequence[str], workers: int
) -> Iterator[Result]:
    """Results from processes of this machine."""
    if workers <= 1:
        yield from map(task, items, names)
        return
    ends = {"initializer": end_with, "initargs": (os.getpid(),)}
    with parallel_config("loky", n_jobs=workers, inner_max_num_threads=1, **ends):
        try:
            yield from Parallel(return_as="generator")(
                delayed(task)(item, name) for item, name in zip(items, names, strict=True)
            )
        except BrokenProcessPool as error:
            raise WorkError(
                f"one of {workers} worker processes was killed: if memory was short, lower run.workers; "
                "then repeat the command"
            ) from error
