"""From a feature table's declaration to its parts: compute on panels, store row by row."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa

from kairos.equity.context import PRICES, Context
from kairos.equity.declare import FeatureTable, Params, Scope
from kairos.equity.frame import Array, Inputs
from kairos.errors import WorkError

ARROW_TYPES = {"FLOAT": pa.float32(), "DOUBLE": pa.float64(), "TINYINT": pa.int8()}
BLOCK = 64
"""Listings that are computed together: ten years of one panel are 1.3 MB."""


def feature_parts(context: Context, declaration: FeatureTable, params: Params) -> Iterator[pa.Table]:
    """Compute a feature table and cut it into the parts of the price base."""
    panels = context.panels(PRICES)
    inputs, frame = panels.inputs((*declaration.inputs, *declaration.optional)), panels.frame
    if declaration.scope is Scope.TICKER:
        made = _in_blocks(declaration, params, inputs, context.settings.run.threads)
    else:
        made = _computed(declaration, params, inputs)
    columns = declaration.columns(params)
    flat = {c.name: (made[c.name].T.reshape(-1), ARROW_TYPES[c.dtype]) for c in columns}

    def parts() -> Iterator[pa.Table]:
        for part in frame.parts:
            values = {name: _column(panel[part.cell], kind) for name, (panel, kind) in flat.items()}
            yield pa.table({"ticker": part.keys["ticker"], "date": part.keys["date"], **values})

    return parts()


def _in_blocks(
    declaration: FeatureTable, params: Params, inputs: Inputs, threads: int
) -> dict[str, np.ndarray[Any, Any]]:
    """Compute a table that never looks across tickers block by block.

    The intermediate panels of a block stay in the cache and in memory that is used again; only the results,
    in the precision in which they are stored, are kept for all tickers.
    """
    T, N = inputs.frame.shape
    kinds = {c.name: ARROW_TYPES[c.dtype] for c in declaration.columns(params)}
    stored = {name: np.float32 if kind == pa.float32() else np.float64 for name, kind in kinds.items()}
    made = {name: np.empty((T, N), kind, order="F") for name, kind in stored.items()}

    def fill(lo: int) -> None:
        hi = min(lo + BLOCK, N)
        for name, panel in _computed(declaration, params, inputs.block(lo, hi)).items():
            with np.errstate(over="ignore"):
                made[name][:, lo:hi] = panel

    inputs.frame.listed  # noqa: B018 - made once, before threads ask for it
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(fill, range(0, N, BLOCK)))
    return made


def _computed(declaration: FeatureTable, params: Params, inputs: Inputs) -> dict[str, Array]:
    """The columns of a table; WorkError when they are not the declared ones."""
    made = {name: np.asfortranarray(panel) for name, panel in declaration.compute(inputs, params).items()}
    odd = set(made) ^ {column.name for column in declaration.columns(params)}
    if odd:
        names = ", ".join(sorted(odd))
        raise WorkError(f"{declaration.name}: computed and declared columns differ in {names}")
    return made


def _column(values: np.ndarray[Any, Any], kind: pa.DataType) -> pa.Array:
    """Column of a part: NaN and what overflows the type are NULL."""
    if pa.types.is_floating(kind):
        with np.errstate(over="ignore"):
            cast = values.astype(kind.to_pandas_dtype(), copy=False)
        return pa.array(cast, kind, mask=~np.isfinite(cast))
    missing = np.isnan(values)
    return pa.array(np.where(missing, 0, values).astype(kind.to_pandas_dtype()), kind, mask=missing)
