"""Array types of the panel package, and the one place where work is spread over threads."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from kairos.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

_CELLS_PER_TASK = 200_000


def columns(x: npt.ArrayLike) -> Array:
    """Return the panel (T, N) as the C-contiguous (N, T) array that kernels read; no copy if x is Fortran."""
    panel = np.asarray(x, dtype=np.float64)
    if panel.ndim != 2:
        raise InputError(f"a panel has the shape (sessions, columns), this array has the shape {panel.shape}")
    return np.ascontiguousarray(panel.T)


def member_columns(members: npt.NDArray[Any], shape: tuple[int, ...]) -> Mask:
    """Return the boolean panel of the shape (T, N) as the C-contiguous (N, T) array that kernels read."""
    if members.dtype != np.bool_ or members.shape != shape:
        raise InputError(
            f"members must be boolean of the shape {shape}, it is {members.dtype} of {members.shape}"
        )
    return np.ascontiguousarray(members.T)


def _cores() -> int:
    """Return the cores this process may use (macOS does not restrict them)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_ranges(task: Callable[[int, int], object], length: int, cells: int) -> None:
    """Call ``task(lo, hi)`` for ranges that cover 0..length, on as many threads as there are cores.

    The ranges never meet in a result: every column (or date) is computed by itself, so a result does not
    depend on the number of threads. Threads are Python's, because kernels release the GIL and Numba's own
    parallel loops must not be entered from several threads at once.
    """
    threads = _cores()
    tasks = min(length, 4 * threads, 1 + cells // _CELLS_PER_TASK)
    if threads == 1 or tasks <= 1:
        task(0, length)
        return
    bounds = np.linspace(0, length, tasks + 1).astype(int).tolist()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(task, bounds[:-1], bounds[1:]))
