from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture(params=[1, 2, 3])
def returns(request):
    """About three years of skewed, fat-tailed daily returns."""
    random = np.random.default_rng(request.param)
    return 0.0004 + 0.01 * random.standard_t(4, size=760) - 0.002 * (random.random(760) < 0.02)


@pytest.fixture
def dates(returns):
    weekdays = np.arange("2019-11-27", "2024-01-01", dtype="datetime64[D]")
    return weekdays[np.is_busday(weekdays)][: returns.size]
