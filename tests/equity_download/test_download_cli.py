"""The command: what it prints, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from download_server import Vendor

from kairos.cli import main


def run(capsys: pytest.CaptureFixture[str], vendor: Vendor, *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as caught:
        main(["equity", "download", *words, "--set", f"equity.download.base_url={vendor.url}"])
    return int(caught.value.code or 0), *capsys.readouterr()


def test_table_and_remark(capsys: pytest.CaptureFixture[str], vendor: Vendor) -> None:
    vendor.table("DAILY", "ticker date lastupdated", ["A", "2024-01-02", "2024-01-02"])
    code, out, err = run(capsys, vendor, "SEP", "DAILY", "--out", "new", "--since", "2024-01-20")
    assert code == 0, err
    assert "lastupdated ≥ 2024-01-20" in out
    assert "no new rows, no file: daily" in err
    assert Path("new/SHARADAR_SEP.csv").is_file()


def test_json(capsys: pytest.CaptureFixture[str], vendor: Vendor) -> None:
    code, out, _ = run(capsys, vendor, "sep", "--out", "new", "--since", "2024-01-20", "--json")
    assert code == 0
    found = json.loads(out)
    assert found["since"] == "2024-01-20"
    assert found["tables"][0]["file"] == "new/SHARADAR_SEP.csv"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["SEP", "--since", "20-01-2024"], "--since 20-01-2024: a date is written yyyy-mm-dd"),
        (["SEPP"], "Did you mean SEP?"),
        (["SEP", "--set", "equity.download.page_size=20000"], "equity.download.page_size"),
    ],
)
def test_wrong_input_ends_with_2(
    capsys: pytest.CaptureFixture[str], vendor: Vendor, words: list[str], message: str
) -> None:
    code, _, err = run(capsys, vendor, *words, "--out", "new")
    assert code == 2
    assert message in err
    assert not Path("new").exists()


def test_no_key_ends_with_2(
    capsys: pytest.CaptureFixture[str], vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NASDAQ_DATA_LINK_API_KEY")
    code, _, err = run(capsys, vendor, "--out", "new")
    assert (code, "NASDAQ_DATA_LINK_API_KEY is not set" in err) == (2, True)


def test_failed_work_ends_with_1(capsys: pytest.CaptureFixture[str], vendor: Vendor) -> None:
    vendor.tricks.append(lambda handler, call: handler.fail(503))
    code, _, err = run(capsys, vendor, "SEP", "--out", "new", "--set", "equity.download.retries=0")
    assert (code, "HTTP 503" in err) == (1, True)
