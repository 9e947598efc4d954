"""The desk's steps as commands, and as a pipeline that DVC really runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from kairos.adr.desk import BETAS, MODELS, NOTEBOOK, US_CLOSES, Desk
from kairos.adr.pipeline import write_pipeline
from kairos.adr.run import STEPS
from kairos.errors import InputError
from kairos.settings import load
from kairos.simulate.adr import simulate_desk

BIN = Path(sys.executable).parent
SETTINGS = [
    "adr.end=2025-03-31",
    "adr.betas.window_days=90",
    "adr.betas.min_pairs=20",
    "adr.evaluation.draws=200",
]


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small desk's raw files."""
    return simulate_desk(
        tmp_path_factory.mktemp("desk") / "desk", adrs=2, us_stocks=20, months=15, seed=5, minutes=0
    )


@pytest.fixture
def folder(market: Path, tmp_path: Path) -> Path:
    """A copy of it by links: a test may add files."""
    target = tmp_path / "desk"
    subprocess.run(["cp", "-r", str(market), str(target)], check=True)
    return target


def run(*command: object, at: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "DVC_NO_ANALYTICS": "1"}
    return subprocess.run(
        [*map(str, command)], cwd=at, env=environment, capture_output=True, text=True, check=False
    )


def stages(output: str) -> list[str]:
    return re.findall(r"Running stage '(\w+)'", output)


def test_dvc_runs_what_a_change_touches_and_nothing_else(folder: Path) -> None:
    desk = Desk(folder, load())
    written = write_pipeline(desk)
    assert [path.name for path in written] == ["kairos.toml", "dvc.yaml"]
    config = folder / "kairos.toml"
    text = config.read_text()
    for old, new in [
        ('end = "2026-01-30"', 'end = "2025-03-31"'),
        ("window_days = 281", "window_days = 90"),
        ("min_pairs = 60", "min_pairs = 20"),
        ("draws = 2000", "draws = 200"),
    ]:
        assert text.count(old) == 1
        text = text.replace(old, new)
    config.write_text(text)
    assert run("dvc", "init", "--no-scm", "--quiet", at=folder).returncode == 0

    first = run("dvc", "repro", at=folder)
    assert first.returncode == 0, first.stderr
    assert stages(first.stdout) == ["betas", "features", "train", "evaluate", "notebook"]
    assert stages(run("dvc", "repro", at=folder).stdout) == []

    config.write_text(text.replace("draws = 200", "draws = 300"))
    changed = run("dvc", "repro", at=folder)
    assert changed.returncode == 0, changed.stderr
    assert stages(changed.stdout) == ["evaluate", "notebook"]
    assert "cached" not in changed.stdout


def test_a_file_of_the_user_is_no_output(folder: Path) -> None:
    desk = Desk(folder, load())
    (folder / BETAS).parent.mkdir(parents=True, exist_ok=True)
    (folder / BETAS).write_text("date,BAB\n2024-01-02,1.0\n")
    text = write_pipeline(desk)[-1].read_text()
    outs = re.findall(r"outs:\n((?:      - .*\n)+)", text)
    assert not any(BETAS in block or US_CLOSES in block for block in outs)
    assert f'- "{BETAS}"' in text
    assert "  betas:" not in text


@pytest.mark.parametrize("name", [NOTEBOOK, f"{MODELS}/lasso/notes.txt", f"{MODELS}/lasso/BAB/2025_01.pkl"])
def test_a_file_of_the_user_where_a_stage_writes_is_named(folder: Path, name: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("mine")
    with pytest.raises(InputError, match=re.escape(f"{folder / name}: this file was not made by the desk")):
        write_pipeline(Desk(folder, load()))
    assert not (folder / "dvc.yaml").exists()
    write_pipeline(Desk(folder, load(), force=True))


def test_settings_that_dvc_can_not_follow(folder: Path) -> None:
    desk = Desk(folder, load())
    (folder / "kairos.toml").write_text("[adr]\nstart = '2024-01-02'\n")
    with pytest.raises(InputError, match=r"adr\.end.*adr\.betas"):
        write_pipeline(desk)
    (folder / "kairos.toml").unlink()
    write_pipeline(desk)
    text = (folder / "kairos.toml").read_text().replace('"2024-01-02"', "2024-01-02")
    (folder / "kairos.toml").write_text(text)
    with pytest.raises(InputError, match=r"adr\.start in quotes"):
        write_pipeline(desk)


def test_run_does_every_step_and_the_report_is_written(folder: Path, tmp_path: Path) -> None:
    overrides = [word for text in SETTINGS for word in ("--set", text)]
    done = run("kairos", "adr", "run", "--data", folder, "--workers", 1, *overrides, at=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [line.split()[1].rstrip(":") for line in done.stdout.splitlines()] == [s.name for s in STEPS]
    report = tmp_path / "report.html"
    made = run("kairos", "adr", "report", "--data", folder, "--out", report, *overrides, at=tmp_path)
    assert made.returncode == 0, made.stderr
    assert report.stat().st_size > 100_000
    again = run("kairos", "adr", "betas", "--data", folder, "--json", *overrides, at=tmp_path)
    assert '"ADR"' in again.stdout


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("data/raw/adr_info.csv", "adr_info.csv"),
        ("data/raw/ordinary/ord_PX_LAST_adjust_all.csv", "ord_PX_LAST_adjust_all.csv"),
        ("data/raw/close_time_offsets.csv", "close_time_offsets.csv"),
    ],
)
def test_a_missing_file_is_named_and_nothing_is_written(
    folder: Path, tmp_path: Path, broken: str, message: str
) -> None:
    (folder / broken).unlink()
    before = sorted(folder.rglob("*"))
    ended = run("kairos", "adr", "betas", "--data", folder, at=tmp_path)
    assert ended.returncode == 2
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr
    assert sorted(folder.rglob("*")) == before


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    ended = run("kairos", "adr", "run", "--data", tmp_path / "none", at=tmp_path)
    assert ended.returncode == 2
    assert "--data" in ended.stderr
