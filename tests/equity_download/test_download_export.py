"""Bulk exports: waiting until they are ready, going on in the middle, checking the zip."""

from __future__ import annotations

import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from download_server import Call, Handler, Trick, Vendor, once

from kairos.equity.download import DownloadReport
from kairos.errors import WorkError

Get = Callable[..., DownloadReport]


def cut(handler: Handler, call: Call) -> bool:
    """Send a third of the file, or of what is asked for."""
    body = handler.vendor.tables[call.table].zip(call.table)
    start = int(call.headers.get("range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
    start = start if handler.vendor.ranges else 0
    rest = body[start:]
    marks = {"ETag": handler.vendor.etag} if handler.vendor.etag else {}
    if start:
        marks["Content_Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
    return handler.cut(rest, len(rest), len(rest) // 3, 206 if start else 200, **marks)


def always(call: Call) -> bool:
    return True


@pytest.fixture
def zipped(vendor: Vendor) -> bytes:
    return vendor.tables["SEP"].zip("SEP")


def test_an_export_is_waited_for(
    get: Get, vendor: Vendor, waits: list[float], zipped: bytes, tmp_path: Path
) -> None:
    report = get("SEP", poll="30s")
    file = tmp_path / "out" / "SHARADAR_SEP.zip"
    assert file.read_bytes() == zipped
    assert waits == [30, 30]
    done = report["sep"]
    assert (done.way, done.state, done.asked, done.rows) == ("export", "new", "everything", 25)
    assert (done.bytes, done.file, done.calls) == (len(zipped), str(file), 4)


def test_an_export_that_never_gets_ready(get: Get, vendor: Vendor, waits: list[float]) -> None:
    vendor.not_ready = 1000
    with pytest.raises(WorkError, match=r"still 'creating' after 600 s \(equity\.download\.export_wait\)"):
        get("SEP", poll="60s", export_wait="10min")
    assert sum(waits) == 600


@pytest.mark.parametrize("etag", ['"v1"', 'W/"v1"', None])
def test_a_cut_file_is_continued(
    get: Get, vendor: Vendor, zipped: bytes, tmp_path: Path, etag: str | None
) -> None:
    vendor.etag = etag
    vendor.host_tricks.append(once(cut, always, times=2))
    assert get("SEP")["sep"].rows == 25
    assert (tmp_path / "out" / "SHARADAR_SEP.zip").read_bytes() == zipped
    ranges = [call.headers.get("range") for call in vendor.host_calls]
    third = len(zipped) // 3
    assert ranges == [None, f"bytes={third}-", f"bytes={third + (len(zipped) - third) // 3}-"]
    assert {call.headers.get("if-range") for call in vendor.host_calls[1:]} == (
        {etag} if etag == '"v1"' else {None}
    )


def test_a_run_that_gave_up_is_continued(get: Get, vendor: Vendor, zipped: bytes, tmp_path: Path) -> None:
    vendor.host_tricks.append(once(cut, always))
    with pytest.raises(WorkError, match="bulk export: the connection failed"):
        get("SEP", retries=0)
    part = tmp_path / "out" / "SHARADAR_SEP.zip.part"
    assert part.read_bytes() == zipped[: len(zipped) // 3]
    assert not (tmp_path / "out" / "SHARADAR_SEP.zip").exists()
    assert get("SEP")["sep"].state == "resumed"
    assert vendor.host_calls[-1].headers["range"] == f"bytes={len(zipped) // 3}-"
    assert (tmp_path / "out" / "SHARADAR_SEP.zip").read_bytes() == zipped
    assert not part.exists()


def test_a_host_without_ranges_starts_anew(get: Get, vendor: Vendor, zipped: bytes, tmp_path: Path) -> None:
    vendor.ranges = False
    vendor.host_tricks.append(once(cut, always, times=2))
    assert get("SEP")["sep"].state == "new"
    assert (tmp_path / "out" / "SHARADAR_SEP.zip").read_bytes() == zipped


def test_another_file_behind_the_link_starts_anew(get: Get, vendor: Vendor, tmp_path: Path) -> None:
    def change(handler: Handler, call: Call) -> bool:
        handler.vendor.tables["SEP"].rows.reverse()
        handler.vendor.etag = '"v2"'
        return False

    vendor.host_tricks.append(once(cut, always))
    vendor.host_tricks.append(once(change, lambda call: "range" in call.headers))
    assert get("SEP")["sep"].rows == 25
    assert (tmp_path / "out" / "SHARADAR_SEP.zip").read_bytes() == vendor.tables["SEP"].zip("SEP")


def test_another_state_of_the_table_starts_anew(get: Get, vendor: Vendor, tmp_path: Path) -> None:
    vendor.host_tricks.append(once(cut, always))
    with pytest.raises(WorkError):
        get("SEP", retries=0)
    vendor.snapshot = "2024-02-01 22:00:00 UTC"
    vendor.tables["SEP"].rows.reverse()
    assert get("SEP")["sep"].state == "new"
    assert "range" not in vendor.host_calls[-1].headers
    assert (tmp_path / "out" / "SHARADAR_SEP.zip").read_bytes() == vendor.tables["SEP"].zip("SEP")


def test_a_part_that_is_complete_already(get: Get, vendor: Vendor, zipped: bytes, tmp_path: Path) -> None:
    vendor.host_tricks.append(once(cut, always))
    with pytest.raises(WorkError):
        get("SEP", retries=0)
    (tmp_path / "out" / "SHARADAR_SEP.zip.part").write_bytes(zipped)
    assert get("SEP")["sep"].state == "resumed"
    assert (tmp_path / "out" / "SHARADAR_SEP.zip").read_bytes() == zipped


def test_a_part_that_is_too_long_starts_anew(get: Get, vendor: Vendor, zipped: bytes, tmp_path: Path) -> None:
    vendor.host_tricks.append(once(cut, always))
    with pytest.raises(WorkError):
        get("SEP", retries=0)
    (tmp_path / "out" / "SHARADAR_SEP.zip.part").write_bytes(zipped + b"more")
    assert get("SEP")["sep"].state == "new"
    assert (tmp_path / "out" / "SHARADAR_SEP.zip").read_bytes() == zipped


def damage(handler: Handler, call: Call) -> bool:
    body = bytearray(handler.vendor.tables["SEP"].zip("SEP"))
    body[100] ^= 0xFF
    handler.reply(200, bytes(body))
    return True


def page_of_an_error(handler: Handler, call: Call) -> bool:
    handler.reply(200, b"<Error>try later</Error>")
    return True


def overloaded(handler: Handler, call: Call) -> bool:
    return handler.fail(503, Retry_After="3")


@pytest.mark.parametrize("trick", [damage, page_of_an_error, overloaded, lambda h, c: h.reset()])
def test_a_bad_file_is_fetched_again(
    get: Get, vendor: Vendor, zipped: bytes, tmp_path: Path, trick: Trick
) -> None:
    vendor.host_tricks.append(once(trick, always, times=2))
    get("SEP")
    assert (tmp_path / "out" / "SHARADAR_SEP.zip").read_bytes() == zipped


def test_a_file_that_stays_bad_is_an_error(get: Get, vendor: Vendor, tmp_path: Path) -> None:
    vendor.host_tricks.append(once(damage, always, times=99))
    with pytest.raises(WorkError, match=r"the zip is damaged \(.*CRC.*\); 3 attempts"):
        get("SEP", retries=2)
    assert not list((tmp_path / "out").glob("SHARADAR*"))


def test_random_damage_never_passes(get: Get, vendor: Vendor, zipped: bytes, tmp_path: Path) -> None:
    draw = random.Random(1)

    def scramble(handler: Handler, call: Call) -> bool:
        body = bytearray(zipped)
        for _ in range(5):
            body[draw.randrange(len(body))] = draw.randrange(256)
        handler.reply(200, bytes(body[: draw.randrange(len(body))]))
        return True

    vendor.host_tricks.append(once(scramble, always, times=40))
    get("SEP", retries=50, max_wait="2h")
    with zipfile.ZipFile(tmp_path / "out" / "SHARADAR_SEP.zip") as archive:
        assert archive.read(archive.namelist()[0]) == vendor.tables["SEP"].csv()


def test_an_expired_link_is_asked_for_again(get: Get, vendor: Vendor) -> None:
    vendor.host_tricks.append(once(lambda handler, call: handler.fail(403), always))
    assert get("SEP")["sep"].rows == 25
    assert [call.query["signature"] for call in vendor.host_calls] == ["1", "2"]


def test_an_export_without_rows_is_no_file(get: Get, vendor: Vendor, tmp_path: Path) -> None:
    vendor.table("METRICS", "ticker date")
    assert get("METRICS")["metrics"].state == "empty"
    assert not list((tmp_path / "out").glob("SHARADAR*"))


def test_tables_that_were_complete_are_kept(get: Get, vendor: Vendor) -> None:
    vendor.table("TICKERS", "table ticker", ["SEP", "AAA"])
    vendor.table("METRICS", "ticker date")
    vendor.table("SP500", "date ticker", ["2024-01-02", "AAA"])
    vendor.host_tricks.append(once(cut, lambda call: call.table == "SP500"))
    with pytest.raises(WorkError):
        get("TICKERS", "METRICS", "SP500", retries=0)
    before = len(vendor.host_calls)
    report = get("TICKERS", "METRICS", "SP500")
    assert [done.state for done in report.tables] == ["kept", "empty", "resumed"]
    assert [call.table for call in vendor.host_calls[before:]] == ["SP500"]
    again = get("TICKERS", "METRICS", "SP500")
    assert [done.state for done in again.tables] == ["new", "empty", "new"], "a finished run is not continued"


def test_an_old_interruption_is_not_continued(get: Get, vendor: Vendor) -> None:
    vendor.host_tricks.append(once(cut, always))
    with pytest.raises(WorkError):
        get("SEP", retries=0)
    get("SEP", resume_within="0s")
    assert "range" not in vendor.host_calls[-1].headers
