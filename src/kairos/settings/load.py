"""Reading settings: packaged defaults, then ``kairos.toml``, then ``--set key=value``."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from kairos.errors import InputError
from kairos.settings.tree import (
    Backtest,
    ComponentDefaults,
    CompositeDefaults,
    Settings,
    StrategyDefaults,
    all_keys,
    merged,
    nearest,
)

DEFAULT_FILE = "kairos.toml"
SET = "--set"

_KEY = re.compile(r"[A-Za-z_][\w-]*(\.[A-Za-z_][\w-]*)*")
_SHOWN_PROBLEMS = 10
_DEEPEST = 20
"""Tables and lists within each other; no setting needs half of it."""

_TOO_DEEP = f"more than {_DEEPEST} tables and lists within each other"

_EXPECTED = {
    "bool_type": "expected true or false",
    "date_type": "expected a date, e.g. 2015-01-31",
    "dict_type": "expected a table",
    "finite_number": "expected a finite number",
    "float_type": "expected a number",
    "int_type": "expected a whole number",
    "model_type": "expected a table",
    "string_type": "expected a text",
    "tuple_type": "expected a list",
}


@dataclass(frozen=True)
class Resolved:
    """Settings together with where each value came from.

    Attributes
    ----------
    settings
        The tree.
    origins
        Dotted key → ``"default"``, the path of the file, or ``"--set"``.
    config
        The file that was read, if any.
    """

    settings: Settings
    origins: Mapping[str, str]
    config: Path | None


def load(
    config: Path | None = None, overrides: Sequence[str] = (), *, strategies: Sequence[str] = ()
) -> Settings:
    """Read the settings: packaged defaults, a file, and overrides, the later over the earlier.

    Parameters
    ----------
    config
        The file; without one, ``kairos.toml`` of the current directory if it is there.
    overrides
        Texts ``key=value``: a dotted key, and a value in TOML, where a bare word is a text.
    strategies
        Names of the strategies being run: an override whose key begins with none of the sections belongs
        to each of them (``top_n=50`` is ``equity.strategies.<name>.top_n=50``).

    Raises
    ------
    InputError
        For a file that can't be read, an unknown key (the nearest is suggested), a wrong type or value, and a
        strategy whose base does not exist; the message says whether the file or ``--set`` has it.

    Examples
    --------
    >>> load(overrides=["equity.backtest.lag=0"]).equity.backtest.lag
    0
    >>> load(overrides=["top_n=20"], strategies=["risk1"]).equity.strategy("risk1").top_n
    20
    """
    return resolve(config, overrides, strategies=strategies).settings


def resolve(
    config: Path | None = None, overrides: Sequence[str] = (), *, strategies: Sequence[str] = ()
) -> Resolved:
    """Do what :func:`load` does, and keep the origin of every value."""
    if config is None and Path(DEFAULT_FILE).is_file():
        config = Path(DEFAULT_FILE)
    tree = defaults()
    origins = dict.fromkeys(_leaves(tree), "default")
    if config:
        tree = _over(tree, _read(config), str(config), origins)
    for text in overrides:
        for layer in _override(text, tree, strategies):
            tree = _over(tree, layer, SET, origins)
    leaves = set(_leaves(tree))
    origins = {key: origin for key, origin in origins.items() if key in leaves}
    return Resolved(_validated(tree, origins), origins, config)


def _over(
    tree: dict[str, Any], layer: Mapping[str, Any], origin: str, origins: dict[str, str]
) -> dict[str, Any]:
    """A layer over a tree; `origins` learns where its values come from."""
    origins.update(dict.fromkeys(_leaves(layer), origin))
    return merged(tree, layer)


def defaults() -> dict[str, Any]:
    """Read the packaged defaults as a plain tree."""
    return tomllib.loads(defaults_text())


def defaults_text() -> str:
    """Read ``defaults.toml`` as it is packaged, comments included."""
    return resources.files("kairos.settings").joinpath("defaults.toml").read_text(encoding="utf-8")


def _read(path: Path) -> dict[str, Any]:
    try:
        return _parsed(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: the configuration can't be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text (byte {error.start}). Save the file as UTF-8.") from error
    except ValueError as error:
        raise InputError(f"{path}: not valid TOML: {error}") from error


def _parsed(text: str) -> dict[str, Any]:
    """Parse TOML that is no deeper than any setting; ValueError says what is wrong with it."""
    try:
        tree = tomllib.loads(text)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    level: list[dict[str, Any] | list[Any]] = [tree]
    for _ in range(_DEEPEST):
        level = [inside for outer in level for inside in _inside(outer) if isinstance(inside, dict | list)]
        if not level:
            return tree
    raise ValueError(_TOO_DEEP)


def _inside(value: dict[str, Any] | list[Any]) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value


def _override(text: str, tree: Mapping[str, Any], strategies: Sequence[str]) -> Iterable[dict[str, Any]]:
    key, equals, value = (part.strip() for part in text.partition("="))
    if not equals or not _KEY.fullmatch(key):
        raise InputError(
            f"{SET} {text}: expected key=value with a dotted key, e.g. {SET} equity.backtest.lag=0"
        )
    parts = key.split(".")
    prefixes = [["equity", "strategies", name] for name in strategies] if parts[0] not in tree else []
    for *_, name in prefixes:
        if name not in tree["equity"]["strategies"]:
            raise InputError(f"{SET} {text}: there is no strategy {name!r} for it to mean")
    for prefix in prefixes or [[]]:
        layer: Any = _value(text, value)
        for part in reversed(prefix + parts):
            layer = {part: layer}
        yield layer


def _value(text: str, value: str) -> Any:
    try:
        parsed = _parsed(f"value = {value}")
    except ValueError as error:
        if value[:1] in {'"', "'", "[", "{"}:
            raise InputError(f"{SET} {text}: the value is not valid TOML: {error}") from error
        return value
    if len(parsed) > 1:
        raise InputError(f"{SET} {text}: one key at a time; give {SET} several times")
    return parsed["value"]


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Dotted keys of values; an empty table counts as one, and one whose keys are names of columns."""
    keys: list[str] = []
    for name, value in tree.items():
        opens = isinstance(value, Mapping) and not any("." in key for key in value)
        inside = _leaves(value, f"{prefix}{name}.") if opens else []
        keys.extend(inside or [prefix + name])
    return keys


def _validated(tree: dict[str, Any], origins: Mapping[str, str]) -> Settings:
    try:
        settings = Settings.model_validate(tree)
    except ValidationError as error:
        raise _explained(error, tree, origins) from error
    for check in (settings.equity.base_of, settings.equity.lineage):
        for name in settings.equity.strategies:
            try:
                check(name)
            except InputError as error:
                raise InputError(f"{_origin(f'equity.strategies.{name}.base', origins)}: {error}") from error
    for name in settings.equity.strategies:
        try:
            settings.equity.strategy(name)
        except ValidationError as error:
            raise _explained(error, tree, origins, settings.equity.lineage(name)) from error
    for name in settings.equity.composites:
        try:
            settings.equity.composite(name)
        except ValidationError as error:
            raise _explained(error, tree, origins, (name,), "composites") from error
    return settings


def _explained(
    error: ValidationError,
    tree: dict[str, Any],
    origins: Mapping[str, str],
    line: Sequence[str] = (),
    kind: str = "strategies",
) -> InputError:
    """Say in plain words what pydantic found.

    ``line`` is an entry of `kind` that was resolved, a strategy with its bases.
    """
    problems = []
    for detail in error.errors(include_url=False):
        place = [part for part in detail["loc"] if isinstance(part, str)]
        if line:
            entries = tree["equity"][kind]
            owners = [name for name in line if not place or place[0] in entries[name]]
            place = ["equity", kind, owners[0], *place]
        problems += _problems(".".join(place), detail["type"], detail["msg"], detail["input"], tree, origins)
    hidden = len(problems) - _SHOWN_PROBLEMS
    more = [f"… and {hidden} more."] if hidden > 0 else []
    return InputError("\n".join(problems[:_SHOWN_PROBLEMS] + more))


def _problems(
    key: str, kind: str, text: str, value: Any, tree: Mapping[str, Any], origins: Mapping[str, str]
) -> list[str]:
    origin = _origin(key, origins)
    if kind == "extra_forbidden":
        unknown = _leaves({key: value})
        return [f"{origin}: unknown key {leaf}.{nearest(leaf, _known(tree))}" for leaf in unknown]
    if kind == "value_error" and isinstance(value, Mapping):
        return [f"{origin}: {key}: {text.removeprefix('Value error, ')}."]
    expected = _EXPECTED.get(kind) or text.removeprefix("Value error, ").replace(
        "Input should be", "expected"
    )
    shown = "a table" if isinstance(value, Mapping) else repr(value)
    return [f"{origin}: {key} = {shown}: {expected}."]


def _known(tree: Mapping[str, Any]) -> list[str]:
    keys = all_keys(defaults())
    fields = [*StrategyDefaults.model_fields, *Backtest.model_fields, "base"]
    if not isinstance(tree["equity"], Mapping):
        return keys
    keys += [f"equity.strategies.{name}.{field}" for name in tree["equity"]["strategies"] for field in fields]
    for name, entry in tree["equity"]["composites"].items():
        keys += [f"equity.composites.{name}.{field}" for field in CompositeDefaults.model_fields]
        parts = entry.get("components", {}) if isinstance(entry, Mapping) else {}
        keys += [
            f"equity.composites.{name}.components.{source}.{field}"
            for source in parts
            for field in ComponentDefaults.model_fields
        ]
    return keys


def _origin(key: str, origins: Mapping[str, str]) -> str:
    """Origin of a key, of the first thing written below it, or of the table that it stands in."""
    inside = (origin for leaf, origin in origins.items() if leaf.startswith(f"{key}."))
    around = (origin for leaf, origin in origins.items() if key.startswith(f"{leaf}."))
    below = next((origin for origin in inside if origin != "default"), None)
    return origins.get(key) or below or next(around, "default")
