"""What the tests of faults share: a server of commands, and a small market and desk that are copied."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from faults_desk import STEPS, Server, adr_desk, copy, market

Mount = Callable[[str, int], Path]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Starts commands."""
    server = Server(tmp_path_factory.mktemp("server"))
    yield server
    server.close()


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Vendor files up to an evening, and of that evening."""
    return market(tmp_path_factory.mktemp("market"), tickers=30)


@pytest.fixture(scope="session")
def loaded(server: Server, files: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a store in which the vendor's files are loaded and nothing is built."""
    folder = tmp_path_factory.mktemp("loaded") / "store"
    server.done("equity", "ingest", files[0], "--db", folder / "kairos.duckdb")
    return folder


@pytest.fixture(scope="session")
def built(server: Server, loaded: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with every table."""
    folder = copy(loaded, tmp_path_factory.mktemp("built") / "store")
    server.done("equity", "build", "--db", folder / "kairos.duckdb")
    return folder


@pytest.fixture(scope="session")
def trained(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data directory of an ADR desk that has its models."""
    return adr_desk(server, tmp_path_factory.mktemp("adr") / "desk", STEPS[: STEPS.index("train") + 1])


@pytest.fixture(scope="session")
def desk(server: Server, trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with all its results."""
    folder = copy(trained, tmp_path_factory.mktemp("adr") / "desk")
    for step in STEPS[STEPS.index("train") :]:
        server.done("adr", step, "--data", folder)
    return folder


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """Make a small file system of its own, `mount(name, megabytes)`; who may not is told so."""
    mounted: list[Path] = []

    def make(name: str, megabytes: int) -> Path:
        place = tmp_path / name
        place.mkdir()
        words = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(place)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"a file system can't be mounted here: {done.stderr.strip()}")
        mounted.append(place)
        return place

    yield make
    for place in mounted:
        subprocess.run(["umount", "--lazy", str(place)], check=True)
