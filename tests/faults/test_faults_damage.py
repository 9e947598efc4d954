"""Damaged files are recognised and named by every command that reads them, and nothing is changed."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from faults_desk import OWN, Server, copy, refused, results, tables

from kairos.store import Store


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def overwritten(path: Path) -> None:
    """Blocks of the disk that hold something else, in the middle half: every reader meets them."""
    content = bytearray(path.read_bytes())
    quarter = len(content) // 4
    content[quarter : 3 * quarter] = random.Random(1).randbytes(2 * quarter)
    path.write_bytes(content)


def scrambled(path: Path) -> None:
    """All but the first blocks."""
    content = bytearray(path.read_bytes())
    content[16384:] = random.Random(4).randbytes(len(content) - 16384)
    path.write_bytes(content)


def bad_end(path: Path) -> None:
    """The last bytes, where Parquet has its footer and JSON its closing brackets."""
    content = bytearray(path.read_bytes())
    block = random.Random(2).randbytes(min(300, len(content) // 4))
    content[-len(block) :] = block
    path.write_bytes(content)


def bad_footer(path: Path) -> None:
    """The footer alone; length and magic number behind it are right."""
    content = bytearray(path.read_bytes())
    length = int.from_bytes(content[-8:-4], "little")
    content[-8 - length : -8] = random.Random(3).randbytes(length)
    path.write_bytes(content)


HARMS: list[Callable[[Path], None]] = [cut, empty, overwritten, bad_end]


def part_of(db: Path, name: str) -> Path:
    """The largest part of a table."""
    return max(Store(db).snapshot().table(name).parts, key=lambda part: part.bytes).path


def harmed(server: Server, path: Path, harm: Callable[[Path], None], *commands: list[object]) -> None:
    """Damage a file; every command names it, or makes it anew where it was asked to."""
    whole = path.read_bytes()
    for words in commands:
        path.write_bytes(whole)
        harm(path)
        ended = server.run(*words)
        if ended.code == 0 and "--force" in words and words[0] == "equity":
            assert path.read_bytes() == whole, (words, ended)
            continue
        assert ended.code in (1, 2), (words, ended)
        refused(ended, ended.code, path)
    path.write_bytes(whole)


def test_damage_in_a_store(server: Server, loaded: Path, tmp_path: Path) -> None:
    """The cheap cases: the catalog, a part."""
    db = copy(loaded, tmp_path / "store") / "kairos.duckdb"
    before = tables(db)
    build: list[object] = ["equity", "build", "feat_adv", "--db", db]
    harmed(server, db, scrambled, build)
    harmed(server, part_of(db, "sep_base"), cut, build)
    harmed(server, part_of(db, "sep_base"), overwritten, build)
    assert tables(db) == before
    overwritten(part_of(db, "tickers"))
    ended = server.run("doctor", "--verify", "--db", db)
    assert (ended.code, "Traceback" in ended.err) == (1, False)
    assert str(part_of(db, "tickers")) in ended.out


@pytest.mark.slow
@pytest.mark.parametrize("harm", [cut, empty, scrambled])
def test_a_damaged_catalog(
    server: Server, built: Path, files: tuple[Path, Path], tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    db = copy(built, tmp_path / "store") / "kairos.duckdb"
    commands: list[list[object]] = [
        ["equity", "build", "--db", db],
        ["equity", "update", "--source", files[1], "--db", db],
        ["equity", "ingest", files[1], "--db", db],
        ["equity", "status", "--db", db],
        ["equity", "snapshots", "--db", db],
        ["equity", "vacuum", "--db", db],
        ["equity", "relocate", "--db", db],
        ["equity", "backtest", "baseline", "--alpha", "ret_21d", "--db", db],
        ["equity", "signals", "--alpha", "ret_21d", "--db", db],
        ["equity", "export-db", tmp_path / "out.duckdb", "--db", db],
    ]
    harmed(server, db, harm, *commands)


@pytest.mark.slow
@pytest.mark.parametrize("harm", [cut, empty, bad_end, bad_footer, overwritten, "lost"])
def test_a_damaged_part(
    server: Server, built: Path, tmp_path: Path, harm: Callable[[Path], None] | str
) -> None:
    db = copy(built, tmp_path / "store") / "kairos.duckdb"
    alpha = ["--alpha", "ret_21d", "--db", db]
    commands: list[list[object]] = [
        ["equity", "build", "--db", db, "--force"],
        ["equity", "backtest", "baseline", *alpha],
        ["equity", "signals", *alpha],
        ["equity", "export-db", tmp_path / "out.duckdb", "--db", db],
        ["equity", "relocate", "--db", db],
    ]
    before = tables(db)
    harmed(server, part_of(db, "sep_base_academic"), Path.unlink if harm == "lost" else harm, *commands)
    assert tables(db) == before


@pytest.mark.slow
@pytest.mark.parametrize("harm", HARMS)
def test_a_damaged_manifest(
    server: Server, loaded: Path, tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    """Manifests of earlier snapshots and of the published one."""
    db = copy(loaded, tmp_path / "store") / "kairos.duckdb"
    server.done("equity", "build", "feat_adv", "--db", db)
    old = min((db.with_suffix("") / "_catalogs").glob("*/*.json"), key=lambda path: path.name)
    commands: list[list[object]] = [
        ["equity", "snapshots", "--db", db],
        ["equity", "vacuum", "--db", db],
        ["equity", "status", "--db", db, "--snapshot", old.stem],
    ]
    harmed(server, old, harm, *commands)
    harm(old)
    server.done("equity", "build", "feat_trend", "--db", db)  # needs none of them


@pytest.mark.slow
@pytest.mark.parametrize("harm", [cut])
def test_damage_in_a_desk(
    server: Server, trained: Path, tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    """The cheap cases: features and targets."""
    folder = copy(trained, tmp_path / "desk")
    models = folder / "data" / "processed" / "models" / "with_us_stocks"
    train: list[object] = ["adr", "train", "--data", folder]
    before = results(folder)
    for path in (next((models / "features").glob("*.parquet")), models / "targets.parquet"):
        harmed(server, path, harm, train)
        harmed(server, path, overwritten, train)
    harmed(server, folder / "data" / "processed" / ".kairos_files.json", harm, train)
    assert results(folder) == before


DESK_FILES = {
    "data/processed/models/with_us_stocks/features/*.parquet": ["train", "evaluate", "report"],
    "data/processed/models/with_us_stocks/targets.parquet": ["train", "evaluate", "report"],
    "data/processed/models/with_us_stocks/lasso/*/*.pkl": ["report"],  # of a month without minutes
    "data/processed/models/with_us_stocks/lasso/predictions.parquet": ["evaluate"],
    "data/processed/models/with_us_stocks/lasso_evaluation/improvement_by_adr.csv": [
        "signal",
        "report",
        "live",
    ],
    "data/processed/models/with_us_stocks/lasso_evaluation/baseline_comparison.csv": ["signal", "report"],
    "data/processed/russell1000/russell_betas/*.parquet": ["signal"],
    "data/processed/futures_only_signal/*/data.parquet": ["signal"],
    "data/processed/futures/converted_minute_bars/*/*.parquet": ["baseline", "signal"],
    "data/raw/russell1000/ohlcv-1m/*/data.parquet": ["align"],  # of a stock that no model uses
    "data/raw/adrs/bbo-1m/nbbo/*/data.parquet": ["baseline", "convert"],
    "data/raw/adr_info.csv": ["betas", "signal"],
    "data/raw/indices/indices_PX_LAST.csv": ["betas", "features"],
}
"""Files of a desk, and steps that read them."""


def _has_checksums(pattern: str) -> bool:
    """Whether the desk has written the files, and not their owner."""
    return pattern.removeprefix("data/processed/").startswith(OWN)


@pytest.mark.slow
@pytest.mark.parametrize("pattern", DESK_FILES)
def test_a_damaged_file_of_a_desk(server: Server, desk: Path, tmp_path: Path, pattern: str) -> None:
    folder = copy(desk, tmp_path / "desk")
    path = sorted(folder.glob(pattern))[-1]
    more = {"report": ["--out", tmp_path / "a.html"], "live": ["--at", "2025-03-31T14:05"]}
    forced = {"convert", "align", "betas", "baseline", "signal", "features"}
    commands: list[list[object]] = [
        ["adr", step, "--data", folder, *more.get(step, []), *(["--force"] if step in forced else [])]
        for step in DESK_FILES[pattern]
    ]
    harms = [cut, empty] if path.suffix == ".csv" else [cut, empty, bad_end]
    harms += [bad_footer] if path.suffix == ".parquet" else []
    harms += (
        [overwritten]
        if path.suffix == ".parquet" and pattern.removeprefix("data/processed/").startswith(OWN)
        else []
    )
    for harm in harms:  # the report reads few columns, and a wrong byte may stand in another one
        harmed(server, path, harm, *(c for c in commands if harm is not overwritten or c[1] != "report"))


def test_too_many_open_files(server: Server, loaded: Path, tmp_path: Path) -> None:
    db = copy(loaded, tmp_path / "store") / "kairos.duckdb"
    ended = server.run("equity", "build", "feat_adv", "--db", db, limits={"RLIMIT_NOFILE": 8})
    refused(ended, 1, "Too many open files", "ulimit -n")
