"""Composite alphas: entries of ``[equity.composites]`` become tables, without code of their own.

A composite takes columns of other tables (its legs), standardises each over the members of the date, blends
them, and standardises the blend. All else is an option of the entry: smoothing, weights by regime or by past
information coefficients, an exposure, a fallback. Time: a value at t uses what its components, the regime and
the weights of t use; weights by information coefficients look at returns that had ended by then.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import Any

from kairos.equity.blends import REGIME, Blend, Leg, compute_blends, memory, past_weights, plain
from kairos.equity.declare import Column, DateTable, Declaration, FeatureTable, Params, Scope
from kairos.equity.frame import Array, Inputs
from kairos.equity.tables.regime_history_academic import REGIMES
from kairos.errors import InputError
from kairos.evaluation.information import information_coefficient
from kairos.panel import change, lag
from kairos.settings import Composite, Settings

Columns = Mapping[str, Mapping[str, str]]
"""Known columns by table, and why one can't be a component (empty where it can)."""

KEY = ("ticker", "date")


@dataclass(frozen=True, kw_only=True)
class CompositeTable(FeatureTable):
    """One table of composites, in an order in which they can be computed."""

    blends: tuple[Blend, ...] = field(default=())

    @property
    def work(self) -> Callable[..., Any]:
        """The function that computes every composite."""
        return compute_blends

    def lacks(self, exists: Callable[[str], bool]) -> tuple[str, ...]:
        """What is missing so that none of the composites has enough components."""
        missing = super().lacks(exists)
        if missing or any(self._can(b, exists) for b in self.blends):
            return missing
        outside = (leg.source for b in self.blends for leg in b.every if not leg.composite)
        absent = [source for source in outside if not exists(source)]
        tables = {source: source.partition(".")[0] for source in absent}
        return tuple(dict.fromkeys(source if exists(tables[source]) else tables[source] for source in absent))

    def _can(self, b: Blend, exists: Callable[[str], bool]) -> bool:
        by_name = {other.name: other for other in self.blends}

        def there(leg: Leg) -> bool:
            return self._can(by_name[leg.composite], exists) if leg.composite else exists(leg.source)

        if b.weights_table and not exists(b.weights_table):
            return False
        return sum(map(there, b.legs)) >= b.least or (bool(b.fallback) and all(map(there, b.fallback)))

    def digests(self, _: Params, __: Mapping[str, Any]) -> dict[str, str]:
        """Hash of each composite's definition, those of its table that it uses included."""
        found: dict[str, str] = {}
        by_name: dict[str, str] = {}
        for b in self.blends:
            inside = [by_name[leg.composite] for leg in b.every if leg.composite]
            by_name[b.name] = _hash(b.digest, *inside)
            found.update(dict.fromkeys(b.results, by_name[b.name]))
            found.update(
                {leg.name: _hash(leg.source, str(leg.sign), b.entry.legs, *inside) for leg in b.stored}
            )
        return found


@dataclass(frozen=True, kw_only=True)
class WeightsTable(DateTable):
    """The weights of one composite."""

    blend: Blend

    def digests(self, _: Params, extra: Mapping[str, Any]) -> dict[str, str]:
        """Hash of what decides about the weights: the legs, and how coefficients become weights."""
        legs = [(leg.source, leg.sign, leg.name) for leg in self.blend.legs]
        return {"*": _hash(json.dumps([legs, self.blend.entry.ic.model_dump(), dict(extra)], sort_keys=True))}


def _hash(*texts: str) -> str:
    return hashlib.blake2b(json.dumps(texts).encode(), digest_size=8).hexdigest()


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
    by_table: dict[str, list[Blend]] = defaultdict(list)
    for b in _ordered(_looked_up(settings, declared)):
        by_table[b.entry.table].append(b)
    found: dict[str, Declaration] = {}
    for table, inside in by_table.items():
        if table in declared or not table.startswith("feat_") or table.startswith("feat_matrix"):
            raise InputError(
                f"{_key(inside[0].name)}.table = {table!r}: name a table of its own that begins with feat_"
            )
        found[table] = _table(table, tuple(inside))
        found.update({b.weights_table: _weights(b) for b in inside if b.weights_table})
    _check_tables(found)
    return found


def _key(name: str) -> str:
    return f"equity.composites.{name}"


def _looked_up(settings: Settings, declared: Mapping[str, Declaration]) -> dict[str, Blend]:
    """Every composite with its components."""
    entries = {name: settings.equity.composite(name) for name in settings.equity.composites}
    columns = _known_columns(settings, declared)
    for entry in entries.values():
        if not entry.components:
            raise InputError(
                f'{_key(entry.name)}: no components; write components = {{ "table.column" = 1.0 }}'
            )
        parts = (*entry.components.items(), *entry.fallback.items())
        names = (component.name or _leg_name(source) for source, component in parts)
        made = dict.fromkeys((*Blend(entry, (), ()).results, *names), "")
        columns[entry.table] = {**made, **columns.get(entry.table, {})}
    blends = {}
    for entry in entries.values():
        _check_weights(entry)
        legs = tuple(_leg(entry, "components", source, entries, columns) for source in entry.components)
        fallback = tuple(_leg(entry, "fallback", source, entries, columns) for source in entry.fallback)
        blends[entry.name] = Blend(entry, legs, fallback)
    return blends


def _known_columns(settings: Settings, declared: Mapping[str, Declaration]) -> dict[str, Mapping[str, str]]:
    """Columns of the declared feature tables, by the settings and by default.

    A shipped composite names the usual column of a window; where the window is set otherwise the column is
    missing, which is said when the composite can't be built, and not unknown.
    """
    gap = settings.equity.listing.max_gap
    found: dict[str, Mapping[str, str]] = {}
    for name, table in declared.items():
        if isinstance(table, FeatureTable):
            own = table.resolve(settings.equity.tables.get(name, {}))
            ahead = "looks ahead: it holds returns after its date" if table.forward(own, gap) else ""
            found[name] = {
                column.name: ahead or ("holds words" if column.dtype == "VARCHAR" else "")
                for params in (table.params(), own)
                for column in table.columns(params)
            }
    return found


def _leg(entry: Composite, part: str, source: str, entries: Mapping[str, Composite], columns: Columns) -> Leg:
    """One entry of ``components`` or ``fallback``: a composite by its name, or ``table.column``."""
    where, given = f"{_key(entry.name)}.{part}", getattr(entry, part)[source]
    name = given.name or _leg_name(source)
    if "." not in source:
        if source not in entries:
            hint = _nearest(source, entries)
            raise InputError(f"{where}: there is no composite {source!r}{hint}; a column is table.column")
        other = entries[source].table
        inside = source if other == entry.table else ""
        return Leg(f"{other}.{source}", name, given.weight, given.sign, inside)
    table, _, column = source.partition(".")
    if table not in columns:
        raise InputError(f"{where}: there is no feature table {table!r}{_nearest(table, columns)}")
    if column not in columns[table]:
        hint = _nearest(column, columns[table])
        raise InputError(f"{where}: table {table} has no column {column!r}{hint}")
    if why := columns[table][column]:
        raise InputError(f"{where}: {source} {why}, and can't be a component")
    inside = column if table == entry.table and column in entries else ""
    if table == entry.table and not inside:
        raise InputError(f"{where}: {source} is a component in its own table; name what it is made of")
    return Leg(source, name, given.weight, given.sign, inside)


def _leg_name(source: str) -> str:
    column = source.rpartition(".")[2]
    return column if column.endswith("_z") else f"{column}_z"


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {near[0]}?)" if near else ""


def _check_weights(entry: Composite) -> None:
    """Refuse weights that sum to zero, are too many or too few, or come from two sources."""
    where, n = _key(entry.name), len(entry.components)
    if entry.weights == "ic" and entry.regimes:
        raise InputError(f"{where}: weights = 'ic' and regimes exclude each other")
    if entry.min_components > n:
        raise InputError(f"{where}.min_components = {entry.min_components}, and there are {n} components")
    for part, labels in (("regimes", entry.regimes), ("exposure", entry.exposure)):
        for label in labels:
            if label not in REGIMES:
                hint = _nearest(label, REGIMES)
                raise InputError(f"{where}.{part}.{label}: there is no such regime{hint}")
    sets = {f"regimes.{label}": list(weights) for label, weights in entry.regimes.items()}
    for label, weights in sets.items():
        if len(weights) != n:
            raise InputError(f"{where}.{label}: {len(weights)} weights for {n} components")
    if entry.weights == "fixed" and not entry.regimes:
        sets["components"] = [component.weight for component in entry.components.values()]
    if entry.fallback:
        sets["fallback"] = [component.weight for component in entry.fallback.values()]
    for part, given in sets.items():
        if abs(sum(given)) < 1e-12:
            raise InputError(f"{where}.{part}: the weights sum to zero; `sign = -1` turns a component round")


def _ordered(blends: Mapping[str, Blend]) -> list[Blend]:
    """Composites after those that they use."""
    owners = {
        f"{b.entry.table}.{column}": name
        for name, b in blends.items()
        for column in (*(leg.name for leg in b.stored), *b.results)
    }
    needs: dict[str, list[str]] = {}
    for name, b in blends.items():
        needs[name] = [owners[leg.source] for leg in b.every if leg.source in owners]
        if name in needs[name]:
            raise InputError(f"{_key(name)}.components: the composite is a component of itself")
    try:
        return [blends[name] for name in TopologicalSorter(needs).static_order()]
    except CycleError as error:
        circle = " → ".join(reversed(error.args[1]))
        where = f"{_key(error.args[1][0])}.components"
        raise InputError(f"{where}: the composites need each other ({circle})") from None


def _check_tables(found: Mapping[str, Declaration]) -> None:
    """Refuse tables that need each other, though none of their composites do."""
    needs = {name: [other for other in table.reads if other in found] for name, table in found.items()}
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        circle = " → ".join(reversed(error.args[1]))
        raise InputError(
            f"equity.composites: the tables need each other ({circle}); give one of their composites another "
            "`table`"
        ) from None


def _table(name: str, blends: tuple[Blend, ...]) -> CompositeTable:
    """Declaration of one table of composites."""
    columns = _columns(blends)
    outside = [leg.source for b in blends for leg in b.every if not leg.composite]
    weights = [column for b in blends for column in b.weight_columns]
    regimes = [REGIME] if any(b.entry.regimes or b.entry.exposure for b in blends) else []
    smooth = [b for b in blends if b.entry.smooth]
    goes_on = bool(smooth) and all(b.entry.standardise == "none" for b in smooth)  # else it isn't stored
    history = max(memory(b.entry.smooth) for b in blends)
    return CompositeTable(
        name=name,
        doc=f"Composite alphas, entries of the configuration, with their components: "
        f"{', '.join(b.name for b in blends)}.",
        inputs=("sep_base_academic.member", *regimes),
        optional=tuple(dict.fromkeys([*outside, *weights])),
        columns=lambda _: columns,
        history=lambda _, __: history,
        resumed=(lambda _, __: history) if goes_on else None,
        scope=Scope.BOTH,
        compute=lambda x, _: compute_blends(x, blends),
        blends=blends,
    )


def _columns(blends: tuple[Blend, ...]) -> tuple[Column, ...]:
    """Columns of a table of composites; two of them can share a leg, but not a name."""
    scales = {"z": "z of ", "z3": "z, clipped to ±3, of ", "raw": ""}
    found: dict[str, Column] = {}
    owner: dict[str, tuple[Any, ...]] = {}

    def own(b: Blend, column: Column, *what: Any) -> None:
        where, name = f"{_key(b.name)}: its table {b.entry.table}", column.name.lower()
        if name in KEY:
            raise InputError(f"{where} has {column.name!r} as its key; no other column can have this name")
        if owner.setdefault(name, (column.name, *what)) != (column.name, *what):
            raise InputError(f"{where} has another column {column.name!r}; give the component a `name`")
        found[column.name] = column

    for b in blends:
        for leg in b.stored:
            text = f"{scales[b.entry.legs]}{'-' if leg.sign < 0 else ''}{leg.source}"
            own(b, Column(leg.name, text), leg.source, leg.sign, b.entry.legs)
        for column, formula in zip(b.results, _formulas(b), strict=True):
            alpha = column == b.name
            kind = "DOUBLE" if alpha and b.entry.smooth else "FLOAT"
            own(b, Column(column, formula, dtype=kind, sign=1 if alpha else 0), b.name)
    return tuple(found.values())


def _formulas(b: Blend) -> tuple[str, ...]:
    """The columns of a composite beside its legs, as a reader would write them."""
    entry = b.entry
    fixed = entry.weights == "fixed" and not entry.regimes
    text = f"weighted mean of {_sum(b.legs) if fixed else ', '.join(leg.name for leg in b.legs)}"
    text += f", weights of {b.weights_table}" if b.weights_table else ""
    text += ", weights by regime" if entry.regimes else ""
    text += "; a missing one counts as 0" if entry.missing == "neutral" else f"; at least {b.least} of them"
    text += f"; without it that of {_sum(b.fallback)}" if b.fallback else ""
    text += f"; exponential average with weight {entry.smooth:g} of today" if entry.smooth else ""
    text += {"z": "; z", "z3": "; z clipped to ±3", "none": ""}[entry.standardise]
    more = ("factor by regime, 1 in others", f"{b.name} · {b.name}_exposure") if entry.exposure else ()
    return (text, *more)


def _sum(legs: tuple[Leg, ...]) -> str:
    return ", ".join(f"{leg.weight:g}·{leg.name}" for leg in legs)


def _weights(b: Blend) -> DateTable:
    """The weights by information coefficients of one composite: a table of dates that anybody can look at."""
    ic, names, closeadj = b.entry.ic, [plain(leg) for leg in b.legs], "sep_base_academic.closeadj"
    total = ic.lag + ic.horizon

    def measure(x: Inputs, _: Params) -> Mapping[str, Array]:
        """Row t: the rank correlation of a leg on t - lag - h with the returns of the h sessions after it."""
        member = lag(x.members, total)
        forward = lag(change(x[closeadj], ic.horizon, within=max(x.max_gap, ic.horizon)), ic.lag)
        return {
            f"{name}_ic": information_coefficient(lag(leg.sign * x[leg.source], total), forward, member)
            for name, leg in zip(names, b.legs, strict=True)
        }

    def derive(s: Mapping[str, Any], _: Params) -> Mapping[str, Any]:
        return past_weights({name: s[f"{name}_ic"] for name in names}, ic.min_dates, ic.signed)

    measure.__module__ = __name__
    how = "the mean itself" if ic.signed else "its excess over the smallest one"
    known = f"known {ic.lag} sessions after the {ic.horizon} sessions of the return"
    told = f"rank correlation with the return that follows, {known}"
    weighs = f"mean of the coefficients up to t: {how}; equal before {ic.min_dates} dates"
    columns = (
        *(Column(f"{name}_ic", told, dtype="DOUBLE") for name in names),
        *(Column(f"{name}_weight", weighs, dtype="DOUBLE") for name in names),
    )
    return WeightsTable(
        name=b.weights_table,
        doc=f"Weights of {b.name}: by how well each component foretold returns. Row t looks at returns "
        f"that had ended {ic.lag} sessions before t.",
        inputs=(*(leg.source for leg in b.legs), closeadj, "sep_base_academic.member"),
        columns=lambda _: columns,
        uses=("equity.listing",),
        history=lambda _, gap: total + max(gap, ic.horizon) + ic.horizon + 1,
        measure=measure,
        derive=derive,
        blend=b,
    )
