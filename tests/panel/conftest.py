"""Data with everything that real panels have, and worse."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from kairos.panel import Array


def make_messy(rows: int = 90, seed: int = 7) -> Array:
    """Columns: complete, gaps, long gap, constant with gaps, one value, nothing, infinities, ties."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 8)) + 3.0
    x[rng.random(rows) < 0.3, 1] = np.nan
    x[rows // 4 : rows // 2, 2] = np.nan
    x[:, 3] = np.where(rng.random(rows) < 0.2, np.nan, 0.1)
    x[:, 4] = np.nan
    x[rows // 3, 4] = 2.5
    x[:, 5] = np.nan
    x[rng.random(rows) < 0.15, 6] = np.inf
    x[rng.random(rows) < 0.15, 6] = -np.inf
    x[:, 7] = rng.integers(1, 4, size=rows)
    return np.asfortranarray(x)


@pytest.fixture
def messy() -> Array:
    return make_messy()


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20)
