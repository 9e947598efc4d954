"""A download that is killed: what is complete stays, what is not goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from download_server import Call, Handler, Vendor, once, slowly
from filelock import FileLock

import kairos
from kairos.equity.download import DownloadReport
from kairos.errors import WorkError

Get = Callable[..., DownloadReport]


def until(ready: Callable[[], bool]) -> None:
    limit = time.monotonic() + 20
    while not ready():
        assert time.monotonic() < limit, "nothing happens"
        time.sleep(0.01)


def test_killed_between_pages(get: Get, vendor: Vendor, tmp_path: Path) -> None:
    get("SEP", since="2024-01-01", out="whole")
    vendor.calls.clear()
    vendor.tricks.append(once(slowly(60), lambda call: call.cursor == "after-20"))
    words = ["equity", "download", "SEP", "--out", str(tmp_path / "out"), "--since", "2024-01-01"]
    sets = [f"equity.download.base_url={vendor.url}", "equity.download.page_size=10"]
    code = "import sys; from kairos.cli import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", code, *words, *(word for key in sets for word in ("--set", key))]
    here = str(Path(kairos.__file__).parents[1])  # the code under test, also from another folder
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": here}) as process:
        try:
            until(lambda: process.poll() is not None or any(c.cursor == "after-20" for c in vendor.calls))
        finally:
            process.kill()
    assert process.returncode == -signal.SIGKILL, "it ended by itself"
    out = tmp_path / "out"
    assert not (out / "SHARADAR_SEP.csv").exists()
    part = out / "SHARADAR_SEP.csv.part"
    with part.open("ab") as file:
        file.write(b"AAA,2024-01-21,half a row that the kill")
    vendor.calls.clear()
    report = get("SEP", since="2024-01-01")
    assert (report["sep"].state, report["sep"].rows) == ("resumed", 25)
    assert [call.cursor for call in vendor.pages("SEP")] == ["after-20"]
    assert (out / "SHARADAR_SEP.csv").read_bytes() == (tmp_path / "whole" / "SHARADAR_SEP.csv").read_bytes()
    assert not part.exists()


def interrupt(get: Get, vendor: Vendor) -> None:
    """Stop after two pages of three."""
    vendor.tricks.append(once(lambda h, c: h.fail(500), lambda call: call.cursor == "after-20"))
    with pytest.raises(WorkError):
        get("SEP", since="2024-01-01", retries=0)
    vendor.calls.clear()


def test_a_cursor_that_is_no_longer_known_starts_the_table_anew(get: Get, vendor: Vendor) -> None:
    def unknown(handler: Handler, call: Call) -> bool:
        return handler.fail(422, "QESx08", "invalid cursor")

    interrupt(get, vendor)
    vendor.tricks.append(once(unknown, lambda call: call.cursor == "after-20"))
    report = get("SEP", since="2024-01-01")
    assert (report["sep"].state, report["sep"].rows) == ("new", 25)
    assert [call.cursor for call in vendor.pages("SEP")] == ["after-20", None, "after-10", "after-20"]


def test_another_question_starts_anew(get: Get, vendor: Vendor) -> None:
    interrupt(get, vendor)
    assert get("SEP", since="2024-01-02")["sep"].rows == 24
    assert vendor.pages("SEP")[0].cursor is None


def test_a_whole_table_of_another_night_is_not_kept(get: Get, vendor: Vendor) -> None:
    vendor.table("TICKERS", "table ticker", ["SEP", "AAA"])
    vendor.table("METRICS", "ticker date", ["AAA", "2024-01-02"])
    vendor.tricks.append(once(lambda h, c: h.fail(500), lambda c: c.table == "METRICS" and not c.preview))
    with pytest.raises(WorkError):
        get("TICKERS", "METRICS", since="2024-01-01", retries=0)
    assert get("TICKERS", "METRICS", since="2024-01-02")["tickers"].state == "new"


@pytest.mark.parametrize("harm", ["shorter", "gone", "record"])
def test_remains_that_do_not_fit_start_anew(get: Get, vendor: Vendor, tmp_path: Path, harm: str) -> None:
    interrupt(get, vendor)
    part, record = (tmp_path / "out" / name for name in ("SHARADAR_SEP.csv.part", ".kairos-download.json"))
    if harm == "shorter":
        os.truncate(part, 50)
    elif harm == "gone":
        part.unlink()
    else:
        record.write_text(record.read_text()[:-20])
    assert get("SEP", since="2024-01-01")["sep"].rows == 25
    assert vendor.pages("SEP")[0].cursor is None
    lines = (tmp_path / "out" / "SHARADAR_SEP.csv").read_text().splitlines()
    assert len(lines) == len(set(lines)) == 26


@pytest.mark.parametrize("step", range(12))
def test_killed_at_any_write(
    get: Get, vendor: Vendor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Whatever rename the process dies at, the next run ends with the same file."""
    rename = Path.replace
    left = [step]

    def dying(self: Path, target: Path) -> Path:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", dying)
    try:
        get("SEP", since="2024-01-01")
    except KeyboardInterrupt:
        left[0] = 99
        assert get("SEP", since="2024-01-01")["sep"].rows == 25
    lines = (tmp_path / "out" / "SHARADAR_SEP.csv").read_text().splitlines()
    assert len(lines) == len(set(lines)) == 26
    record = json.loads((tmp_path / "out" / ".kairos-download.json").read_text())
    assert record["unfinished"] is False


def test_two_downloads_into_one_folder(get: Get, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with (
        FileLock(tmp_path / "out" / ".kairos-download.lock"),
        pytest.raises(WorkError, match="Another download is writing"),
    ):
        get("SEP", since="2024-01-01")
