"""Files that can't be read: cut off, changed on the disk, or of another kind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from kairos.errors import InputError, out_of_threads


@contextmanager
def decoding(path: Path, step: str = "") -> Iterator[None]:
    """Name the file in what a library says of it.

    Parameters
    ----------
    path
        The file that is read, and taken apart.
    step
        The step of the desk that makes it, if one does.

    Raises
    ------
    InputError
        When the content can't be read, or hasn't the columns that it should have.
    """
    try:
        yield
    except (pa.ArrowException, ValueError, KeyError, OSError) as error:
        if (isinstance(error, OSError) and error.errno is not None) or out_of_threads(error):
            raise  # the system's: no such file, no permission, no memory
        why = (str(error).strip() or type(error).__name__).splitlines()[0]
        if step:
            raise InputError(
                f"{path}: damaged, or not a file of the step `{step}` ({why}); run it again"
            ) from error
        raise InputError(f"{path}: damaged, or not a file of its kind ({why})") from error
