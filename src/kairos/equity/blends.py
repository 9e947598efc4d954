"""How composites are computed: legs, blends, weights by regime and by past information coefficients."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kairos.equity.frame import Array, Inputs
from kairos.panel import blend, clipped_z, exponential, warmup
from kairos.settings import Composite

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
    def every(self) -> tuple[Leg, ...]:
        """All legs, those of the fallback included."""
        return (*self.legs, *self.fallback)

    @property
    def stored(self) -> tuple[Leg, ...]:
        """Legs that are columns of the table: those that aren't the column of another composite already."""
        return tuple(dict.fromkeys(leg for leg in self.every if leg.name != leg.composite))

    @property
    def least(self) -> int:
        """Number of components that must exist."""
        return self.entry.min_components or len(self.legs)

    @property
    def results(self) -> tuple[str, ...]:
        """Its columns beside the legs."""
        more = (f"{self.name}_exposure", f"{self.name}_regime") if self.entry.exposure else ()
        return (self.name, *more)

    @property
    def weights_table(self) -> str:
        """The table of its weights, empty where they are fixed."""
        return f"weights_{self.name.removeprefix('alpha_')}" if self.entry.weights == "ic" else ""

    @property
    def weight_columns(self) -> tuple[str, ...]:
        """Columns of that table, one for each leg."""
        table = self.weights_table
        return tuple(f"{table}.{plain(leg)}_weight" for leg in self.legs) if table else ()

    @property
    def digest(self) -> str:
        """Hash of the definition."""
        return hashlib.blake2b(repr(self).encode(), digest_size=8).hexdigest()


def plain(leg: Leg) -> str:
    """Name of a leg without the mark of a z-score."""
    return leg.name.removesuffix("_z")


def memory(smooth: float) -> int:
    """Sessions after which an exponential average forgets, over the worst pattern of gaps."""
    if not smooth:
        return 0
    keeps = 1.0 - smooth
    gaps = np.arange(1, 50)
    aged = (keeps**gaps / (smooth + keeps**gaps)) ** (1.0 / gaps)
    return warmup(1.0 - float(max(aged.max(), keeps)))


def compute_blends(x: Inputs, blends: Sequence[Blend]) -> Mapping[str, Array]:
    """Columns of a table of composites: the legs of each, and what is blended of them.

    Parameters
    ----------
    x : Inputs
        Panels (T, N) of the legs' sources; what is absent is missing everywhere.
    blends : sequence of Blend
        In an order in which they can be computed.
    """
    out: dict[str, Array] = {}
    for b in blends:
        legs = {leg: _standardised(x, leg, b.entry.legs, out) for leg in dict.fromkeys(b.every)}
        mixed = blend([legs[leg] for leg in b.legs], _weights_of(x, b), b.least, b.entry.missing)
        if b.fallback:
            weights = [leg.weight for leg in b.fallback]
            instead = blend([legs[leg] for leg in b.fallback], weights, len(b.fallback))
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
    """A leg over the members of the date."""
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
        return [x[column] for column in b.weight_columns]
    if b.entry.regimes:
        none = (np.nan,) * len(b.legs)
        rows = np.array([b.entry.regimes.get(label, none) for label in x[REGIME].tolist()])
        return list(rows.T.reshape(len(b.legs), -1))
    return [leg.weight for leg in b.legs]


def past_weights(ic: Mapping[str, Array], min_dates: int, signed: bool) -> dict[str, Array]:
    """Weights (T,) from series of coefficients: their mean up to each row, equal before `min_dates` of them.

    Unless `signed` the smallest mean is taken off, so that the worst component has the weight 0.

    Examples
    --------
    >>> ic = {"a": np.array([0.1, 0.3]), "b": np.array([0.2, 0.0])}
    >>> {name: weight.round(2).tolist() for name, weight in past_weights(ic, 2, signed=False).items()}
    {'a_weight': [1.0, 0.1], 'b_weight': [1.0, 0.0]}
    """
    values = np.array(list(ic.values()))
    known = np.isfinite(values)
    count = known.cumsum(axis=1)
    mean = np.where(known, values, 0.0).cumsum(axis=1) / np.maximum(count, 1)
    weight = mean if signed else mean - mean.min(axis=0)
    equal = (count < min_dates).any(axis=0) | (weight == 0.0).all(axis=0)
    return {f"{name}_weight": np.where(equal, 1.0, row) for name, row in zip(ic, weight, strict=True)}
