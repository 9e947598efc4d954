"""Tasks on a Ray cluster: that of an address, or one of processes of this machine.

Ray gives the tasks of a lost worker to the others. What the tasks share lies once on each machine.
"""

from __future__ import annotations

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


def on_ray(
    task: Task[Item, Result], items: Sequence[Item], names: Sequence[str], how: Run
) -> Iterator[Result]:
    """Results of the tasks, in order."""
    with _connected(how, len(items)) as ray:
        call = ray.remote(num_cpus=1)(_call)
        shared = ray.put(task)
        waiting = deque(call.remote(shared, item, name) for item, name in zip(items, names, strict=True))
        try:
            for name in names:
                try:
                    result: Result = ray.get(waiting[0])
                except ray.exceptions.RayTaskError as error:
                    raise error.cause from None  # the exception as the task has raised it
                except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError) as error:
                    raise WorkError(f"{name}: each worker that worked on it was lost ({error})") from None
                waiting.popleft()  # the cluster may forget it
                yield result
        finally:
            for each in waiting:
                ray.cancel(each)


def _call(task: Task[Item, Result], item: Item, name: str) -> Result:
    return task(item, name)


@contextmanager
def _connected(how: Run, tasks: int) -> Iterator[Any]:
    """The library, connected to a cluster, which is left as it was found."""
    ray = library("ray", "ray")
    if ray.is_initialized():  # by the program that calls
        yield ray
        return
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    try:
        if how.scheduler:
            ray.init(address=how.scheduler, **quiet)
        else:
            ray.init(address="local", num_cpus=min(how.workers, tasks), include_dashboard=False, **quiet)
    except (ConnectionError, ValueError) as error:
        raise InputError(f"run.scheduler {how.scheduler}: no Ray cluster answers there ({error})") from None
    try:
        if how.scheduler:
            _check(ray, how.scheduler)
        yield ray
    finally:
        ray.shutdown()


def _check(ray: Any, address: str) -> None:
    """Refuse a cluster whose results could differ from those made here."""
    worker = ray.remote(num_cpus=1)(versions)
    try:
        found = ray.get(worker.remote())
    except ray.exceptions.RayError as error:
        raise InputError(f"run.scheduler {address}: Kairos does not work there ({error})") from None
    refuse_others({address: found})
