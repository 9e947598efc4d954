"""The desk's run ledger: every file can be traced to the run that made it."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from kairos.adr.desk import MADE_OF, Desk
from kairos.adr.ledger import RUNS, run_step
from kairos.adr.run import Step
from kairos.errors import WorkError
from kairos.settings import load
from kairos.store.version import code_version

OUT = "data/processed/made"


class Nothing:
    def table(self):
        return [], []

    def remarks(self):
        return []


def made(desk: Desk, text: str) -> Nothing:
    desk.save((f"{OUT}/{name}.csv", lambda path: path.write_text(text)) for name in ("a", "b/c"))
    desk.path(f"{OUT}/.note").touch()
    return Nothing()


def step_of(run) -> Step:
    return Step(
        "make",
        "two files",
        run,
        reads=lambda _: ["data/raw/list.csv", "data/raw/minutes"],
        writes=lambda _: [OUT],
        settings=("adr.gate", "adr.start"),
        maybe=("data/raw/absent.csv",),
    )


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    (tmp_path / "data/raw/minutes").mkdir(parents=True)
    (tmp_path / "data/raw/list.csv").write_text("a\n")
    (tmp_path / "data/raw/minutes/x").write_text("1")
    return Desk(tmp_path, load(overrides=["adr.start=2024-02-01"]))


def runs(desk: Desk) -> list[dict]:
    return [json.loads(line) for line in desk.path(RUNS).read_text(encoding="utf-8").splitlines()]


def test_a_run_has_settings_code_inputs_and_outputs(desk: Desk) -> None:
    run_step(step_of(lambda desk, _: made(desk, "one")), desk, lambda *_: None)
    (run,) = runs(desk)
    mark = hashlib.sha256(b"one").hexdigest()
    assert run["outputs"] == {f"{OUT}/a.csv": mark, f"{OUT}/b/c.csv": mark}
    assert run["inputs"].keys() == {"data/raw/list.csv", "data/raw/minutes"}
    assert run["inputs"]["data/raw/list.csv"] == hashlib.sha256(b"a\n").hexdigest()
    assert run["settings"] == {"adr.gate": desk.settings.part("adr.gate"), "adr.start": "2024-02-01"}
    assert (run["step"], run["code_version"]) == ("make", code_version())


def test_a_change_of_an_input_shows_and_runs_add_up(desk: Desk) -> None:
    step = step_of(lambda desk, _: made(desk, "one"))
    run_step(step, desk, lambda *_: None)
    stat = desk.path("data/raw/minutes/x").stat()
    os.utime(desk.path("data/raw/minutes/x"), ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    run_step(step, desk, lambda *_: None)
    first, second = runs(desk)
    assert first["id"] != second["id"]
    assert first["outputs"] == second["outputs"]
    differing = {name for name in first["inputs"] if first["inputs"][name] != second["inputs"][name]}
    assert differing == {"data/raw/minutes"}


def test_a_step_that_fails_is_not_recorded(desk: Desk) -> None:
    def fail(*_):
        raise WorkError("no")

    with pytest.raises(WorkError):
        run_step(step_of(fail), desk, lambda *_: None)
    assert not desk.path(RUNS).exists()


def test_a_file_is_current_only_as_it_was_written_and_of_the_same_things(desk: Desk) -> None:
    name = f"{OUT}/a.csv"
    assert not desk.is_current(name, "of this")
    desk.save([(name, lambda path: path.write_text("one"))], "of this")
    assert desk.is_current(name, "of this")
    assert not desk.is_current(name, "of that")
    desk.save([(name, lambda path: path.write_text("two"))], "of this")
    assert desk.is_current(name, "of this")
    desk.path(name).write_text("mine")
    assert not desk.is_current(name, "of this")
    desk.path(name).unlink()
    assert not desk.is_current(name, "of this")
    assert json.loads(desk.path(MADE_OF).read_text())[name][1] == "of this"
