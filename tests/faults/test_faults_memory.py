"""Too little memory: a message that names the setting, and the catalog is what it was."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest
from faults_desk import Server, check_readable, check_whole, copy, refused, results, tables

TOLD = ("not enough memory", "run.memory_limit", "run.workers")


def test_a_limit_that_does_not_do(server: Server, loaded: Path, tmp_path: Path) -> None:
    db = copy(loaded, tmp_path / "store") / "kairos.duckdb"
    before = tables(db)
    ended = server.run("equity", "build", "feat_adv", "--db", db, "--set", "run.memory_limit='1MB'")
    refused(ended, 1, *TOLD)
    assert tables(db) == before
    check_readable(db)


def test_too_little_for_the_libraries() -> None:
    """Below it OpenBLAS asks for memory for ever while it is loaded, and nothing can end it but a kill."""
    limit = 700_000_000
    ended = subprocess.run(
        [sys.executable, "-c", "from kairos.cli import main; main(['equity', 'status'])"],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.returncode == 1
    assert "0.70 GB (ulimit -v), and the libraries alone take 1.2 GB: raise it" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.slow
@pytest.mark.parametrize("room", [150_000_000, 300_000_000, 500_000_000])
def test_a_build_within_little_memory(server: Server, loaded: Path, tmp_path: Path, room: int) -> None:
    db = copy(loaded, tmp_path / "store") / "kairos.duckdb"
    before = tables(db)
    ended = server.run("equity", "build", "--db", db, above=room)
    if ended.code:
        refused(ended, 1, *TOLD)
        assert tables(db) == before
    check_readable(db)
    server.done("equity", "build", "--db", db)
    check_readable(db)


@pytest.mark.slow
@pytest.mark.parametrize("limit", ["5MB", "30MB"])
def test_a_limit_that_is_low(
    server: Server, built: Path, files: tuple[Path, Path], tmp_path: Path, limit: str
) -> None:
    """DuckDB spills to the disk, and says so when that does not do."""
    db = copy(built, tmp_path / "store") / "kairos.duckdb"
    before = tables(db)
    words = ["equity", "update", "--source", files[1], "--db", db]
    ended = server.run(*words, "--set", f"run.memory_limit='{limit}'")
    if ended.code:
        refused(ended, 1, "memory", "run.memory_limit")
        assert tables(db) == before
    server.done(*words)
    check_readable(db)


@pytest.mark.slow
@pytest.mark.parametrize("room", [150_000_000, 300_000_000])
def test_a_desk_within_little_memory(server: Server, desk: Path, tmp_path: Path, room: int) -> None:
    folder = copy(desk, tmp_path / "desk")
    for words in (["train", "--set", "adr.model.selection=ic"], ["signal"]):
        before = results(folder)
        ended = server.run("adr", *words, "--data", folder, above=room)
        if ended.code:
            refused(ended, 1, *TOLD)
        check_whole(folder)
        if words[0] == "train" and ended.code:
            assert results(folder) == before
        server.done("adr", *words, "--data", folder)
