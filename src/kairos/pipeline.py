"""The file ``dvc.yaml``, in which each desk writes its own stages and leaves everything else as it is.

DVC is a tool that users run, no library of ours. A desk's stages stand between two comment lines, of which
the first has a hash of what is between them: stages that somebody changed by hand are not written over
unasked. What is outside is kept to the letter, comments included.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
import textwrap
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kairos.disk import writing
from kairos.errors import InputError

FILE = "dvc.yaml"

_BEGIN = re.compile(r" *# >>> kairos (\w+) pipeline, written by that command \[(\w+)\]")
_END = re.compile(r" *# <<< kairos (\w+) pipeline")
_STAGES = re.compile(r"stages:\s*(#.*)?")
_KEY = re.compile(r"""(["']?)[\w.@-]+\1\s*:(\s.*)?""")
_ITEM = re.compile(r"-(\s.*)?")


@dataclass(frozen=True)
class _Layout:
    """Where the stages of a file are.

    Attributes
    ----------
    indent : int
        Spaces before the name of a stage.
    block : range
        Lines at which a stage could begin.
    end : int
        The line behind the last stage.
    names : dict
        Line of each stage.
    """

    indent: int
    block: range
    end: int
    names: Mapping[str, int]


def with_stages(path: Path, owner: str, stages: Mapping[str, str], *, force: bool = False) -> str:
    """The text of a ``dvc.yaml`` in which the stages of one desk are the given ones.

    Parameters
    ----------
    path : Path
        The file; it need not exist.
    owner : str
        The desk, for example ``adr``.
    stages : dict
        By name the stage as YAML, its key indented by two spaces.
    force : bool
        Write over stages of the desk that were changed by hand.

    Raises
    ------
    InputError
        When the file is not understood, the desk's stages were changed by hand, or a name is taken by a stage
        of somebody else.
    """
    lines = _read(path)
    lines, at = _without_part(path, lines, owner, force)
    if not any(_STAGES.fullmatch(line) for line in lines):
        lines = [*lines, *[""] * bool(lines), "stages:"]
    layout = _layout(path, lines)
    for name in stages:
        if name in layout.names:
            raise InputError(
                f"{path}, line {layout.names[name] + 1}: a stage {name} is there already, and that is "
                f"a name of `kairos {owner} pipeline`; rename or remove it"
            )
    at = at if at is not None and at in layout.block else layout.end
    body = "".join(stages.values()).splitlines()
    part = [
        f"  # >>> kairos {owner} pipeline, written by that command [{_hash(body)}]",
        *body,
        f"  # <<< kairos {owner} pipeline",
    ]
    shifted = [
        " " * (layout.indent - 2) + line if layout.indent >= 2 else line[2 - layout.indent :] for line in part
    ]
    return "\n".join([*lines[:at], *shifted, *lines[at:]]) + "\n"


def save(path: Path, text: str) -> None:
    """Write a text file as a whole or not at all."""
    target = path.resolve()
    temporary = target.with_name(f".{target.name}.tmp")
    with writing(target, "choose another folder"):
        try:
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(target)
        finally:
            with suppress(OSError):
                temporary.unlink()


def settings_of(config: Path) -> dict[str, Any]:
    """What a settings file holds; nothing if there is none.

    Raises
    ------
    InputError
        When it is no TOML.
    """
    if not config.is_file():
        return {}
    try:
        return tomllib.loads(config.read_text(encoding="utf-8"))
    except RecursionError:
        raise InputError(f"{config}: tables and lists too deep within each other") from None
    except ValueError as error:
        raise InputError(f"{config}: {error}") from None


def check_dates(config: Path, tree: Mapping[str, Any], above: str) -> None:
    """Refuse settings that DVC can't follow: a date that is not in quotes.

    Raises
    ------
    InputError
        The message names the keys.
    """
    bare = list(_bare_dates(tree, above))
    if bare:
        raise InputError(f"{config}: DVC can't follow a bare date; write {', '.join(bare)} in quotes")


def _bare_dates(value: object, key: str) -> Iterator[str]:
    if isinstance(value, dt.date):
        yield key
    elif isinstance(value, Mapping):
        for name, inside in value.items():
            yield from _bare_dates(inside, f"{key}.{name}")


def _read(path: Path) -> list[str]:
    if not path.is_file():
        return []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a text in UTF-8 ({error.reason})") from None
    for number, line in enumerate(lines):
        top = line[:1] not in ("", " ", "#")
        if top and not (_KEY.fullmatch(line) or _ITEM.fullmatch(line) or (line == "---" and not number)):
            raise _not_understood(path, number, line)
    named = [i for i, line in enumerate(lines) if re.match(r"""["']?stages["']?\s*:""", line)]
    for number in named if len(named) > 1 else [i for i in named if not _STAGES.fullmatch(lines[i])]:
        raise _not_understood(path, number, lines[number])
    return lines


def _layout(path: Path, lines: Sequence[str]) -> _Layout:
    """Find the stages; a line between them that is neither a stage nor inside one is not understood."""
    start = next(i for i, line in enumerate(lines) if _STAGES.fullmatch(line)) + 1
    until = next((i for i in range(start, len(lines)) if lines[i][:1] not in ("", " ", "#")), len(lines))
    filled = [i for i in range(start, until) if lines[i].startswith(" ") and lines[i].strip()]
    keys = [i for i in filled if not lines[i].lstrip().startswith("#")]
    indent = _indent(lines[keys[0]]) if keys else _indent(lines[filled[0]]) if filled else 2
    names = {}
    for i in keys:
        if _indent(lines[i]) > indent:
            continue
        text = lines[i].strip()
        if _indent(lines[i]) < indent or not _KEY.fullmatch(text):
            raise _not_understood(path, i, lines[i])
        names[text.partition(":")[0].strip().strip("\"'")] = i
    return _Layout(indent, range(start, until + 1), filled[-1] + 1 if filled else start, names)


def _without_part(path: Path, lines: list[str], owner: str, force: bool) -> tuple[list[str], int | None]:
    """The lines without the desk's part, and the line where it stood."""
    begins = [i for i, line in enumerate(lines) if (found := _BEGIN.fullmatch(line)) and found[1] == owner]
    ends = [i for i, line in enumerate(lines) if (found := _END.fullmatch(line)) and found[1] == owner]
    if not begins and not ends:
        return lines, None
    if len(begins) != 1 or len(ends) != 1 or ends[0] < begins[0]:
        raise InputError(
            f"{path}: the comment lines around the stages of `kairos {owner} pipeline` are damaged: remove "
            "them and the stages between"
        )
    begin, end = begins[0], ends[0]
    sealed = _BEGIN.fullmatch(lines[begin])
    if not force and sealed and sealed[2] != _hash(lines[begin + 1 : end]):
        raise InputError(
            f"{path}, lines {begin + 1} to {end + 1}: the stages of `kairos {owner} pipeline` were changed "
            "since that command wrote them; move your changes out of its part, or use --force"
        )
    return [*lines[:begin], *lines[end + 1 :]], begin


def _hash(lines: Sequence[str]) -> str:
    text = textwrap.dedent("\n".join(lines))
    return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _not_understood(path: Path, number: int, line: str) -> InputError:
    return InputError(
        f"{path}, line {number + 1}: {line.strip()!r} is not understood; stages are written one a key below "
        "a line `stages:`. Nothing was written"
    )
