"""What a command says of a failure that no room has put into words."""

import sys
from pathlib import Path

from kairos.disk import cause, reason
from kairos.errors import KairosError, out_of_threads


def told() -> tuple[type[Exception], ...]:
    """Exceptions that are the world's doing and not a mistake of the program; asked for when one is there."""
    libraries = {"duckdb": "Error", "pyarrow": "ArrowException"}
    loaded = [getattr(sys.modules[name], kind) for name, kind in libraries.items() if name in sys.modules]
    return (KairosError, OSError, MemoryError, *loaded)


def words(error: Exception) -> str:
    """Say what has failed, where, and what to do."""
    if isinstance(error, KairosError):
        return str(error)
    if _out_of_memory(error) or out_of_threads(error):
        return (
            f"not enough memory ({_first_line(error)}): lower run.memory_limit, which is DuckDB's share, and "
            "run.workers, or give the command more (ulimit -v; threads: ulimit -u)"
        )
    if system := cause(error):
        path = system.filename2 or system.filename
        where = f"{path}: " if path else ""
        return where + reason(system, Path(path) if isinstance(path, str) else None)
    return (
        f"a file can't be read ({_first_line(error)}); if it is a part of the store, "
        "`kairos doctor --verify` names those that are damaged"
    )


def _out_of_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryException"


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
