"""From a feature table's declaration to its parts: compute on panels, store row by row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa

from kairos.equity.context import PRICES, Context
from kairos.equity.declare import FeatureTable, Params, Scope
from kairos.equity.frame import Array, Inputs
from kairos.errors import WorkError
from kairos.panel import pick

ARROW_TYPES = {"FLOAT": pa.float32(), "DOUBLE": pa.float64(), "TINYINT": pa.int8()}
BLOCK = 64
"""Listings that are computed together: ten years of one panel are 1.3 MB."""


def feature_parts(context: Context, declaration: FeatureTable, params: Params) -> Iterator[pa.Table]:
    """Compute a feature table and cut it into the parts of the price base."""
    panels = context.panels(PRICES)
    inputs, frame = panels.inputs((*declaration.inputs, *declaration.optional)), panels.frame
    kinds = {c.name: ARROW_TYPES[c.dtype] for c in declaration.columns(params)}
    rows = _computed_rows(declaration, params, inputs, kinds, context.settings.run.threads)

    def parts() -> Iterator[pa.Table]:
        for part, made in zip(frame.parts, rows, strict=True):
            keys = part.written_keys
            values = {name: _column(made.pop(name), kind) for name, kind in kinds.items()}
            yield pa.table({"ticker": keys["ticker"], "date": keys["date"], **values})

    return parts()


def _computed_rows(
    declaration: FeatureTable,
    params: Params,
    inputs: Inputs,
    kinds: Mapping[str, pa.DataType],
    threads: int,
) -> list[dict[str, np.ndarray[Any, Any]]]:
    """Columns of a table at the stored rows, part by part, in the precision in which they are stored.

    A table that never looks across tickers is computed block by block: the intermediate panels of a block
    stay in the cache and in memory that is used again. The stored rows of a block of listings stand side by
    side in every part, for both are in the order of the tickers.
    """
    frame = inputs.frame
    T, N = frame.shape
    stored = {name: np.float64 if kind == pa.float64() else np.float32 for name, kind in kinds.items()}
    rows = [{name: np.empty(len(part.cell), kind) for name, kind in stored.items()} for part in frame.parts]
    whole = None if declaration.scope is Scope.TICKER else _computed(declaration, params, inputs)

    def fill(lo: int) -> None:
        hi = min(lo + BLOCK, N)
        block = (
            _computed(declaration, params, inputs.block(lo, hi))
            if whole is None
            else {name: panel[:, lo:hi] for name, panel in whole.items()}
        )
        for part, made in zip(frame.parts, rows, strict=True):
            a, b = np.searchsorted(part.cell, np.array([lo * T, hi * T], part.cell.dtype))  # else a copy
            for name, panel in block.items():
                pick(panel, part.cell[a:b], lo * T, made[name][a:b])

    frame.listed  # noqa: B018 - made once, before threads ask for it
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(fill, range(0, N, BLOCK)))
    return rows


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
