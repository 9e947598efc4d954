"""One store and one data directory for the whole corpus: no case may change them."""

from __future__ import annotations

from pathlib import Path

import pytest
from corpus_desk import make_adr, make_equity


@pytest.fixture(scope="session")
def equity(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The catalog of a small store."""
    return make_equity(tmp_path_factory.mktemp("equity"))


@pytest.fixture(scope="session")
def adr(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small data directory of the ADR desk."""
    return make_adr(tmp_path_factory.mktemp("adr"))


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No kairos.toml of the current folder, and no file written into it."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
