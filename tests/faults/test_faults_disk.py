"""A disk that is full or may not be written: one message, nothing half, and the next run makes all of it."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from faults_desk import Server, check_readable, check_whole, copy, leftovers, refused, results, tables

Mount = Callable[[str, int], Path]

FULL = "No space left on device"
READ_ONLY = "Read-only file system"


def open_to_others(program: Path) -> bool:
    """Whether every user may run a program, also where it really is."""
    return all(
        folder.stat().st_mode & 0o001 for path in (program, program.resolve()) for folder in path.parents
    )


def fill(place: Path, left: int) -> Path:
    """Leave so many bytes free on a file system; give the file that takes up the rest."""
    ballast = place / "ballast"
    state = os.statvfs(place)
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(state.f_bavail * state.f_frsize - left, 1))
    return ballast


def full_store(server: Server, place: Path, start: Path, words: list[object], left: int) -> None:
    """Run a command of the equity desk on a disk with too little room; then make room and run it again."""
    expected = place.parent / "expected"
    if not expected.exists():
        server.done("equity", *words, "--db", copy(start, expected) / "kairos.duckdb")
    folder = copy(start, place / f"store{left}")
    db = folder / "kairos.duckdb"
    before, there = tables(db), set(folder.rglob("*"))
    ballast = fill(place, left)
    ended = server.run("equity", *words, "--db", db)
    refused(ended, 1, FULL, f"make room on {place}")
    assert tables(db) == before
    assert not [path for path in set(folder.rglob("*")) - there if path.suffix in (".tmp", ".next")]
    ballast.unlink()
    check_readable(db)
    server.done("equity", *words, "--db", db)
    assert tables(db) == tables(expected / "kairos.duckdb")
    shutil.rmtree(folder)


def full_desk(server: Server, place: Path, start: Path, words: list[object], part: float) -> None:
    """The same with a command of the ADR desk, with room for a part of the largest file that it writes."""
    expected = place.parent / "expected"
    if not expected.exists():
        server.done("adr", *words, "--data", copy(start, expected))
    before = {path.relative_to(start): path.stat().st_mtime_ns for path in start.rglob("*") if path.is_file()}
    made = [path for path in expected.rglob("*") if path.is_file()]
    new = [path for path in made if before.get(path.relative_to(expected)) != path.stat().st_mtime_ns]
    folder = copy(start, place / f"desk{part}")
    ballast = fill(place, round(part * max(path.stat().st_size for path in new)))
    refused(server.run("adr", *words, "--data", folder), 1, FULL, f"make room on {place}")
    assert not leftovers(folder)
    check_whole(folder)
    ballast.unlink()
    server.done("adr", *words, "--data", folder)
    assert results(folder) == results(expected)
    shutil.rmtree(folder)


@pytest.mark.slow
def test_no_room_for_a_part(server: Server, loaded: Path, mount: Mount) -> None:
    full_store(server, mount("disk", 64), loaded, ["build", "feat_adv"], 200_000)


@pytest.mark.slow
def test_no_room_for_models(server: Server, trained: Path, mount: Mount) -> None:
    full_desk(server, mount("disk", 128), trained, ["train", "--set", "adr.model.selection=ic"], 0.1)


@pytest.mark.slow
def test_no_room_anywhere_in_a_build(server: Server, loaded: Path, mount: Mount) -> None:
    place, moment = mount("disk", 64), random.Random(1)
    for megabytes in (0.0, 0.3, 1.0, 3.0, 6.0):
        full_store(server, place, loaded, ["build"], round(1e6 * (megabytes + moment.uniform(0.01, 0.5))))


@pytest.mark.slow
def test_no_room_anywhere_in_an_update(
    server: Server, built: Path, files: tuple[Path, Path], mount: Mount
) -> None:
    place, moment = mount("disk", 64), random.Random(2)
    for megabytes in (0.0, 0.2, 0.5):
        words: list[object] = ["update", "--source", files[1]]
        full_store(server, place, built, words, round(1e6 * (megabytes + moment.uniform(0.01, 0.1))))


@pytest.mark.slow
@pytest.mark.parametrize("part", [0.02, 0.6])
def test_no_room_for_the_minute_signal(server: Server, desk: Path, mount: Mount, part: float) -> None:
    words: list[object] = ["signal", "--set", "adr.signal.min_coverage=0.99"]
    full_desk(server, mount("disk", 128), desk, words, part)


@pytest.mark.slow
def test_no_room_for_what_stands_beside_the_store(
    server: Server, built: Path, desk: Path, files: tuple[Path, Path], mount: Mount, tmp_path: Path
) -> None:
    """Reports, exports, files of a day, results of a backtest, the folder for temporary files."""
    place = mount("disk", 4)
    db = copy(built, tmp_path / "store") / "kairos.duckdb"
    before = tables(db)
    ballast = fill(place, 20_000)
    signals = ["equity", "signals", "--alpha", "ret_21d", "--db", db]
    refused(server.run(*signals, "--report", place / "a.html"), 1, FULL, place / "a.html", "make room on")
    words = ["adr", "report", "--data", desk, "--out", place / "b.html"]
    refused(server.run(*words), 1, FULL, place / "b.html", "make room on")
    words = ["equity", "export-matrix", "--db", db, "--out", place / "matrix"]
    refused(server.run(*words), 1, FULL, place)
    refused(server.run("equity", "export-db", place / "c.duckdb", "--db", db), 1, FULL, place / "c.duckdb")
    assert tables(db) == before
    ballast.unlink()
    full = fill(place, 0)
    for words in (["equity", "status", "--db", db], ["adr", "notebook", "--data", desk]):
        server.done(*words, env={"TMPDIR": place})  # another folder for temporary files is found
    server.done("equity", "ingest", files[1], "--db", db, env={"TMPDIR": place})
    assert [path for path in place.rglob("*") if path.is_file() and path.stat().st_size] == [full]


@pytest.mark.slow
def test_no_room_for_results_and_spills(server: Server, built: Path, mount: Mount) -> None:
    place = mount("disk", 64)
    db = copy(built, place / "store") / "kairos.duckdb"
    before = tables(db)
    ballast = fill(place, 8_192)
    words = ["equity", "backtest", "baseline", "--alpha", "ret_21d", "--db", db, "--save-as", "mine"]
    refused(server.run(*words), 1, FULL, "make room on")
    assert tables(db) == before
    ballast.unlink()
    server.done(*words)
    check_readable(db)


@pytest.fixture
def frozen(mount: Mount) -> Callable[[Path], Path]:
    """Copy a folder onto a file system that can't be written any more."""

    def freeze(folder: Path) -> Path:
        place = mount(f"frozen_{folder.name}", 128)
        target = copy(folder, place / folder.name)
        subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
        return target

    return freeze


def test_a_store_that_may_not_be_written(
    server: Server, loaded: Path, frozen: Callable[[Path], Path], tmp_path: Path
) -> None:
    db = frozen(loaded) / "kairos.duckdb"
    before = tables(db)
    refused(server.run("equity", "build", "--db", db), 1, READ_ONLY, "kairos.main.lock", "allow to write")
    server.done("equity", "status", "--db", db)
    assert tables(db) == before


@pytest.mark.slow
def test_what_may_not_be_written(
    server: Server,
    built: Path,
    desk: Path,
    files: tuple[Path, Path],
    frozen: Callable[[Path], Path],
    tmp_path: Path,
) -> None:
    db, data = frozen(built) / "kairos.duckdb", frozen(desk)
    update = ["equity", "update", "--source", files[1], "--db", db]
    refused(server.run(*update), 1, READ_ONLY, "kairos.main.lock")
    backtest = ["equity", "backtest", "baseline", "--alpha", "ret_21d", "--db", db]
    refused(server.run(*backtest), 1, READ_ONLY, db.parent)
    signals = ["equity", "signals", "--alpha", "ret_21d", "--db", db]
    server.done(*signals, "--report", tmp_path / "a.html")
    refused(server.run(*signals, "--report", db.parent / "a.html"), 1, READ_ONLY, db.parent / "a.html")
    refused(server.run("equity", "vacuum", "--db", db), 1, READ_ONLY, db.parent)
    for step in ("train", "signal", "evaluate"):
        refused(server.run("adr", step, "--data", data), 1, READ_ONLY, data, "allow to write")
    server.done("adr", "report", "--data", data, "--out", tmp_path / "b.html")


@pytest.mark.slow
@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
@pytest.mark.skipif(not open_to_others(Path(sys.executable)), reason="others may not read this interpreter")
def test_a_folder_of_another_user(server: Server, loaded: Path, trained: Path) -> None:
    """Whoever may read and not write gets the file's name; here the folders belong to root."""
    place = Path("/var/tmp") / f"faults-{os.getpid()}"  # pytest's own folders are closed to others
    try:
        place.mkdir(mode=0o755)
        db, data = copy(loaded, place / "store") / "kairos.duckdb", copy(trained, place / "desk")
        nobody = 65534
        ended = server.run("equity", "build", "--db", db, user=nobody, env={"HOME": place})
        refused(ended, 1, "Permission denied", "kairos.main.lock", "allow to write")
        ended = server.run("adr", "train", "--data", data, user=nobody, env={"HOME": place})
        refused(ended, 1, "Permission denied", data, "allow to write")
    finally:
        shutil.rmtree(place)
