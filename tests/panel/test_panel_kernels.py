"""Kernels where nothing may be kept for the next process."""

from __future__ import annotations

from typing import Any

import numba
import pytest

from kairos.panel import kernels


def test_a_kernel_works_where_no_cache_can_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    def njit(**options: Any) -> Any:
        if options.get("cache"):
            raise RuntimeError("cannot cache function 'twice': no locator available for file 'here.py'")
        return numba.njit(**options)

    monkeypatch.setattr(kernels, "njit", njit)

    @kernels.kernel
    def twice(x: float) -> float:
        return 2.0 * x

    assert twice(4.0) == 8.0
    assert twice.stats.cache_path is None  # type: ignore[attr-defined]
