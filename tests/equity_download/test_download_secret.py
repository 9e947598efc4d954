"""The key goes to the service, and nowhere else."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from download_server import KEY, Call, Handler, Vendor, once

from kairos.equity.download import DownloadReport
from kairos.errors import KairosError

Get = Callable[..., DownloadReport]


def everything_of(error: BaseException | None) -> str:
    """Texts of an error and of all that led to it."""
    found = ""
    while error is not None:
        found += f"{error} {error!r} {error.args}"
        error = error.__cause__ or error.__context__
    return found


def assert_secret(vendor: Vendor, folder: Path, *texts: str) -> None:
    assert all(KEY not in text for text in texts)
    for file in folder.rglob("*"):
        assert not file.is_file() or KEY.encode() not in file.read_bytes(), file
    assert vendor.calls
    for call in vendor.calls:
        assert call.headers["x-api-token"] == KEY
        assert KEY not in call.line, "an address may be logged on the way"
    for call in vendor.host_calls:
        assert KEY not in f"{call.headers} {call.line}"


def test_downloads(
    get: Get,
    vendor: Vendor,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    report = get("SEP")
    get("SEP", since="2024-01-01", out="news")
    assert vendor.host_calls
    assert_secret(vendor, tmp_path, str(report.as_dict()), caplog.text, *capfd.readouterr())


def echo(handler: Handler, call: Call) -> bool:
    """A service that repeats the key in its complaint."""
    return handler.fail(422, "QESx01", f"the key {KEY} is fine, the rest is not")


@pytest.mark.parametrize(
    "trick",
    [
        echo,
        lambda handler, call: handler.fail(500, "QEMx01", f"failed for {KEY}"),
        lambda handler, call: handler.fail(400, "QEAx01", f"unknown key {KEY}"),
        lambda handler, call: handler.fail(403, "QEPx04", f"{KEY} may not"),
        lambda handler, call: handler.reset(),
        lambda handler, call: handler.cut(b"{", 100, 1),
    ],
)
def test_errors(
    get: Get, vendor: Vendor, tmp_path: Path, caplog: pytest.LogCaptureFixture, trick: Callable[..., bool]
) -> None:
    caplog.set_level(logging.DEBUG)
    vendor.tricks.append(once(trick))
    with pytest.raises(KairosError) as caught:
        get("SEP", since="2024-01-01", retries=0)
    assert_secret(vendor, tmp_path, everything_of(caught.value), caplog.text)


def test_redirect_to_another_host(get: Get, vendor: Vendor, tmp_path: Path) -> None:
    def elsewhere(handler: Handler, call: Call) -> bool:
        handler.reply(302, b"", Location=f"{handler.vendor.host}/elsewhere/SEP.zip")
        return True

    vendor.tricks.append(once(elsewhere))
    get("SEP", since="2024-01-01")
    assert [call.path for call in vendor.host_calls] == ["/elsewhere/SEP.zip"]
    assert_secret(vendor, tmp_path)


def test_redirect_on_the_same_host_keeps_the_key(get: Get, vendor: Vendor) -> None:
    def nearby(handler: Handler, call: Call) -> bool:
        handler.reply(307, b"", Location=handler.path + "&moved=yes")
        return True

    vendor.tricks.append(once(nearby))
    assert get("SEP", since="2024-01-01")["sep"].rows == 25
    assert [call.headers["x-api-token"] for call in vendor.calls if "moved" in call.query] == [KEY]


def test_a_link_that_fails_is_not_shown(get: Get, vendor: Vendor) -> None:
    """Whoever has the link has the file."""
    vendor.host_tricks.append(once(lambda handler, call: handler.fail(403), times=99))
    with pytest.raises(KairosError) as caught:
        get("SEP", retries=1)
    assert "signature" not in str(caught.value)
