"""Which code made a result."""

from __future__ import annotations

from functools import cache
from hashlib import blake2b
from pathlib import Path

import kairos


@cache
def code_version() -> str:
    """Return the package's version and a hash of its installed source, such as ``0.1.0+5f2c9a0b71de``.

    The hash covers every file of the package but compiled ones, so it changes with every edit and is the
    same on every machine that has the same files.
    """
    root = Path(kairos.__file__).parent
    content = blake2b(digest_size=6)
    for path in sorted(root.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            content.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return f"{kairos.__version__}+{content.hexdigest()}"
