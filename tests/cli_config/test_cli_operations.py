"""What operating Kairos relies on: exit codes, signals, the log, JSON, and what `doctor` finds."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
import typer.main

from kairos.cli import app, console, freshness, log, machine, main
from kairos.errors import InputError, WorkError
from kairos.settings import load
from kairos.simulate.equity import simulate
from kairos.store import Store
from kairos.store.ledger import runs

KEY = "NASDAQ_DATA_LINK_API_KEY"


def op_code(*words: object) -> int:
    with pytest.raises(SystemExit) as left:
        main([str(word) for word in words])
    return int(left.value.code or 0)


def op_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def op_db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that was loaded by the command, with its log."""
    folder = tmp_path_factory.mktemp("op_store")
    simulate(folder / "vendor", tickers=12, years=1, seed=2)
    assert op_code("equity", "ingest", folder / "vendor", "--db", folder / "data" / "kairos.duckdb") == 0
    return folder / "data" / "kairos.duckdb"


# Options


def commands(group: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    group = typer.main.get_command(app) if group is None else group
    if not hasattr(group, "commands"):
        yield path, group
        return
    for name, inside in group.commands.items():
        yield from commands(inside, (*path, name))


COMMANDS = dict(commands())
WITHOUT_JSON = {("demo",)}
"""A walk to be read; its results are pages."""


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_has_an_example_json_and_a_configuration(path: tuple[str, ...]) -> None:
    command = COMMANDS[path]
    options = {name for param in command.params for name in param.opts}
    assert f"Example: kairos {' '.join(path)}" in command.help
    assert "--config" in options
    assert ("--json" in options) is (path not in WITHOUT_JSON)


def test_there_are_commands() -> None:
    assert len(COMMANDS) > 35


# Exit codes


USAGE = {
    "no such command": ["equty"],
    "no such option": ["equity", "status", "--verbose"],
    "option without its value": ["equity", "status", "--db"],
    "word for a number": [
        "equity",
        "sweep",
        "risk1",
        "--alpha",
        "x",
        "--over",
        "top_n=1",
        "--workers",
        "two",
    ],
    "word of a closed list": ["simulate", "equity", "--out", "x", "--format", "xlsx"],
    "missing argument": ["equity", "ingest"],
    "missing option": ["adr", "run"],
    "unknown key": ["config", "check", "--set", "run.wrokers=1"],
    "value out of bounds": ["config", "check", "--set", "run.workers=0"],
    "value of the wrong kind": ["config", "check", "--set", "run.log=1"],
    "absent configuration": ["config", "check", "--config", "absent.toml"],
    "absent folder of the desk": ["adr", "run", "--data", "absent"],
    "absent folder, told by doctor": ["doctor", "--data", "absent"],
    "absent source": ["equity", "ingest", "absent"],
    "absent store": ["equity", "build"],
    "absent run": ["rerun", "nothing"],
    "date in another form": ["equity", "download", "--out", "x", "--since", "28.11.2026"],
    "folder with content": ["simulate", "equity", "--out", "."],
}


@pytest.mark.parametrize("case", USAGE)
def test_wrong_input_leaves_with_2_in_plain_words(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "kept").write_text("mine")
    assert op_code(*USAGE[case]) == 2
    ended = capsys.readouterr()
    assert "Traceback" not in ended.err
    assert ended.err or case == "absent folder, told by doctor"
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InputError("x"), 2),
        (WorkError("x"), 1),
        (OSError(28, "No space left on device", "a/b"), 1),
        (KeyboardInterrupt(), 130),
        (BrokenPipeError(32, "Broken pipe"), 1),
        (RuntimeError("can't start new thread"), 1),
        (duckdb.OutOfMemoryException("Allocation failure"), 1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_each_failure_has_its_exit_code(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(console, "say", fail)
    assert op_code("config", "check") == code


STOP = """
import duckdb, signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # it is ignored in the background
from kairos.cli import app, main, stopping
stopping.GRACE = 1.0
def endless():
    print("ready", flush=True)
    duckdb.sql("SELECT sum(a.range * b.range) FROM range(1000000) a, range(1000000) b").fetchall()
app.command("endless")(endless)
main(["endless"])
"""


@pytest.mark.parametrize(
    ("number", "code", "word"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_a_signal_ends_even_a_query_without_a_traceback(number: signal.Signals, code: int, word: str) -> None:
    running = subprocess.Popen(
        [sys.executable, "-c", STOP], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert running.stdout is not None
    try:
        assert running.stdout.readline() == "ready\n"
        time.sleep(0.3)  # into the query
        running.send_signal(number)
        _, err = running.communicate(timeout=60)
    finally:
        running.kill()
    assert (running.returncode, err) == (code, f"kairos: {word}\n")


# The log


def test_a_load_is_logged_from_start_to_end_with_its_run(op_db: Path) -> None:
    lines = op_lines(op_db.parent / "logs" / "kairos.log")
    assert [line["event"] for line in lines] == ["started", "recorded", "published", "finished"]
    assert len({line["call"] for line in lines}) == 1
    started, recorded, published, finished = lines
    assert started["command"].startswith("kairos equity ingest ")
    assert finished["exit"] == 0
    assert 0 < finished["seconds"] < 600
    now = Store(op_db).snapshot()
    assert recorded["run"] == runs(now)[-1].id
    assert published["snapshot"] == now.id
    assert published["rows"] == sum(table.rows for table in now.tables.values())
    times = [dt.datetime.fromisoformat(line["time"]) for line in lines]
    assert times == sorted(times)


def test_a_failure_is_logged_and_names_its_call(
    op_db: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "my.log"
    words = ["equity", "build", "feat_bta", "--db", op_db, "--set", f"run.log={file}"]
    assert op_code(*words) == 2
    started, failed = op_lines(file)
    assert (failed["event"], failed["exit"]) == ("failed", 2)
    assert failed["error"].startswith("no table named feat_bta")
    err = capsys.readouterr().err.splitlines()
    assert err == [f"kairos: {failed['error']}", f"kairos: call {failed['call']} in {file}"]
    assert started["call"] == failed["call"]


def test_a_log_can_be_off_and_a_mistyped_path_makes_no_folder(
    op_db: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (op_db.parent / "logs" / "kairos.log").read_bytes()
    assert op_code("equity", "build", "feat_bta", "--db", op_db, "--set", "run.log=off") == 2
    assert "call" not in capsys.readouterr().err
    assert (op_db.parent / "logs" / "kairos.log").read_bytes() == before
    assert op_code("equity", "build", "--db", tmp_path / "dta" / "kairos.duckdb") == 2
    assert list(tmp_path.iterdir()) == []


def test_a_log_that_cannot_be_written_stops_nothing(op_db: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    asked = ["equity", "build", "listings", "--db", op_db, "--set", f"run.log={tmp_path / 'file' / 'my.log'}"]
    assert op_code(*asked) == 0


def test_a_log_grows_into_a_next_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "BYTES", 300)
    settings = load(overrides=["run.log=my.log"])
    for _ in range(9):
        with log.call(["equity", "build"]):
            log.start(settings, tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"my.log", *(f"my.log.{number}" for number in range(1, log.FILES + 1))}
    assert all(op_lines(tmp_path / name) for name in names)


def test_the_log_has_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, "k3y-of-mine")
    settings = load(overrides=["run.log=my.log"])
    with log.call(["x", "k3y-of-mine", "tcp://me:pass@host:1"]) as call:
        log.start(settings, tmp_path)
        call.error = "GET https://me:pass@host/?api_key=k3y-of-mine failed"
    text = (tmp_path / "my.log").read_text(encoding="utf-8")
    assert "k3y" not in text
    assert "pass" not in text
    assert text.count("host") == 2


# doctor


def op_doctor(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, dict[str, dict[str, Any]]]:
    capsys.readouterr()
    code = op_code("doctor", "--json", *words)
    return code, {finding["what"]: finding for finding in json.loads(capsys.readouterr().out)}


def test_doctor_tells_how_old_the_data_are(op_db: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = op_doctor(capsys, "--db", op_db)
    assert code == 0
    assert found["store"]["state"] == "ok"
    assert found["data: sep"]["state"] == "warning"  # the simulated market ends years ago
    assert re.fullmatch(r"to 2015-12-3\d; [\d,]+ sessions have ended since", found["data: sep"]["detail"])
    assert {"data: sf1", "data: daily", "data: actions"} <= found.keys()
    assert "not built" in found["tables"]["detail"]


def test_age_counts_sessions_that_have_ended() -> None:
    friday = dt.datetime(2026, 11, 27, 22, tzinfo=dt.UTC)  # the day after Thanksgiving
    assert "; 0 sessions" in freshness._age("x", "2026-11-25", friday, is_price=True).detail
    assert "; 1 sessions" in freshness._age("x", "2026-11-24", friday, is_price=True).detail
    assert freshness._age("x", "2026-11-17", friday, is_price=True).state == "warning"
    assert freshness._age("x", "2026-11-17", friday, is_price=False).state == "ok"
    assert "future" in freshness._age("x", "2026-12-01", friday, is_price=True).detail


def test_doctor_tells_whether_the_key_is_set_and_never_shows_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(KEY, raising=False)
    assert op_doctor(capsys)[1][KEY]["detail"].startswith("not set")
    monkeypatch.setenv(KEY, "k3y-of-mine")
    code, found = op_doctor(capsys)
    assert (code, found[KEY]["detail"]) == (0, "set")
    assert "k3y" not in json.dumps(found)


def test_doctor_sees_a_lost_part(op_db: Path, capsys: pytest.CaptureFixture[str]) -> None:
    part = next((op_db.with_suffix("") / "daily").glob("*.parquet"))
    hidden = part.rename(part.with_suffix(".hidden"))
    try:
        code, found = op_doctor(capsys, "--db", op_db)
    finally:
        hidden.rename(part)
    assert (code, found["store"]["state"]) == (1, "wrong")
    assert part.name in found["store"]["detail"]


def test_doctor_sees_a_file_of_the_future(tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.touch()
    now = time.time()
    assert machine.in_the_future("x", [file], now).state == "ok"
    os.utime(file, (now, now + 3600))
    assert machine.in_the_future("x", [file], now).state == "warning"


def test_memory_is_compared_with_the_limit() -> None:
    total, available = machine.memory()
    assert 1e8 < total < 1e14
    assert available is None or 0 < available <= total
    assert machine._memory(load(overrides=["run.memory_limit=1MB"])).state == "ok"
    assert machine._memory(load(overrides=["run.memory_limit=900TB"])).state == "warning"


@pytest.mark.parametrize(
    ("text", "expected"), [("8GB", 8e9), ("1 KiB", 1024.0), ("2.5TiB", 2.5 * 2**40), ("7MB", 7e6)]
)
def test_sizes_are_those_of_duckdb(text: str, expected: float) -> None:
    assert machine.bytes_of(text) == expected


def test_doctor_looks_at_a_desk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    closes = tmp_path / "desk" / "data/raw/ordinary/ord_PX_LAST_adjust_all.csv"
    closes.parent.mkdir(parents=True)
    closes.write_text("date,A\n2026-01-29,1\n2026-01-30,1\n")
    code, found = op_doctor(capsys, "--data", tmp_path / "desk")
    assert code == 0
    assert found["data/raw/ordinary/ord_PX_LAST_adjust_all.csv"]["detail"].startswith("to 2026-01-30;")
    assert found["data/raw/indices/indices_PX_LAST.csv"]["detail"] == "there is no such file"
    closes.write_text("date,A\nyesterday,1\n")
    _, found = op_doctor(capsys, "--data", tmp_path / "desk")
    assert "'yesterday', which is no date" in found["data/raw/ordinary/ord_PX_LAST_adjust_all.csv"]["detail"]
