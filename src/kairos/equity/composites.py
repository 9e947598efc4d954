"""Composite alphas: entries of ``[equity.composites]`` become tables, without code of their own.

A composite takes columns of other tables (its legs), standardises each over the members of the date, blends
them, and standardises the blend. Everything else is an option of the entry: smoothing, weights by regime or by
past information coefficients, an exposure, a fallback. Time: a value at t uses what its components, the regime
and the weights of t use; weights by information coefficients look at returns that had ended by then.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from typing import Any

import numpy as np

from kairos.equity.declare import Column, DateTable, Declaration, FeatureTable, Params, Scope
from kairos.equity.frame import Array, Inputs
from kairos.errors import InputError
from kairos.evaluation.information import information_coefficient
from kairos.panel import blend, change, clipped_z, exponential, lag, warmup
from kairos.settings import Composite, Settings

REGIME = "regime_history_academic.regime"
CLIP = 3.0
DIGITS = 12


@dataclass(frozen=True)
class Leg:
    """A component of a composite.

    Attributes
    ----------
    source : str
        ``table.column``.
    name : str
        Its standardised column in the composite's table.
    composite : str
        The composite of the same table that it is, else empty.
    """

    source: str
    name: str
    weight: float
    sign: int
    composite: str = ""


@dataclass(frozen=True)
class Blend:
    """A composite with its components looked up."""

    entry: Composite
    legs: tuple[Leg, ...]
    fallback: tuple[Leg, ...]

    @property
    def name(self) -> str:
        """Name of its column."""
        return self.entry.name

    @property
    def stored(self) -> tuple[Leg, ...]:
        """Legs that are columns of the table: those that aren't the column of another composite already."""
        return tuple(dict.fromkeys(leg for leg in (*self.legs, *self.fallback) if leg.name != leg.composite))

    @property
    def least(self) -> int:
        """Number of components that must exist."""
        return self.entry.min_components or len(self.legs)

    @property
    def weights_table(self) -> str:
        """The table of its weights, empty where they are fixed."""
        return f"weights_{self.name.removeprefix('alpha_')}" if self.entry.weights == "ic" else ""

    @property
    def digest(self) -> str:
        """Hash of the definition."""
        return hashlib.blake2b(repr(self).encode(), digest_size=8).hexdigest()


@dataclass(frozen=True, kw_only=True)
class CompositeTable(FeatureTable):
    """One table of composites, in an order in which they can be computed."""

    blends: tuple[Blend, ...] = field(default=())

    @property
    def work(self) -> Callable[..., Any]:
        """The function that computes every composite."""
        return compute_blends

    @cached_property
    def _outside(self) -> tuple[Leg, ...]:
        return tuple(leg for b in self.blends for leg in (*b.legs, *b.fallback) if not leg.composite)

    def lacks(self, exists: Callable[[str], bool]) -> tuple[str, ...]:
        """Tables without which none of the composites has enough components, beside those that all need."""
        missing = super().lacks(exists)
        if missing or any(self._can(b, exists) for b in self.blends):
            return missing
        absent = (leg.source for leg in self._outside if not exists(leg.source))
        tables = (source if exists(source.partition(".")[0]) else source.partition(".")[0] for source in absent)
        return tuple(dict.fromkeys(tables))

    def _can(self, blend_: Blend, exists: Callable[[str], bool]) -> bool:
        by_name = {b.name: b for b in self.blends}

        def there(leg: Leg) -> bool:
            return self._can(by_name[leg.composite], exists) if leg.composite else exists(leg.source)

        if blend_.weights_table and not exists(blend_.weights_table):
            return False
        enough = sum(map(there, blend_.legs)) >= blend_.least
        return enough or (bool(blend_.fallback) and all(map(there, blend_.fallback)))

    def digests(self, params: Params, extra: Mapping[str, Any]) -> dict[str, str]:
        """Hash of each composite's definition, those of its table that it uses included."""
        found: dict[str, str] = {}
        by_name: dict[str, str] = {}
        for b in self.blends:
            inside = [by_name[leg.composite] for leg in (*b.legs, *b.fallback) if leg.composite]
            by_name[b.name] = hashlib.blake2b("".join([b.digest, *inside]).encode(), digest_size=8).hexdigest()
            found.update(dict.fromkeys(_results(b), by_name[b.name]))
            for leg in b.stored:
                text = json.dumps([leg.source, leg.sign, b.entry.legs, *inside])
                found[leg.name] = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
        return found


def composite_tables(settings: Settings, declared: Mapping[str, Declaration]) -> dict[str, Declaration]:
    """Tables of all composites of the settings, and of their weights.

    Parameters
    ----------
    declared : dict
        The other tables by name.

    Raises
    ------
    InputError
        For a component that does not exist, weights that sum to zero, composites that need each other, two
        columns with one name: the message names the entry.
    """
    blends = _looked_up(settings, declared)
    by_table: dict[str, list[Blend]] = defaultdict(list)
    for b in _ordered(blends):
        by_table[b.entry.table].append(b)
    found: dict[str, Declaration] = {}
    for table, inside in by_table.items():
        if table in declared:
            raise InputError(f"{_key(inside[0].name)}.table = {table!r}: a table of this name is declared already")
        found[table] = _table(table, tuple(inside), settings)
        for b in inside:
            if b.weights_table:
                found[b.weights_table] = _weights(b)
    _check_tables(found)
    return found


def _key(name: str) -> str:
    return f"equity.composites.{name}"


def _looked_up(settings: Settings, declared: Mapping[str, Declaration]) -> dict[str, Blend]:
    entries = {name: settings.equity.composite(name) for name in settings.equity.composites}
    columns = {
        name: {c.name for p in (table.resolve(settings.equity.tables.get(name, {})), table.params()) for c in table.columns(p)}
        for name, table in declared.items()  # of a window that is set otherwise the usual column is missing, not unknown
        if isinstance(table, FeatureTable)
    }
    for entry in entries.values():
        if not entry.components:
            raise InputError(f"{_key(entry.name)}: no components; write components = {{ \"table.column\" = weight }}")
        legs = [c.name or _leg_name(source) for source, c in (*entry.components.items(), *entry.fallback.items())]
        columns.setdefault(entry.table, set()).update((entry.name, *_exposed(entry), *legs))
    blends = {}
    for entry in entries.values():
        legs, fallback = (
            tuple(_leg(entry, source, component, entries, columns) for source, component in part.items())
            for part in (entry.components, entry.fallback)
        )
        _check_weights(entry)
        blends[entry.name] = Blend(entry, legs, fallback)
    return blends


def _leg(entry: Composite, source: str, component: Any, entries: Mapping[str, Composite], columns: Mapping[str, set[str]]) -> Leg:
    """One component: a composite by its name, or ``table.column``."""
    where = f"{_key(entry.name)}.components"
    name, weight, sign = component.name or _leg_name(source), component.weight, component.sign
    if "." not in source:
        if source not in entries:
            raise InputError(f"{where}: there is no composite {source!r}{_nearest(source, entries)}; a column is written table.column")
        other = entries[source]
        inside = source if other.table == entry.table else ""
        return Leg(f"{other.table}.{source}", name, weight, sign, inside)
    table, _, column = source.partition(".")
    if table not in columns:
        raise InputError(f"{where}: there is no feature table {table!r}{_nearest(table, columns)}")
    if column not in columns[table]:
        raise InputError(f"{where}: table {table} has no column {column!r}{_nearest(column, columns[table])}")
    inside = column if table == entry.table and column in entries else ""
    if table == entry.table and not inside:
        raise InputError(f"{where}: {source} is a component in the composite's own table; name what it is made of")
    return Leg(source, name, weight, sign, inside)


def _leg_name(source: str) -> str:
    column = source.rpartition(".")[2]
    return column if column.endswith("_z") else f"{column}_z"


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {near[0]}?)" if near else ""


def _check_weights(entry: Composite) -> None:
    where, sets = _key(entry.name), {"components": [c.weight for c in entry.components.values()]}
    if entry.weights == "ic" or entry.regimes:
        sets.pop("components")
    if entry.weights == "ic" and entry.regimes:
        raise InputError(f"{where}: weights = 'ic' and regimes exclude each other")
    if entry.fallback:
        sets["fallback"] = [c.weight for c in entry.fallback.values()]
    for label, weights in entry.regimes.items():
        if len(weights) != len(entry.components):
            raise InputError(f"{where}.regimes.{label}: {len(weights)} weights for {len(entry.components)} components")
        sets[f"regimes.{label}"] = list(weights)
    for part, given in sets.items():
        if abs(sum(given)) < 1e-12:
            raise InputError(f"{where}.{part}: the weights sum to zero; `sign = -1` turns a component round")
    if entry.min_components > len(entry.components):
        raise InputError(f"{where}.min_components = {entry.min_components}, and there are {len(entry.components)} components")


def _ordered(blends: Mapping[str, Blend]) -> list[Blend]:
    """Composites after those that they use."""
    owners = {f"{b.entry.table}.{column}": name for name, b in blends.items() for column in (*_results(b), *(leg.name for leg in b.stored))}
    needs = {
        name: [owners[leg.source] for leg in (*b.legs, *b.fallback) if leg.source in owners and owners[leg.source] != name]
        for name, b in blends.items()
    }
    for name, b in blends.items():
        if any(leg.source == f"{b.entry.table}.{name}" for leg in (*b.legs, *b.fallback)):
            raise InputError(f"{_key(name)}.components: the composite is a component of itself")
    try:
        return [blends[name] for name in TopologicalSorter(needs).static_order()]
    except CycleError as error:
        circle = " → ".join(reversed(error.args[1]))
        raise InputError(f"{_key(error.args[1][0])}.components: the composites need each other ({circle})") from None


def _check_tables(found: Mapping[str, Declaration]) -> None:
    """Refuse tables that need each other, though none of their composites do."""
    try:
        TopologicalSorter({name: [r for r in table.reads if r in found] for name, table in found.items()}).prepare()
    except CycleError as error:
        circle = " → ".join(reversed(error.args[1]))
        raise InputError(
            f"equity.composites: the tables {circle} need each other; give one of their composites another `table`"
        ) from None


def _exposed(entry: Composite) -> tuple[str, ...]:
    return (f"{entry.name}_exposure", f"{entry.name}_regime") if entry.exposure else ()


def _results(b: Blend) -> tuple[str, ...]:
    return (b.name, *_exposed(b.entry))


def _table(name: str, blends: tuple[Blend, ...], settings: Settings) -> CompositeTable:
    columns: dict[str, Column] = {}
    scale = {"z": "z", "z3": "z clipped to ±3", "raw": "as it is", "none": "as it is"}
    owner: dict[str, tuple[Any, ...]] = {}
    for b in blends:
        for leg in b.stored:
            sign = "-" if leg.sign < 0 else ""
            text = f"{scale[b.entry.legs]} of {sign}{leg.source}" if b.entry.legs != "raw" else f"{sign}{leg.source}"
            _own(owner, leg.name, (leg.source, leg.sign, b.entry.legs), b)
            columns.setdefault(leg.name, Column(leg.name, text))
        for column, formula in zip(_results(b), _formulas(b), strict=True):
            _own(owner, column, (b.name,), b)
            kind = "DOUBLE" if column == b.name and b.entry.smooth else "FLOAT"
            columns[column] = Column(column, formula, dtype=kind, sign=1 if column == b.name else 0)
    need = [n for b in blends for n in (b.weights_table and f"{b.weights_table}.{leg.name.removesuffix('_z')}_weight" for leg in b.legs) if n]
    outside = [leg.source for b in blends for leg in (*b.legs, *b.fallback) if not leg.composite]
    regimes = [REGIME] if any(b.entry.regimes or b.entry.exposure for b in blends) else []
    smooth = [b for b in blends if b.entry.smooth]
    goes_on = bool(smooth) and all(b.entry.standardise == "none" for b in smooth)  # else the average isn't stored
    return CompositeTable(
        name=name,
        doc=f"Composite alphas, entries of the configuration: {', '.join(b.name for b in blends)}, with their components.",
        inputs=tuple(dict.fromkeys(["sep_base_academic.member", *regimes])),
        optional=tuple(dict.fromkeys([*outside, *need])),
        columns=lambda _: tuple(columns.values()),
        history=lambda _, __: max(_memory(b.entry.smooth) for b in blends),
        resumed=(lambda _, __: max(_memory(b.entry.smooth) for b in blends)) if goes_on else None,
        scope=Scope.BOTH,
        compute=lambda x, _: compute_blends(x, blends),
        blends=blends,
    )


def _own(owner: dict[str, tuple[Any, ...]], column: str, what: tuple[Any, ...], b: Blend) -> None:
    if owner.setdefault(column, what) != what:
        raise InputError(f"{_key(b.name)}: its table {b.entry.table} has another column {column!r} already; give the component a `name`")


def _formulas(b: Blend) -> tuple[str, ...]:
    entry = b.entry
    parts = [f"{leg.weight:g}·{leg.name}" if entry.weights == "fixed" and not entry.regimes else leg.name for leg in b.legs]
    text = f"weighted mean of {', '.join(parts)}"
    text += "" if not b.weights_table else f", weights of {b.weights_table}"
    text += "" if not entry.regimes else ", weights by regime"
    text += "; a missing one counts as 0" if entry.missing == "neutral" else f"; at least {b.least} of them"
    text += f"; without it that of {', '.join(f'{leg.weight:g}·{leg.name}' for leg in b.fallback)}" if b.fallback else ""
    text += f"; exponential average with weight {entry.smooth:g} of today" if entry.smooth else ""
    text += {"z": "; z", "z3": "; z clipped to ±3", "none": ""}[entry.standardise]
    return (text, "factor by regime, 1 in others", f"{b.name} · {b.name}_exposure") if entry.exposure else (text,)


def _memory(smooth: float) -> int:
    """Sessions after which an exponential average forgets, over the worst pattern of gaps."""
    if not smooth:
        return 0
    keeps = 1.0 - smooth
    gaps = np.arange(1, 50)
    aged = (keeps**gaps / (smooth + keeps**gaps)) ** (1.0 / gaps)
    return warmup(1.0 - float(max(aged.max(), keeps)))


def compute_blends(x: Inputs, blends: Sequence[Blend]) -> Mapping[str, Array]:
    """Columns of a table of composites: the legs of each, and what is blended of them."""
    out: dict[str, Array] = {}
    for b in blends:
        legs = {leg: _standardised(x, leg, b.entry.legs, out) for leg in dict.fromkeys((*b.legs, *b.fallback))}
        mixed = blend([legs[leg] for leg in b.legs], _weights_of(x, b), b.least, b.entry.missing)
        if b.fallback:
            instead = blend([legs[leg] for leg in b.fallback], [leg.weight for leg in b.fallback], len(b.fallback))
            mixed = np.where(np.isfinite(mixed), mixed, instead)
        if b.entry.smooth:
            known = x.known(b.name) if b.entry.standardise == "none" else None
            mixed = exponential(mixed, b.entry.smooth, gap_aware=True, known=known)
        out.update({leg.name: legs[leg] for leg in b.stored})
        if b.entry.legs != "raw":  # z-scores that cancel leave rounding, which must not be blown up to a z
            mixed = np.round(mixed, DIGITS)
        out[b.name] = _scaled(x, mixed, b.entry.standardise)
        if b.entry.exposure:
            factor = np.array([b.entry.exposure.get(label, 1.0) for label in x[REGIME].tolist()])[:, None]
            out[f"{b.name}_exposure"] = np.where(np.isfinite(out[b.name]), factor, np.nan)
            out[f"{b.name}_regime"] = out[b.name] * factor
    return out


def _standardised(x: Inputs, leg: Leg, how: str, made: Mapping[str, Array]) -> Array:
    """A leg over the members of the date; a column that is absent is missing everywhere."""
    panel = made[leg.composite] if leg.composite else x.get(leg.source)
    if panel is None:
        return x.frame.empty()
    return _scaled(x, panel if leg.sign > 0 else -panel, how)


def _scaled(x: Inputs, panel: Array, how: str) -> Array:
    if how in ("raw", "none"):
        return np.where(x.members, panel, np.nan)
    return clipped_z(panel, x.members, CLIP if how == "z3" else np.inf)


def _weights_of(x: Inputs, b: Blend) -> Sequence[float | Array]:
    """Weight of each leg: a number, or a series (T,) where it changes."""
    if b.weights_table:
        return [x[f"{b.weights_table}.{leg.name.removesuffix('_z')}_weight"] for leg in b.legs]
    if b.entry.regimes:
        none = (np.nan,) * len(b.legs)
        rows = np.array([b.entry.regimes.get(label, none) for label in x[REGIME].tolist()])
        return list(rows.T.reshape(len(b.legs), -1))
    return [leg.weight for leg in b.legs]


def _weights(b: Blend) -> DateTable:
    """The weights by information coefficients of one composite: a table of dates that anybody can look at."""
    ic, names = b.entry.ic, [leg.name.removesuffix("_z") for leg in b.legs]
    total, closeadj = ic.lag + ic.horizon, "sep_base_academic.closeadj"

    def measure(x: Inputs, _: Params) -> Mapping[str, Array]:
        """Row t: the rank correlation of a leg on t - lag - h with the returns over the h sessions after it."""
        member = lag(x.members, total)
        forward = lag(change(x[closeadj], ic.horizon, within=max(x.max_gap, ic.horizon)), ic.lag)
        return {
            f"{name}_ic": information_coefficient(lag(leg.sign * x[leg.source], total), forward, member)
            for name, leg in zip(names, b.legs, strict=True)
        }

    def derive(s: Mapping[str, Any], _: Params) -> Mapping[str, Any]:
        return past_weights({name: s[f"{name}_ic"] for name in names}, ic.min_dates, ic.signed)

    how = "" if ic.signed else ", its excess over the smallest one"
    after = f"known {ic.lag} sessions after the {ic.horizon} sessions of the return"
    return DateTable(
        name=b.weights_table,
        doc=f"Weights of {b.name}: by how well each component foretold returns so far. Row t looks at returns that "
        f"had ended {ic.lag} sessions before t.",
        inputs=(*(leg.source for leg in b.legs), closeadj, "sep_base_academic.member"),
        columns=lambda _: (
            *(Column(f"{name}_ic", f"rank correlation of {name} with the return that follows, {after}", dtype="DOUBLE") for name in names),
            *(Column(f"{name}_weight", f"mean of {name}_ic up to t{how}; equal before {ic.min_dates} dates", dtype="DOUBLE") for name in names),
        ),
        history=lambda _, gap: total + max(gap, ic.horizon) + ic.horizon + 1,
        measure=_Traced(measure, b),
        derive=derive,
    )  # fmt: skip


class _Traced:
    """A function made for one composite: its module is this one, and its definition decides about staleness."""

    def __init__(self, function: Callable[..., Any], b: Blend) -> None:
        self.function, self.blend = function, b
        self.__module__ = __name__

    def __call__(self, *given: Any) -> Any:
        return self.function(*given)


def past_weights(ic: Mapping[str, Array], min_dates: int, signed: bool) -> dict[str, Array]:
    """Weights (T,) from series of coefficients: their mean up to each row, equal before `min_dates` of them.

    Unless `signed` the smallest mean is taken off, so that the worst component has the weight 0.
    """
    values = np.array(list(ic.values()))
    known = np.isfinite(values)
    count = known.cumsum(axis=1)
    mean = np.where(known, values, 0.0).cumsum(axis=1) / np.maximum(count, 1)
    weight = mean if signed else mean - mean.min(axis=0)
    equal = (count < min_dates).any(axis=0) | (weight == 0.0).all(axis=0)
    return {f"{name}_weight": np.where(equal, 1.0, row) for name, row in zip(ic, weight, strict=True)}
