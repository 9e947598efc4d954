"""The file dvc.yaml, of which each desk writes its part: what others wrote stays, and is read as YAML."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from kairos.errors import InputError
from kairos.pipeline import check_dates, save, settings_of, with_stages

ONE = {"equity": "  equity:\n    cmd: one\n    deps:\n      - vendor\n"}
TWO = {"betas": "  betas:\n    cmd: b\n", "train": "  train:\n    cmd: t\n"}

MINE = """\
# my pipeline
vars:
  - params.yaml   # kept

stages:
    # fetches
    fetch:   # mine
        cmd: |
            echo stages:
            # >>> not a part
        outs: [raw]

    "report":
        cmd: make report

plots:
- report.html
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "dvc.yaml"


def test_a_new_file(file: Path) -> None:
    save(file, with_stages(file, "equity", ONE))
    assert yaml.safe_load(file.read_text()) == {"stages": {"equity": {"cmd": "one", "deps": ["vendor"]}}}
    assert [path.name for path in file.parent.iterdir()] == ["dvc.yaml"]


def test_what_others_wrote_stays_to_the_letter(file: Path) -> None:
    file.write_text(MINE)
    save(file, with_stages(file, "equity", ONE))
    text = file.read_text()
    before, after = yaml.safe_load(MINE), yaml.safe_load(text)
    assert after["stages"].pop("equity") == {"cmd": "one", "deps": ["vendor"]}
    assert after == before
    kept = iter(text.splitlines())
    assert all(line in kept for line in MINE.splitlines())  # in order


@pytest.mark.parametrize(
    "start", ["", MINE, "stages:\n", "vars: [a]\n", "stages:\n  x:\n    cmd: x\n# end\n"]
)
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_two_desks_in_either_order_and_again(file: Path, start: str, order: tuple[int, int]) -> None:
    desks = [("equity", ONE), ("adr", TWO)]
    if start:
        file.write_text(start)
    for i in order:
        save(file, with_stages(file, *desks[i]))
    text = file.read_text()
    others = (yaml.safe_load(start) or {}).get("stages") or {} if start else {}
    assert set(yaml.safe_load(text)["stages"]) == {"equity", "betas", "train", *others}
    for i in (0, 1, 0):
        assert with_stages(file, *desks[i]) == text


def test_stages_that_are_no_more_go_and_the_others_stay(file: Path) -> None:
    file.write_text(MINE)
    for owner, stages in (("adr", TWO), ("equity", ONE), ("adr", {"train": "  train:\n    cmd: new\n"})):
        save(file, with_stages(file, owner, stages))
    found = yaml.safe_load(file.read_text())["stages"]
    assert set(found) == {"fetch", "report", "equity", "train"}
    assert found["train"]["cmd"] == "new"


def test_a_stage_changed_by_hand_is_not_written_over_unasked(file: Path) -> None:
    save(file, with_stages(file, "equity", ONE))
    changed = file.read_text().replace("cmd: one", "cmd: mine")
    file.write_text(changed)
    with pytest.raises(InputError, match=r"lines 2 to 7.*changed since.*--force"):
        with_stages(file, "equity", ONE)
    assert "cmd: one" in with_stages(file, "equity", ONE, force=True)
    save(file, with_stages(file, "adr", TWO))
    assert "cmd: mine" in file.read_text()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stages: {fetch: {cmd: x}}\n", r"line 1: 'stages: \{fetch"),
        ("stages:\n  a:\n    cmd: x\n<<<<<<< HEAD\n  b:\n    cmd: y\n", "line 4: '<<<<<<< HEAD'"),
        ("stages:\n  a:\n    cmd: x\nstages:\n  b:\n    cmd: y\n", "line 1"),
        ("stages:\n    a:\n      cmd: x\n  b:\n    cmd: y\n", "line 4: 'b:'"),
        ("stages:\n  - a\n", "line 2: '- a'"),
        ("just a text\n", "line 1"),
        ("stages:\n  equity:\n    cmd: mine\n", "line 2: a stage equity is there already"),
        ("stages:\n  # <<< kairos equity pipeline\n", "damaged"),
        (b"stages:\n  \xff:\n", "UTF-8"),
    ],
)
def test_a_file_that_is_not_understood_is_refused(file: Path, text: str | bytes, message: str) -> None:
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=message):
        with_stages(file, "equity", ONE)


def test_bare_dates_and_damaged_settings(tmp_path: Path) -> None:
    config = tmp_path / "kairos.toml"
    assert settings_of(config) == {}
    config.write_text("[equity.backtest]\nstart = 2015-01-02\nend = '2016-01-04'\n")
    with pytest.raises(InputError, match=r"write equity\.backtest\.start in quotes"):
        check_dates(config, settings_of(config)["equity"], "equity")
    config.write_text("[equity\n")
    with pytest.raises(InputError, match=r"kairos\.toml"):
        settings_of(config)
