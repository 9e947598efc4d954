"""The command line as a user meets it: output, messages, exit codes."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from kairos import __version__
from kairos.cli import console, main
from kairos.cli.options import settings_of
from kairos.settings import load
from kairos.store import Store

REPOSITORY = Path(__file__).parents[2]


class Ended:
    """What a command left behind."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def kairos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Ended:
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        captured = capsys.readouterr()
        return Ended(int(caught.value.code or 0), captured.out, captured.err)

    return run


def test_version(kairos: Any) -> None:
    ended = kairos("--version")
    assert (ended.code, ended.out) == (0, f"kairos {__version__}\n")


def test_usage_errors_leave_with_2(kairos: Any) -> None:
    for arguments in (["confg"], ["config", "show", "--nope"], ["config", "nope"]):
        ended = kairos(*arguments)
        assert ended.code == 2
        assert ended.out == ""
        assert "Traceback" not in ended.err


def test_wrong_configuration_leaves_with_2_and_plain_words(kairos: Any) -> None:
    ended = kairos("config", "check", "--set", "equity.universe.min_advv=1")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == (
        "kairos: --set: unknown key equity.universe.min_advv. Did you mean equity.universe.min_adv?\n"
    )


def test_unreadable_file_leaves_with_2(kairos: Any) -> None:
    ended = kairos("config", "check", "--config", "absent.toml")
    assert ended.code == 2
    assert "absent.toml: the configuration can't be read" in ended.err


def test_check_counts_what_differs(kairos: Any, tmp_path: Path) -> None:
    assert kairos("config", "check").out == "The configuration is valid: all defaults.\n"
    (tmp_path / "kairos.toml").write_text("[run]\nworkers = 3\nthreads = 1\n")
    ended = kairos("config", "check", "--set", "equity.backtest.lag=0")
    assert ended.out == "The configuration is valid: 2 from kairos.toml, 1 from --set.\n"
    answer = json.loads(kairos("config", "check", "--json").out)
    assert answer["config"] == "kairos.toml"
    assert answer["changed"] == {"run.workers": "kairos.toml", "run.threads": "kairos.toml"}
    assert answer["digest"] == load().digest()


def test_show_is_itself_a_configuration(kairos: Any, tmp_path: Path) -> None:
    changes = ["--set", "equity.strategies.x.start=2016-01-01", "--set", "equity.tables.t.names=['a', \"b\"]"]
    ended = kairos("config", "show", *changes)
    assert ended.code == 0
    file = tmp_path / "shown.toml"
    file.write_text(ended.out, encoding="utf-8")
    assert load(file).digest() == load(overrides=changes[1::2]).digest()


def test_show_of_a_section_has_origins(kairos: Any) -> None:
    ended = kairos("config", "show", "equity.universe", "--set", "equity.universe.min_price=5")
    origins = {}
    for line in ended.out.splitlines():
        setting, origin = line.split("  # ")
        ((key, value),) = tomllib.loads(setting.strip())["equity"]["universe"].items()
        origins[key] = origin
        assert value == (5.0 if key == "min_price" else load().part(f"equity.universe.{key}"))
    assert origins.pop("min_price") == "--set"
    assert set(origins.values()) == {"default"}
    answer = json.loads(kairos("config", "show", "equity.universe.min_adv", "--json").out)
    assert answer == {"equity.universe.min_adv": {"value": 500_000.0, "origin": "default"}}


def test_show_of_an_unknown_section(kairos: Any) -> None:
    ended = kairos("config", "show", "equity.univers")
    assert ended.code == 2
    assert "Did you mean equity.universe?" in ended.err


def test_every_command_has_help_with_an_example_and_takes_a_configuration(kairos: Any) -> None:
    from kairos.cli import app

    def walk(group: Any, path: list[str]) -> list[list[str]]:
        commands = getattr(group, "commands", None)
        if commands is None:
            return [path]
        return [found for name, inside in commands.items() for found in walk(inside, [*path, name])]

    import typer.main

    found = walk(typer.main.get_command(app), [])
    assert ["config", "show"] in found
    for path in found:
        text = kairos(*path, "--help").out
        assert f"kairos {' '.join(path)}" in text.partition("Example")[2], f"{path} has no example"
        assert "--config" in text, f"{path} takes no --config"


def test_doctor_reports_an_absent_store_as_a_warning(kairos: Any) -> None:
    ended = kairos("doctor", "--json")
    findings = {finding["what"]: finding for finding in json.loads(ended.out)}
    assert ended.code == 0
    assert findings["store"]["state"] == "warning"
    assert "kairos equity ingest" in findings["store"]["detail"]
    assert findings["numpy"]["detail"] == np.__version__
    assert findings["configuration"]["state"] == "ok"


def test_doctor_goes_on_when_the_configuration_is_wrong(kairos: Any) -> None:
    ended = kairos("doctor", "--set", "run.workers=0")
    assert ended.code == 2
    assert "run.workers = 0" in ended.out
    assert __version__ in ended.out


def test_help_is_fast_because_heavy_libraries_come_later() -> None:
    code = "import sys, kairos.cli; print(sorted({name.split('.')[0] for name in sys.modules}))"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY
    )
    loaded = set(eval(answer.stdout))
    assert (
        loaded & {"numpy", "numba", "duckdb", "pyarrow", "plotly", "pydantic", "rich", "exchange_calendars"}
        == set()
    )


def test_failure_of_the_system_is_told_in_words(kairos: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "data/part.parquet")

    monkeypatch.setattr(console, "say", full)
    ended = kairos("config", "check")
    assert ended.code == 1
    assert ended.err.startswith("kairos: data/part.parquet: No space left on device; make room on ")


def test_interrupt_leaves_with_130(kairos: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(console, "say", interrupt)
    assert kairos("config", "check").code == 130


def test_db_option_goes_over_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    odd = tmp_path / 'a "b" \\ c.duckdb'
    assert settings_of(None, ["data.db=x"], odd).data.db == str(odd)
    assert settings_of(None, ["data.db=x"]).data.db == "x"


def test_table_does_not_wrap_off_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    console.table(["name", "rows"], [["x" * 300, 1], ["[bold]y[/bold]", 1_234_567], ["z", None]])
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines[2].split() == ["x" * 300, "1"]
    assert lines[3].split() == ["[bold]y[/bold]", "1,234,567"]
    assert lines[4].split() == ["z", "–"]
    assert (
        len({line.rindex(end) + len(end) for line, end in zip(lines[2:], ["1", "7", "–"], strict=True)}) == 1
    )


def test_json_has_no_nan_and_plain_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    value = {
        "a": np.float32(0.5),
        "b": np.array([1.0, np.nan]),
        "c": np.int64(3),
        "d": np.datetime64("2020-01-02"),
    }
    console.emit_json({**value, "e": Path("x"), "f": (float("inf"), True, None), "g": np.bool_(False)})
    assert json.loads(capsys.readouterr().out) == {
        "a": 0.5,
        "b": [1.0, None],
        "c": 3,
        "d": "2020-01-02",
        "e": "x",
        "f": [None, True, None],
        "g": False,
    }
    with pytest.raises(TypeError, match="no form in JSON"):
        console.emit_json(object())


def test_no_progress_bar_off_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with console.progress("Building", total=2) as advance:
        advance(1)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_check_knows_the_parameters_of_tables(kairos: Any) -> None:
    assert kairos("config", "check", "--set", "equity.tables.feat_beta.residual=21").code == 0
    ended = kairos("config", "check", "--set", "equity.tables.feat_beta.residul=21")
    assert ended.code == 2
    assert "equity.tables.feat_beta.residul" in ended.err
    assert kairos("config", "check", "--set", "equity.tables.feat_bet.residual=21").code == 2


def test_doctor_finds_lost_parts(kairos: Any, tmp_path: Path) -> None:
    store = Store(tmp_path / "kairos.duckdb", keep_snapshots=10)
    with store.publish() as tx:
        table = tx.put("prices", [pa.table({"ticker": ["A"], "close": [1.0]})], key=("ticker",))

    def finding() -> tuple[int, dict[str, Any]]:
        ended = kairos("doctor", "--db", "kairos.duckdb", "--json")
        return ended.code, next(item for item in json.loads(ended.out) if item["what"] == "store")

    code, found = finding()
    assert (code, found["state"]) == (0, "ok")
    assert store.snapshot().id in found["detail"]
    part = Path(table.parts[0].path)
    part.unlink()
    code, found = finding()
    assert (code, found["state"]) == (1, "wrong")
    assert str(part) in found["detail"]


def test_doctor_refuses_a_foreign_database(kairos: Any, tmp_path: Path) -> None:
    duckdb.connect(str(tmp_path / "other.duckdb")).close()
    ended = kairos("doctor", "--db", "other.duckdb")
    assert ended.code == 2
    assert "Traceback" not in ended.err
