"""A command that is killed leaves what was there, or what it made, and the next run makes all of it."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from faults_desk import (
    Server,
    check_readable,
    check_whole,
    copy,
    leftovers,
    refused,
    results,
    tables,
)

MANY = {"build": 14, "update": 12, "train": 12, "signal": 12}
"""Moments of the long version, by command."""


@dataclass(frozen=True)
class Work:
    """A command, the folder that it begins with, and what an uninterrupted run makes of it.

    Attributes
    ----------
    words
        The command, with the folder that it works in.
    state, check
        What lies in a folder, by name; and the check that all of it is readable.
    after, seconds
        State after a run that was left alone, and how long that took.
    whole
        Everything becomes visible at once, and not file by file.
    """

    server: Server
    start: Path
    words: Callable[[Path], list[object]]
    state: Callable[[Path], dict[str, str]]
    check: Callable[[Path], None]
    after: dict[str, str]
    seconds: float
    whole: bool


def equity(server: Server, start: Path, words: list[object], aside: Path) -> Work:
    """A command of the equity desk."""

    def command(folder: Path) -> list[object]:
        return ["equity", *words, "--db", folder / "kairos.duckdb"]

    ended = server.done(*command(copy(start, aside)))
    after = tables(aside / "kairos.duckdb")
    return Work(
        server,
        start,
        command,
        lambda folder: tables(folder / "kairos.duckdb"),
        lambda folder: check_readable(folder / "kairos.duckdb"),
        after,
        ended.seconds,
        whole=True,
    )


def adr(server: Server, start: Path, words: list[object], aside: Path) -> Work:
    """A command of the ADR desk."""

    def command(folder: Path) -> list[object]:
        return ["adr", *words, "--data", folder]

    ended = server.done(*command(copy(start, aside)))
    return Work(server, start, command, results, check_whole, results(aside), ended.seconds, whole=False)


def kill(work: Work, folder: Path, moment: float) -> bool:
    """Kill a command at a moment, look at what is left, run it again; tell whether the kill came in time."""
    copy(work.start, folder)
    before = work.state(folder)
    command = work.server.start(*work.words(folder))
    time.sleep(moment)
    command.kill()
    code = command.end().code
    work.check(folder)
    left = work.state(folder)
    if work.whole:
        assert left in (before, work.after), f"half of it after {moment:.3f} s"
    for name in before.keys() | work.after.keys() | left.keys():
        assert left.get(name) in (before.get(name), work.after.get(name)), (name, moment)
    work.server.done(*work.words(folder))
    assert work.state(folder) == work.after, f"another result after a kill at {moment:.3f} s"
    work.check(folder)
    assert not leftovers(folder)
    shutil.rmtree(folder)
    return code < 0


def kill_often(work: Work, folder: Path, times: int, seed: int) -> None:
    """Kill at moments spread over the work until so many kills have come in time."""
    moments, hits, tries = random.Random(seed), 0, 0
    while hits < times:
        hits += kill(work, folder, work.seconds * (tries % times + moments.random()) / times)
        tries += 1
        assert tries <= 3 * times, f"only {hits} of {tries} kills came in time"
    print(f"{hits} of {tries} kills came in time, of {work.seconds:.1f} s each")


def test_build_is_killed(server: Server, loaded: Path, tmp_path: Path) -> None:
    work = equity(server, loaded, ["build", "feat_adv"], tmp_path / "aside")
    kill_often(work, tmp_path / "killed", 2, seed=1)


@pytest.mark.slow
def test_train_is_killed(server: Server, trained: Path, tmp_path: Path) -> None:
    words: list[object] = ["train", "--set", "adr.model.selection=ic"]
    kill_often(adr(server, trained, words, tmp_path / "aside"), tmp_path / "killed", 2, seed=3)


@pytest.mark.soak
def test_every_moment_of_build(server: Server, loaded: Path, tmp_path: Path) -> None:
    kill_often(equity(server, loaded, ["build"], tmp_path / "aside"), tmp_path / "killed", MANY["build"], 5)


@pytest.mark.soak
def test_every_moment_of_update(
    server: Server, built: Path, files: tuple[Path, Path], tmp_path: Path
) -> None:
    words: list[object] = ["update", "--source", files[1]]
    kill_often(equity(server, built, words, tmp_path / "aside"), tmp_path / "killed", MANY["update"], 6)


@pytest.mark.soak
def test_every_moment_of_train(server: Server, desk: Path, tmp_path: Path) -> None:
    words: list[object] = ["train", "--set", "adr.model.selection=ic"]
    kill_often(adr(server, desk, words, tmp_path / "aside"), tmp_path / "killed", MANY["train"], 7)


@pytest.mark.soak
def test_every_moment_of_signal(server: Server, desk: Path, tmp_path: Path) -> None:
    words: list[object] = ["signal", "--set", "adr.signal.min_coverage=0.99"]
    kill_often(adr(server, desk, words, tmp_path / "aside"), tmp_path / "killed", MANY["signal"], 8)


@pytest.mark.slow
def test_update_and_signal_are_killed(
    server: Server, built: Path, desk: Path, files: tuple[Path, Path], tmp_path: Path
) -> None:
    update = equity(server, built, ["update", "--source", files[1]], tmp_path / "built")
    kill_often(update, tmp_path / "killed", 2, seed=2)
    words: list[object] = ["signal", "--set", "adr.signal.min_coverage=0.99"]
    kill_often(adr(server, desk, words, tmp_path / "desk"), tmp_path / "killed", 2, seed=4)


def workers_of(pid: int) -> list[psutil.Process]:
    """Worker processes of a command that are at work."""
    return [one for one in psutil.Process(pid).children() if "loky" in " ".join(one.cmdline())]


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["worker", "master"])
def test_one_process_of_several_is_killed(server: Server, trained: Path, tmp_path: Path, victim: str) -> None:
    folder = copy(trained, tmp_path / "desk")
    before = results(folder)
    words = ["adr", "train", "--data", folder, "--workers", 2, "--set", "adr.model.selection=ic"]
    command = server.start(*words)
    limit = time.monotonic() + 60
    while not any(one.cpu_times().user > 1.0 for one in workers_of(command.pid)):
        assert time.monotonic() < limit, "no worker works"
        time.sleep(0.05)
    workers = [one for one in workers_of(command.pid) if "popen_loky" in " ".join(one.cmdline())]
    if victim == "worker":
        workers[0].kill()
        refused(command.end(), 1, "worker processes was killed", "run.workers")
    else:
        command.kill(group=False)
        assert command.end().code == -9
    _, alive = psutil.wait_procs(workers, timeout=30)
    assert not alive, "orphans go on"
    assert results(folder) == before
    server.done(*words)
    check_whole(folder)
