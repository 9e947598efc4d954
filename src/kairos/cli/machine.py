"""What `kairos doctor` says of the machine: memory, disks, threads, clock, libraries, keys."""

from __future__ import annotations

import os
import platform
import re
import resource
import shutil
import tempfile
import zoneinfo
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from kairos import __version__
from kairos.errors import WorkError

if TYPE_CHECKING:
    from kairos.settings import Settings

LIBRARIES = (
    "bottleneck",
    "duckdb",
    "exchange-calendars",
    "httpx",
    "numba",
    "numpy",
    "plotly",
    "pyarrow",
    "pydantic",
)
EXTRAS = {
    "scikit-learn": "the models of `kairos adr`: pip install 'kairos[adr]'",
    "nbclient": "the notebooks of `kairos adr`: pip install 'kairos[adr]'",
    "dvc": "`dvc repro`: pip install 'kairos[dvc]'",
    "dask": 'run.executor = "dask"',
    "ray": 'run.executor = "ray"',
}
"""Optional libraries, and what they are for."""

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
ZONES = ("America/New_York", "Europe/London")
FREE_DISK = 5e9
ADDRESS_SPACE = 1.2e9
"""What the libraries take before there are any data; with less, one of them may wait for memory for ever."""

State = Literal["ok", "warning", "wrong"]


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    what: str
    state: State
    detail: str
    exit_code: int = 0


def machine() -> list[Finding]:
    """What does not depend on the settings."""
    return [
        Finding("kairos", "ok", __version__),
        Finding("python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
        *(Finding(name, "ok", metadata.version(name)) for name in LIBRARIES),
        *(_extra(name, purpose) for name, purpose in EXTRAS.items()),
        _threads(),
        _compiled(),
        _zones(),
        _key(),
        _disk("disk for temporary files", Path(tempfile.gettempdir())),
    ]


def limits(settings: Settings) -> list[Finding]:
    """What the settings ask of the machine."""
    db = Path(settings.data.db).absolute()
    folder = next(folder for folder in db.parents if folder.is_dir())
    return [_workers(settings), _memory(settings), _disk("disk of the store", folder)]


def in_the_future(what: str, paths: Iterable[Path], now: float) -> Finding:
    """Compare the clock with the newest of some files; a minute ahead is forgiven."""
    newest = max((path.stat().st_mtime for path in paths if path.is_file()), default=0.0)
    ahead = newest - now
    if ahead > 60:
        return Finding(what, "warning", f"a file is {ahead:,.0f} s in the future: is the clock right?")
    return Finding(what, "ok", "no file is in the future")


def bytes_of(size: str) -> float:
    """Read a size in DuckDB's notation.

    >>> bytes_of("8GB"), bytes_of("1.5 KiB")
    (8000000000.0, 1536.0)
    """
    number, unit, binary = re.fullmatch(r"([\d.]+) ?([KMGT])(i?)B", size).groups()  # type: ignore[union-attr]
    return float(number) * float((1024 if binary else 1000) ** (1 + "KMGT".index(unit)))


def _extra(name: str, purpose: str) -> Finding:
    try:
        return Finding(name, "ok", metadata.version(name))
    except metadata.PackageNotFoundError:
        return Finding(name, "ok", f"not installed; needed for {purpose}")


def _threads() -> Finding:
    import numba

    chosen = [f"{name}={os.environ[name]}" for name in THREADS if name in os.environ]
    numbers = f"{numba.get_num_threads()} of {_cores()} cores"
    return Finding("numba threads", "ok", "; ".join([numbers, *chosen]))


def _compiled() -> Finding:
    """Where compiled kernels are kept."""
    from kairos.panel import kernels

    kernel: Any = kernels.moments
    folder = Path(kernel.stats.cache_path or Path(kernels.__file__).parent / "__pycache__")
    above = next(path for path in (folder, *folder.parents) if path.is_dir())
    if not kernel.stats.cache_path or not os.access(above, os.W_OK):
        return Finding(
            "compiled kernels",
            "warning",
            f"{folder} can't be written: every run compiles anew, unless NUMBA_CACHE_DIR names a folder",
        )
    return Finding("compiled kernels", "ok", f"kept in {folder}")


def _zones() -> Finding:
    try:
        for name in ZONES:
            zoneinfo.ZoneInfo(name)
    except zoneinfo.ZoneInfoNotFoundError as error:
        return Finding("time zones", "wrong", f"{error}; install the package tzdata", 1)
    return Finding("time zones", "ok", f"{len(zoneinfo.available_timezones())} zones")


def _key() -> Finding:
    """Whether the vendor's key is there; it is never shown."""
    from kairos.equity.download.service import KEY

    told = "set" if os.environ.get(KEY, "").strip() else "not set; only `kairos equity download` needs it"
    return Finding(KEY, "ok", told)


def _workers(settings: Settings) -> Finding:
    wanted = settings.run.workers * settings.run.threads
    if settings.run.workers > _cores() or settings.run.threads > _cores():
        return Finding("workers", "warning", f"run.workers or run.threads exceeds the {_cores()} cores")
    return Finding("workers", "ok", f"{settings.run.workers} × {settings.run.threads} threads = {wanted}")


def _memory(settings: Settings) -> Finding:
    total, available = memory()
    limit = bytes_of(settings.run.memory_limit)
    free = "" if available is None else f", {available / 1e9:.1f} GB available"
    told = f"{total / 1e9:.1f} GB{free}; run.memory_limit = {settings.run.memory_limit}"
    if limit > total:
        return Finding("memory", "warning", f"{told} is more than there is: lower it")
    if available is not None and limit > available:
        return Finding("memory", "warning", f"{told} is more than is available now")
    return Finding("memory", "ok", told)


def check_address_space() -> None:
    """Refuse to begin where the libraries can't be loaded.

    Raises
    ------
    WorkError
        The limit of the process (``ulimit -v``) is below `ADDRESS_SPACE`.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY and limit < ADDRESS_SPACE:
        raise WorkError(
            f"not enough memory: the limit of this process is {limit / 1e9:.2f} GB (ulimit -v), and the "
            f"libraries alone take {ADDRESS_SPACE / 1e9:.1f} GB: raise it"
        )


def memory() -> tuple[float, float | None]:
    """Bytes of memory in all, and those available where the system says so (Linux).

    In a container it is the container's limit that counts.
    """
    total = float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    group, system = Path("/sys/fs/cgroup/memory.max"), Path("/proc/meminfo")
    limit = group.read_text().strip() if group.is_file() else "max"
    if limit != "max":
        total = min(total, float(limit))
    if not system.is_file():
        return total, None
    lines = dict(line.split(":", 1) for line in system.read_text().splitlines())
    return total, min(total, float(lines["MemAvailable"].split()[0]) * 1024)


def _disk(what: str, folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    state: State = "ok" if free >= FREE_DISK else "warning"
    return Finding(what, state, f"{free / 1e9:.1f} GB free at {folder}")


def _cores() -> int:
    return os.cpu_count() or 1
