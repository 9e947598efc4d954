"""The ledger of the desk's files: whose a file is, whatever happened before."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
from functools import partial
from pathlib import Path

import pytest

from kairos.adr.desk import REMEMBERED, Desk
from kairos.errors import InputError, WorkError
from kairos.settings import load

pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # the child only saves

NAMES = ["data/processed/a.csv", "data/processed/b.csv"]


def write(text: str, path: Path) -> None:
    path.write_text(text)


def save(root: Path, text: str, *, force: bool = False) -> None:
    Desk(root, load(), force).save((name, partial(write, text)) for name in NAMES)


def texts(root: Path) -> list[str]:
    return [(root / name).read_text() for name in NAMES]


def killed(root: Path, text: str, step: int, *, force: bool = False) -> None:
    """Save in a process that is killed after so many renames: of the ledger, then of the files."""

    def child() -> None:
        rename, done = Path.replace, itertools.count()

        def replace(path: Path, target: Path) -> Path:
            if next(done) == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return rename(path, target)

        Path.replace = replace  # type: ignore[method-assign,assignment]
        save(root, text, force=force)
        os.kill(os.getpid(), signal.SIGKILL)

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("step", "there"), [(0, ["old", "old"]), (1, ["old", "old"]), (2, ["new", "old"]), (3, ["new", "new"])]
)
def test_a_killed_process_leaves_files_that_are_the_desks(
    tmp_path: Path, step: int, there: list[str]
) -> None:
    save(tmp_path, "old")
    killed(tmp_path, "new", step)
    assert texts(tmp_path) == there
    assert not any(Desk(tmp_path, load()).is_users(name) for name in NAMES)

    save(tmp_path, "newer")
    assert texts(tmp_path) == ["newer", "newer"]
    kept = (path.suffix for path in (tmp_path / "data/processed").iterdir())
    assert sorted(kept) == [".csv", ".csv", ".json", ".lock"]  # nothing half-written


def test_killed_again_and_again_the_file_that_is_there_stays_known(tmp_path: Path) -> None:
    save(tmp_path, "old")
    for number in range(2 * REMEMBERED):
        killed(tmp_path, f"new {number}", 1)
    assert texts(tmp_path) == ["old", "old"]
    assert not any(Desk(tmp_path, load()).is_users(name) for name in NAMES)


def test_the_users_file_stays_theirs_when_a_forced_run_is_killed(tmp_path: Path) -> None:
    save(tmp_path, "old")
    (tmp_path / NAMES[0]).write_text("mine")
    killed(tmp_path, "new", 1, force=True)
    desk = Desk(tmp_path, load())
    assert [desk.is_users(name) for name in NAMES] == [True, False]


def test_what_dvc_brings_back_from_its_cache_is_the_desks(tmp_path: Path) -> None:
    for text in ("first", "second", "third"):
        for name in NAMES:
            (tmp_path / name).unlink(missing_ok=True)  # as DVC does before it runs a stage
        save(tmp_path, text)
    (tmp_path / NAMES[0]).write_text("first")
    save(tmp_path, "fourth")
    (tmp_path / NAMES[0]).write_text("mine")
    assert [Desk(tmp_path, load()).is_users(name) for name in NAMES] == [True, False]


def test_one_file_of_the_user_and_none_is_replaced(tmp_path: Path) -> None:
    save(tmp_path, "old")
    (tmp_path / NAMES[1]).write_text("mine")
    with pytest.raises(InputError, match=r"b\.csv: this file was not made by the desk"):
        save(tmp_path, "new")
    assert texts(tmp_path) == ["old", "mine"]
    Desk(tmp_path, load()).remove(NAMES)
    assert [(tmp_path / name).exists() for name in NAMES] == [False, True]


def test_a_file_that_can_not_be_written_replaces_none(tmp_path: Path) -> None:
    save(tmp_path, "old")

    def fail(path: Path) -> None:
        path.write_text("half")
        raise OSError("disk full")

    with pytest.raises(WorkError, match="disk full"):
        Desk(tmp_path, load()).save([(NAMES[0], partial(write, "new")), (NAMES[1], fail)])
    assert texts(tmp_path) == ["old", "old"]
    assert not list((tmp_path / "data/processed").glob(".*.tmp"))
