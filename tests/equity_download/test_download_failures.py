"""What goes wrong between here and the service, and how long it is put up with."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from download_server import Call, Handler, Trick, Vendor, once, slowly

from kairos.equity.download import DownloadReport
from kairos.errors import InputError, WorkError

Get = Callable[..., DownloadReport]


def limited(handler: Handler, call: Call) -> bool:
    return handler.fail(429, "QELx04", "too many", Retry_After="7")


def broken(handler: Handler, call: Call) -> bool:
    return handler.fail(500)


def cut_off(handler: Handler, call: Call) -> bool:
    body = handler.page(call)  # type: ignore[attr-defined]
    return handler.cut(body, len(body), len(body) // 2)


def silently_cut_off(handler: Handler, call: Call) -> bool:
    body = handler.page(call)[:-40]  # type: ignore[attr-defined]
    handler.reply(200, body)
    return True


def reset(handler: Handler, call: Call) -> bool:
    return handler.reset()


def other_json(handler: Handler, call: Call) -> bool:
    handler.reply(200, b'{"maintenance": true}')
    return True


def short_row(handler: Handler, call: Call) -> bool:
    handler.reply(200, handler.page(call).replace(b'[["AAA",', b"[["))  # type: ignore[attr-defined]
    return True


FAILURES = [limited, broken, cut_off, silently_cut_off, reset, other_json, short_row]


@pytest.mark.parametrize("failure", FAILURES)
def test_a_failure_that_passes_costs_an_attempt(
    get: Get, vendor: Vendor, waits: list[float], tmp_path: Path, failure: Trick
) -> None:
    whole = (get("SEP", since="2024-01-01", out="other"), tmp_path / "other" / "SHARADAR_SEP.csv")[1]
    vendor.calls.clear()
    vendor.tricks.append(once(failure, times=2))
    vendor.tricks.append(once(failure, lambda call: call.cursor == "after-20"))
    assert get("SEP", since="2024-01-01")["sep"].calls == 6
    assert (tmp_path / "out" / "SHARADAR_SEP.csv").read_bytes() == whole.read_bytes()
    assert len(waits) == 3
    if failure is limited:
        assert waits == [7, 7, 7]
    else:
        assert 0.5 <= waits[0] <= 1 <= waits[1] <= 2


def test_a_timeout_is_a_failure_that_passes(get: Get, vendor: Vendor, waits: list[float]) -> None:
    vendor.tricks.append(once(slowly(1.5)))
    assert get("SEP", since="2024-01-01", timeout="1s")["sep"].rows == 25
    assert len(waits) == 1


def test_attempts_are_bounded(get: Get, vendor: Vendor, waits: list[float]) -> None:
    vendor.tricks.append(once(broken, times=100))
    with pytest.raises(WorkError, match=r"SHARADAR/SEP: HTTP 500; 4 attempts\. .*goes on where it stopped"):
        get("SEP", since="2024-01-01", retries=3)
    assert len(vendor.pages("SEP")) == 4
    assert len(waits) == 3
    assert sum(waits) <= 7


def test_time_is_bounded(get: Get, vendor: Vendor, waits: list[float]) -> None:
    vendor.tricks.append(once(broken, times=1000))
    with pytest.raises(WorkError, match=r"equity\.download\.max_wait"):
        get("SEP", since="2024-01-01", retries=1000, max_wait="10min")
    assert 500 < sum(waits) <= 600
    assert max(waits) <= 60


def test_a_wait_beyond_the_limit_is_not_begun(get: Get, vendor: Vendor, waits: list[float]) -> None:
    def tomorrow(handler: Handler, call: Call) -> bool:
        return handler.fail(429, Retry_After="86400")

    vendor.tricks.append(once(tomorrow))
    with pytest.raises(WorkError, match="next attempt would be in 86,400 s"):
        get("SEP", since="2024-01-01")
    assert waits == []


def test_the_limit_of_the_day_is_not_waited_for(get: Get, vendor: Vendor, waits: list[float]) -> None:
    vendor.tricks.append(once(lambda handler, call: handler.fail(429, "QELx03", "daily limit")))
    with pytest.raises(WorkError, match=r"calls of the day .*QELx03"):
        get("SEP", since="2024-01-01")
    assert waits == []


def test_own_limit_of_calls(get: Get, vendor: Vendor, waits: list[float]) -> None:
    get("SEP", since="2024-01-01", calls_per_10s=2)
    assert len(vendor.calls) == 4
    assert len(waits) == 2
    assert 9 < sum(waits[:1]) <= 10


def test_a_refused_request_is_not_repeated(get: Get, vendor: Vendor, waits: list[float]) -> None:
    vendor.tricks.append(once(lambda handler, call: handler.fail(422, "QESx04", "bad filter")))
    with pytest.raises(WorkError, match=r"does not accept the request \(HTTP 422, QESx04: bad filter\)"):
        get("SEP", since="2024-01-01")
    assert waits == []


def test_wrong_key(get: Get, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NASDAQ_DATA_LINK_API_KEY", "wRoNg-kEy")
    with pytest.raises(InputError, match=r"does not accept the key in NASDAQ_DATA_LINK_API_KEY") as caught:
        get("SEP", since="2024-01-01")
    assert "wRoNg-kEy" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("key", [None, "", "  "])
def test_no_key(get: Get, vendor: Vendor, monkeypatch: pytest.MonkeyPatch, key: str | None) -> None:
    monkeypatch.delenv("NASDAQ_DATA_LINK_API_KEY")
    if key is not None:
        monkeypatch.setenv("NASDAQ_DATA_LINK_API_KEY", key)
    with pytest.raises(InputError, match="NASDAQ_DATA_LINK_API_KEY is not set"):
        get("SEP")
    assert vendor.calls == []


@pytest.mark.parametrize("key", ["two words", "tab\tbed", "schlüssel", "line\nbreak"])
def test_what_can_be_no_key_is_not_shown(get: Get, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("NASDAQ_DATA_LINK_API_KEY", key)
    with pytest.raises(InputError, match="NASDAQ_DATA_LINK_API_KEY holds") as caught:
        get("SEP")
    assert key not in str(caught.value)


def test_blanks_around_the_key_do_no_harm(get: Get, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NASDAQ_DATA_LINK_API_KEY", f" {os.environ['NASDAQ_DATA_LINK_API_KEY']}\n")
    assert get("SEP", since="2024-01-01")["sep"].rows == 25


def test_tables_outside_the_subscription_are_named_before_anything_is_written(
    get: Get, vendor: Vendor, tmp_path: Path
) -> None:
    vendor.denied = {"SF3", "SF2"}
    with pytest.raises(InputError) as caught:
        get("SEP", "SF2", "SF3", "METRICS")
    message = str(caught.value)
    assert "SF2 is not in the subscription" in message
    assert "SF3 is not in the subscription" in message
    assert "METRICS is not known to the service" in message
    assert message.endswith("Name the others: SEP.")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "hint"),
    [("SEPP", "Did you mean SEP?"), ("tikers", "Did you mean TICKERS?"), ("FOO", "Tables: ")],
)
def test_unknown_table(get: Get, name: str, hint: str) -> None:
    with pytest.raises(InputError, match=f"There is no table '{name}'") as caught:
        get(name)
    assert hint in str(caught.value)


def test_future_date(get: Get) -> None:
    with pytest.raises(InputError, match="lies in the future"):
        get("SEP", since="2999-01-01")


def test_out_is_a_file(get: Get, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(InputError, match="is a file"):
        get("SEP")


@pytest.mark.parametrize(
    "url", ["http://data.nasdaq.com/api", "ftp://x", "http://127.0.0.1@elsewhere.com/", "https://a/b?c=d"]
)
def test_address_that_would_show_the_key(get: Get, url: str) -> None:
    with pytest.raises(InputError, match=r"equity\.download\.base_url"):
        get("SEP", base_url=url)
