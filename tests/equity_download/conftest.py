"""A vendor on this machine, a key in the environment, and a clock that nobody waits for."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from download_server import KEY, Vendor, serving

from kairos.equity.download import DownloadReport, download
from kairos.settings import load


@pytest.fixture(autouse=True)
def _environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NASDAQ_DATA_LINK_API_KEY", KEY)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    with serving(Vendor()) as running:
        days = [f"2024-01-{day:02}" for day in range(1, 26)]
        running.table(
            "SEP",
            "ticker date close lastupdated",
            *(["AAA", day, 10 + number / 8, day] for number, day in enumerate(days)),
        )
        yield running


@pytest.fixture
def waits() -> list[float]:
    """Seconds that were slept, one after the other."""
    return []


@pytest.fixture
def get(vendor: Vendor, tmp_path: Path, waits: list[float]) -> Callable[..., DownloadReport]:
    """Download into ``out`` with pages of ten rows; keywords are settings of the section."""

    def run(*tables: str, since: str | None = None, out: str = "out", **changes: Any) -> DownloadReport:
        keys = {"base_url": vendor.url, "page_size": 10, "calls_per_10s": 10_000, "timeout": "5s"} | changes
        start = dt.date.fromisoformat(since) if since else None
        sets = [f"equity.download.{key}={value}" for key, value in keys.items()]
        return download(tmp_path / out, tables, start, settings=load(overrides=sets), sleep=waits.append)

    return run
