"""What a table is: one declaration of its inputs, history, columns and formulas, and the function behind it.

Everything that happens to a table follows from its declaration: its place in the build order, when it is
stale, how far back an update must read, its page in the documentation, whether it may be used as a signal.
"""

from __future__ import annotations

import ast
import datetime as dt
import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, ValidationError

import kairos
from kairos.errors import InputError

if TYPE_CHECKING:
    from kairos.equity.context import Context
    from kairos.equity.frame import Inputs
    from kairos.settings import Settings
    from kairos.store import Part, Table

Array = np.ndarray[Any, np.dtype[np.float64]]


COMPUTING = ("kairos.equity", "kairos.evaluation", "kairos.panel")
"""Rooms whose code decides about values."""


GRID = ("sep_base_academic.ticker", "sessions.session", "listings.first_session")
"""What makes the rows and columns of every panel."""


class Scope(StrEnum):
    """Across what a value looks besides its own cell: its ticker's past, its date's members, or both."""

    TICKER = "ticker"
    DATE = "date"
    BOTH = "both"


class Params(BaseModel):
    """Windows, weights and bounds of one table; a user changes them under ``[equity.tables.<name>]``."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True)
class Column:
    """One column of a table: its name, the formula as a reader would write it, and where it comes from.

    A `level` is in USD or shares on today's split basis. Along a ticker it is sound; compared across tickers
    it knows the splits that came later, so using it as a signal is warned of.
    """

    name: str
    formula: str
    source: str = ""
    dtype: str = "FLOAT"
    level: bool = False
    sign: int = 0
    """Direction in which the literature expects returns to follow: 1, -1, or 0 where it says nothing."""


@dataclass(frozen=True, kw_only=True)
class Declaration(ABC):
    """What every derived table declares.

    Attributes
    ----------
    name : str
        Name of the table in the catalog.
    doc : str
        What the table holds, in a paragraph.
    inputs : tuple of str
        ``"table"`` or ``"table.column"``: all that the computation may read.
    optional : tuple of str
        Inputs that the table can go on without; what is lost is said in the build summary.
    columns : callable
        From the table's parameters to its columns, without the key.
    params : type
        The table's own parameters, with defaults.
    uses : tuple of str
        Sections of the settings (dotted) that the computation reads besides its parameters.
    files : callable
        From the settings to the user's files, or their URLs, that the computation reads.
    ahead : callable
        From the parameters to what the table knows of the future by design, a verb and its object.
    """

    name: str
    doc: str
    inputs: tuple[str, ...]
    columns: Callable[[Any], tuple[Column, ...]]
    optional: tuple[str, ...] = ()
    params: type[Params] = Params
    uses: tuple[str, ...] = ()
    files: Callable[[Settings], tuple[str, ...]] = lambda _: ()
    ahead: Callable[[Any], str] = lambda _: ""

    @property
    @abstractmethod
    def work(self) -> Callable[..., Any]:
        """The function that makes the table."""

    def lacks(self, exists: Callable[[str], bool]) -> tuple[str, ...]:
        """Names of the tables without which this one can't be made."""
        tables = tuple(name for name in self.requires if not exists(name))
        return tables or tuple(name for name in self.inputs if not exists(name))

    def in_sample(self, params: Any) -> str:
        """What the table knows of the future by design, for comparison only; empty when nothing."""
        return self.ahead(params)

    def digests(self, params: Params, extra: Mapping[str, Any]) -> dict[str, str]:
        """Hash of what decides about each column besides inputs and code; ``*`` stands for all others."""
        return {"*": params_fingerprint(params, extra)}

    @property
    def requires(self) -> tuple[str, ...]:
        """Names of the tables that must exist before this one."""
        return tables_of(self.inputs)

    @property
    def reads(self) -> tuple[str, ...]:
        """Names of all tables that this one reads where they exist."""
        return tables_of((*self.inputs, *self.optional))

    def resolve(self, overrides: Mapping[str, Any]) -> Params:
        """Parameters from the defaults and the user's ``[equity.tables.<name>]`` entry."""
        try:
            return self.params(**overrides)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(["equity", "tables", self.name, *map(str, first["loc"])])
            known = ", ".join(self.params.model_fields) or "none"
            raise InputError(f"{key}: {first['msg']} (parameters of {self.name}: {known})") from None


@dataclass(frozen=True, kw_only=True)
class PanelTable(Declaration):
    """A table that is computed from panels: it reads the grid beside its inputs, and a slice of the past.

    ``history(p, gap)`` is in sessions; `gap` is ``equity.listing.max_gap``, the oldest usable price.
    """

    history: Callable[[Any, int], int]

    @property
    def requires(self) -> tuple[str, ...]:
        """The inputs, and the tables that make the grid on which every panel stands."""
        return tuple(dict.fromkeys((*super().requires, *tables_of(GRID))))

    @property
    def reads(self) -> tuple[str, ...]:
        """Names of all tables that the computation reads where they exist."""
        return tuple(dict.fromkeys((*super().reads, *tables_of(GRID))))


@dataclass(frozen=True, kw_only=True)
class FeatureTable(PanelTable):
    """A ``feat_*`` table: one row for every row of ``sep_base_academic``, computed from panels.

    ``compute(x, p)`` gets the inputs as (T, N) panels (rows are sessions, columns are listings) and the
    parameters, and returns one panel for each declared column. The value at row t may use rows up to t only,
    unless ``forward(p, gap)`` says how many sessions it looks ahead (targets).

    A value at a name that is not a member may depend on other tickers through tables with one row a date
    only: what is taken over the cross-section is NaN off membership. So the rows of a ticker that enters the
    price base are computed from its own past.
    """

    compute: Callable[[Inputs, Any], Mapping[str, Array | Coded]]
    scope: Scope
    forward: Callable[[Any, int], int] = field(default=lambda _, __: 0)
    resumed: Callable[[Any, int], int] | None = None
    """History that suffices where ``x.known(column)`` tells what the table held before: recursions go on from
    it. Such columns are DOUBLE, so that nothing is lost on the way."""

    @property
    def work(self) -> Callable[..., Any]:
        """The function from panels to panels."""
        return self.compute


@dataclass(frozen=True, eq=False)
class Coded:
    """A column of texts as a panel of positions in a list of labels, NaN where there is none."""

    codes: Array
    labels: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class DateTable(PanelTable):
    """One row for each session: a figure of the whole market, such as its return or its regime.

    ``measure(x, p)`` gets panels and returns series (T,): the value at t may use rows t - history .. t. They
    are stored. ``derive(s, p)`` gets the stored series of all sessions by name, and ``dates``, and returns
    further columns, of which the value at t may use all rows up to t.
    """

    measure: Callable[[Inputs, Any], Mapping[str, Array]]
    derive: Callable[[Mapping[str, Any], Any], Mapping[str, Any]] = field(default=lambda _, __: {})

    @property
    def work(self) -> Callable[..., Any]:
        """The function from panels to series."""
        return self.measure


@dataclass(frozen=True, kw_only=True)
class BaseTable(Declaration):
    """A table under the features (universe, price base, listings, filings), made from the vendor's tables.

    ``make(context, p, renewal)`` returns the parts. It may take over what the table held before the date from
    which anything that it reads differs (`renewal`). ``meta(p)`` is stored with the table.
    """

    key: tuple[str, ...]
    make: Callable[[Context, Any, Renewal], Iterable[pa.Table | Part]]
    dated: tuple[str, str] | None = ("date", "date")
    """Columns that date a change: in a row that stays, and a row that comes or goes; None without a date."""
    counts: str = ""
    """Column of truths: of a ticker that comes or goes with all of its rows only the true ones are a change.
    Readers compute the others because they have none yet."""
    history: Callable[[Any, int], int] = lambda _, __: 0
    """Sessions before t on whose prices the row in force at t depends, where nothing else declares them."""
    meta: Callable[[Any], Mapping[str, Any]] = lambda _: {}

    @property
    def work(self) -> Callable[..., Any]:
        """The function from the vendor's tables to the parts of this one."""
        return self.make


@dataclass(frozen=True)
class Renewal:
    """What a table was, and from which date on it must be made anew."""

    before: Table | None
    since: dt.date


@dataclass(frozen=True, kw_only=True)
class AssembledTable(Declaration):
    """A table without rows of its own: a query over others, which ``query(context, p)`` writes.

    It returns the query, and what is to be remembered of it.
    """

    key: tuple[str, ...]
    query: Callable[[Context, Any], tuple[str, Mapping[str, Any]]]

    @property
    def work(self) -> Callable[..., Any]:
        """The function that writes the query."""
        return self.query


def tables_of(inputs: Iterable[str]) -> tuple[str, ...]:
    """Table names of ``"table"`` / ``"table.column"`` inputs, each once, in order."""
    return tuple(dict.fromkeys(name.split(".", 1)[0] for name in inputs))


def columns_of(declaration: Declaration) -> dict[str, frozenset[str] | None]:
    """Columns that a table reads, by table; None for all of them."""
    grid = GRID if isinstance(declaration, PanelTable) else ()
    found: dict[str, frozenset[str] | None] = {}
    for name in (*declaration.inputs, *declaration.optional, *grid):
        table, _, column = name.partition(".")
        seen = found.get(table, frozenset())
        found[table] = None if seen is None or not column else seen | {column}
    return found


def code_fingerprint(function: Callable[..., Any]) -> str:
    """Hash of the code that computes a table: its module and what that imports of this desk and the kernels.

    Comments and docstrings don't count.
    """
    return _module_fingerprint(function.__module__)


@cache
def _module_fingerprint(module: str) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for path in _reached(module):
        digest.update(_file_fingerprint(path).encode())
    return digest.hexdigest()


def params_fingerprint(params: Params, extra: Mapping[str, Any]) -> str:
    """Hash of a table's parameters and of the settings sections that it uses."""
    text = json.dumps({"params": params.model_dump(mode="json"), **extra}, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _reached(module: str) -> tuple[Path, ...]:
    """Source files of a module and of all that it imports, directly or not, from the rooms that compute."""
    found: dict[str, Path] = {}
    todo = [module]
    while todo:
        name = todo.pop()
        path = _source(name)
        if path is None or name in found:
            continue
        found[name] = path
        todo.extend(_imports(path))
    return tuple(found[name] for name in sorted(found))


@cache
def _source(module: str) -> Path | None:
    """Source file of a module of a computing room, None for any other name."""
    if not module.startswith(COMPUTING):
        return None
    inside = Path(*module.split(".")[1:])
    root = Path(kairos.__file__).parent
    return next(
        (p for p in (root / inside.with_suffix(".py"), root / inside / "__init__.py") if p.is_file()), None
    )


@cache
def _imports(path: Path) -> tuple[str, ...]:
    """Dotted names that a file imports; of ``from a import b`` both a and a.b, for b may be a module."""
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return tuple(names)


@cache
def _file_fingerprint(path: Path) -> str:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and _is_docstring(body[0]):
            body.pop(0)
    return hashlib.blake2b(ast.dump(tree).encode(), digest_size=8).hexdigest()


def _is_docstring(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
