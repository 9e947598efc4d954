"""What a user's environment and a user's texts must not become: words of a report, a log or a script."""

from __future__ import annotations

import json
import logging
from html.parser import HTMLParser
from pathlib import Path

import pytest
from corpus_cases import csv_of
from corpus_desk import Ended, done, kairos, replace

from kairos.equity.download.service import KEY

SECRET = "k3y-that-nobody-may-see"


def test_no_command_tells_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Not on the screen, not in a log, not in the ledger, whether a command works or fails."""
    monkeypatch.setenv(KEY, SECRET)
    caplog.set_level(logging.DEBUG)
    vendor, db = tmp_path / "SEP.csv", tmp_path / "data" / "kairos.duckdb"
    replace(vendor, csv_of("SEP"))
    said = [
        done("equity", "ingest", vendor, "--db", db, "--json"),
        done("config", "show"),
        done("config", "show", "--json"),
        done("config", "check", "--json"),
        done("doctor", "--db", db),
        done("doctor", "--db", db, "--json"),
        done("equity", "status", "--db", db, "--json"),
        done("equity", "snapshots", "--db", db, "--json"),
        done("equity", "export-db", tmp_path / "copy.duckdb", "--db", db),
        kairos("equity", "backtest", "baseline", "--alpha", "x", "--db", db),
        kairos("equity", "ingest", tmp_path / "nowhere", "--db", db),
        kairos("config", "show", "--set", "equity.download.base_url=5"),
        kairos("equity", "download", "SEP", "--out", tmp_path / "o", *refused_at_once()),
    ]
    assert [ended.code for ended in said[-4:]] == [2, 2, 2, 1]
    for ended in said:
        assert SECRET not in f"{ended.out}{ended.err}"
    assert SECRET not in caplog.text
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or SECRET.encode() not in file.read_bytes(), file


def refused_at_once() -> list[str]:
    """Settings with which a download finds nobody."""
    keys = {"base_url": "http://127.0.0.1:9/x", "retries": 0, "timeout": "1s", "max_wait": "1s"}
    return [word for key, value in keys.items() for word in ("--set", f"equity.download.{key}={value}")]


class Page(HTMLParser):
    """Tags and attributes of a page, in their order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, tuple[str, ...]]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, tuple(name for name, _ in attrs)))


HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>'\"&{{7*7}}"


def test_hostile_names_of_files_and_runs_stay_text(equity: Path, tmp_path: Path) -> None:
    """A report shows what it was called with; nothing of that is a tag."""
    from corpus_desk import SESSIONS

    folder = tmp_path / "<img src=x onerror=alert(2)>"
    names = {
        "tame": tmp_path / "bench.csv",
        "hostile": folder / "'\"><script>alert(1)<" / "script>&{{7*7}}.csv",
    }
    pages = {}
    for kind, bench in names.items():
        bench.parent.mkdir(parents=True, exist_ok=True)
        replace(bench, "date,return\n" + "".join(f"{day},0.001\n" for day in SESSIONS))
        factor = "Mkt" if kind == "tame" else HOSTILE.replace(",", "").replace('"', "")
        rows = [f"{day},{0.01 * (-1) ** n},0.0" for n, day in enumerate(SESSIONS)]
        replace(bench.with_name("factors.csv"), "\n".join([f"date,{factor},RF", *rows]))
        report = tmp_path / f"{kind}.html"
        done(
            *(
                "equity",
                "backtest",
                "baseline",
                "--alpha",
                "feat_adv.adv_20",
                "--db",
                equity,
                "--set",
                "top_n=3",
            ),
            *("--benchmark", bench, "--report", report, "--factors", bench.with_name("factors.csv")),
        )
        pages[kind] = report.read_text(encoding="utf-8")
    assert Page(pages["hostile"]).tags == Page(pages["tame"]).tags
    assert "alert(1)" in pages["hostile"], "the name is shown"
    assert "<script>alert(1)" not in pages["hostile"]
    assert "{{7*7}}" in pages["hostile"], "a template is no place for users' texts"


def test_a_printed_json_is_json_whatever_it_holds(tmp_path: Path) -> None:
    replace(tmp_path / "SEP.csv", csv_of("SEP", ticker='"<script>""\u2028😀"'))
    ended: Ended = done("equity", "ingest", tmp_path / "SEP.csv", "--db", tmp_path / "k.duckdb", "--json")
    assert json.loads(ended.out)
