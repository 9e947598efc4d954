"""One small market, loaded and built by the commands themselves."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_equity_desk import Desk, equity, kairos


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No kairos.toml of the current folder, and no file written into it."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    folder = tmp_path_factory.mktemp("desk")
    made = Desk(folder / "vendor", folder / "data" / "kairos.duckdb")
    assert (
        kairos("simulate", "equity", "--out", made.vendor, "--tickers", 70, "--years", 2, "--seed", 5).code
        == 0
    )
    equity("ingest", made.vendor, "--db", made.db)
    equity("build", "--db", made.db)
    return made
