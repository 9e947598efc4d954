"""The one place where lists of independent tasks are run.

Results come in the order of the items and don't depend on the number of workers: every task runs with one
thread in its linear algebra, in this process or in another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from joblib import Parallel, delayed, parallel_config
from joblib.externals.loky.process_executor import BrokenProcessPool
from threadpoolctl import threadpool_limits

from kairos.errors import WorkError

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class _Task(Generic[Item, Result]):
    """A function with the conditions under which it runs; picklable."""

    function: Callable[[Item], Result]

    def __call__(self, item: Item, name: str) -> Result:
        try:
            with threadpool_limits(limits=1):
                return self.function(item)
        except Exception as error:
            error.add_note(f"while working on {name}")
            raise


def run(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    workers: int,
    name: Callable[[Item], str] = str,
    progress: Callable[[int, int], object] | None = None,
) -> list[Result]:
    """Apply a function to every item, in several processes.

    Parameters
    ----------
    function
        Depends on its item alone. Like items and results it must be picklable.
    items
        What the tasks are about.
    workers
        Processes (`run.workers` of the settings); 1 works in this process.
    name
        What an error calls an item.
    progress
        Called after each task with how many are done and how many there are.

    Returns
    -------
    list
        Results in the order of the items, the same for any number of workers.

    Raises
    ------
    WorkError
        When a worker process was killed, by the system for want of memory, say.
    Exception
        That of the first failing task in the order of the items, with a note that names the item.

    Examples
    --------
    >>> run(abs, [-1, 2], workers=1)
    [1, 2]
    """
    task: _Task[Item, Result] = _Task(function)
    results = []
    for result in _results(task, items, [name(item) for item in items], min(workers, len(items))):
        results.append(result)
        if progress:
            progress(len(results), len(items))
    return results


def _results(
    task: _Task[Item, Result], items: Sequence[Item], names: Sequence[str], workers: int
) -> Iterator[Result]:
    if workers <= 1:
        yield from map(task, items, names)
        return
    with parallel_config("loky", n_jobs=workers, inner_max_num_threads=1):
        try:
            yield from Parallel(return_as="generator")(
                delayed(task)(item, name) for item, name in zip(items, names, strict=True)
            )
        except BrokenProcessPool as error:
            raise WorkError(
                f"one of {workers} worker processes was killed: if memory was short, lower run.workers; "
                "then repeat the command"
            ) from error
