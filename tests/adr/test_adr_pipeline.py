"""The desk's steps as commands, and as a pipeline that DVC really runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from kairos.adr.desk import BASELINE, BETAS, MODELS, NOTEBOOK, US_CLOSES, Desk
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_dvc_goes_from_raw_minutes_to_the_signal(tmp_path: Path) -> None:
    """One `dvc repro` on a desk that has nothing the desk can make; another gate runs what depends on it."""
    root = simulate_desk(
        tmp_path / "desk", adrs=2, us_stocks=20, months=15, seed=5, minutes=1, derived=("us_closes",)
    )
    write_pipeline(Desk(root, load()))
    config = root / "kairos.toml"
    text = config.read_text()
    for old, new in [
        ('end = "2026-01-30"', 'end = "2025-03-31"'),
        ("window_days = 281", "window_days = 90"),
        ("min_pairs = 60", "min_pairs = 20"),
        ("draws = 2000", "draws = 200"),
    ]:
        text = text.replace(old, new)
    config.write_text(text)
    assert run("dvc", "init", "--no-scm", "--quiet", at=root).returncode == 0
    first = run("dvc", "repro", at=root)
    assert first.returncode == 0, first.stderr
    ran = re.findall(r"Running stage '([\w-]+)'", first.stdout)
    assert sorted(ran) == sorted(step.name for step in STEPS if step.name != "align")
    assert ran.index("convert") < ran.index("betas") < ran.index("train") < ran.index("signal")
    assert ran.index("baseline") < ran.index("signal") < ran.index("evaluate-signal")
    for folder in ("futures_only_signal", "index_russell_lasso_signal"):
        assert len(list((root / f"data/processed/{folder}").glob("ticker=*/data.parquet"))) == 2
    assert stages(run("dvc", "repro", at=root).stdout) == []
    config.write_text(text.replace("min_improvement = 0.04", "min_improvement = -9.0"))
    changed = run("dvc", "repro", at=root)
    ran = re.findall(r"Running stage '([\w-]+)'", changed.stdout)
    assert "signal" in ran
    assert not {"convert", "features", "train", "baseline"} & set(ran)


def test_stages_of_the_minute_signal(tmp_path: Path) -> None:
    """From raw minutes: what an earlier stage makes is a dependency of the later ones before it exists."""
    root = simulate_desk(
        tmp_path / "desk", adrs=2, us_stocks=20, months=2, seed=5, minutes=1, derived=("us_closes",)
    )
    text = write_pipeline(Desk(root, load()))[-1].read_text()
    found = {
        name: text.partition(f"\n  {name}:\n")[2].partition("\n  # <<<")[0] for name in ("convert", "betas")
    }
    outs = found["convert"].partition("outs:")[2].partition("\n  betas")[0]
    assert 'converted_minute_bars/symbol=FTUK"' in outs
    assert "adr_mid_at_ord_auction_adjust_none.csv" in outs
    assert '"data/processed/futures/converted_minute_bars"' in found["betas"].partition("params:")[0]
    assert text.count("cmd: kairos adr ") == len(STEPS) - 1  # no `align`: the user's files


def test_a_baseline_of_the_user_is_no_output(tmp_path: Path) -> None:
    root = simulate_desk(tmp_path / "desk", adrs=2, us_stocks=20, months=2, seed=5, minutes=1)
    mine = root / BASELINE / "ticker=BAB" / "data.parquet"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(InputError, match=r"futures_only_signal/ticker=BAB.*not made by the desk"):
        write_pipeline(Desk(root, load()))
    text = write_pipeline(Desk(root, load(overrides=["adr.baseline.source=user"])))[-1].read_text()
    assert not re.search(rf'outs:\n(      - .*\n)*      - "{BASELINE}"', text)
    assert f'- "{BASELINE}"' in text  # what `signal` reads
    assert "  baseline:" not in text


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
    before = held(folder)
    ended = run("kairos", "adr", "betas", "--data", folder, at=tmp_path)
    assert ended.returncode == 2
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr
    assert held(folder) == before


def held(folder: Path) -> list[Path]:
    """What lies in a folder but for locks and the log of calls, which say nothing of results."""
    return sorted(path for path in folder.rglob("*") if path.suffix != ".lock" and "logs" not in path.parts)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    ended = run("kairos", "adr", "run", "--data", tmp_path / "none", at=tmp_path)
    assert ended.returncode == 2
    assert "--data" in ended.stderr
