"""What is run, wherever it is run."""

from __future__ import annotations

import importlib
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Generic, TypeVar

import numpy
import scipy
from threadpoolctl import threadpool_limits

from kairos import __version__, remote
from kairos.errors import InputError

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Task(Generic[Item, Result]):
    """A function with the conditions under which it runs; picklable.

    Attributes
    ----------
    function
        What is done with an item.
    mirrors
        Folders at a URL that it may read; a worker on another machine brings them there first.
    """

    function: Callable[[Item], Result]
    mirrors: tuple[remote.Place, ...] = field(default_factory=remote.mirrors)

    def __call__(self, item: Item, name: str) -> Result:
        """Work on an item; an error gets a note that names it."""
        try:
            remote.join(self.mirrors)
            with threadpool_limits(limits=1):
                return self.function(item)
        except Exception as error:
            error.add_note(f"while working on {name}")
            raise


def library(name: str, extra: str) -> ModuleType:
    """Import what an executor needs.

    Raises
    ------
    InputError
        It is not installed.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise InputError(
            f"run.executor = {extra}: {error.name} is not installed; pip install 'kairos[{extra}]'"
        ) from None


def versions() -> dict[str, str]:
    """Versions on which the bits of a result may depend."""
    return {
        "Python": ".".join(platform.python_version_tuple()[:2]),
        "kairos": __version__,
        "numpy": numpy.__version__,
        "scipy": scipy.__version__,
    }


def refuse_others(found: Mapping[str, Mapping[str, str]]) -> None:
    """Make sure that all workers run the same versions as this process.

    Parameters
    ----------
    found : worker → versions
        What :func:`versions` says on each.

    Raises
    ------
    InputError
        One doesn't.
    """
    here = versions()
    for worker, there in found.items():
        different = [
            f"{name} {there.get(name)} (here {own})" for name, own in here.items() if there.get(name) != own
        ]
        if different:
            raise InputError(
                f"worker {worker} has {', '.join(different)}; results must not depend on where they are "
                "made: install the same versions"
            )
