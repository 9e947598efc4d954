"""A store of its own for each test, and vendor files written from text."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kairos.equity.ingest import IngestReport, ingest
from kairos.settings import Settings
from kairos.settings import load as load_settings
from kairos.store import Store

TODAY = dt.date(2024, 1, 31)


@pytest.fixture(scope="session")
def settings() -> Settings:
    return load_settings()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store" / "kairos.duckdb", memory_limit="1GB", threads=2)


@pytest.fixture
def load(store: Store, settings: Settings) -> Callable[..., IngestReport]:
    """Load sources into the test's store, on the last day of January 2024."""

    def run(*sources: Path, **options: Any) -> IngestReport:
        chosen: dict[str, Any] = {"store": store, "today": TODAY} | options
        return ingest(sources, chosen["store"].db, settings=settings, **chosen)

    return run


@pytest.fixture
def vendor_file(tmp_path: Path) -> Callable[..., Path]:
    """Write a file into a folder of vendor files; text is UTF-8."""

    def write(name: str, content: str | bytes, folder: str = "vendor") -> Path:
        path = tmp_path / folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write
