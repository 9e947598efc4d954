"""The desk's steps as a DVC pipeline.

DVC is a tool that users run, no library of ours: `dvc.yaml` names for each step its command, what it reads
and writes, and the settings in `kairos.toml` on which it depends; `dvc repro` runs what has changed. A file
that the user brought is a dependency and never an output, for DVC deletes outputs before it makes them again.
"""

from __future__ import annotations

import datetime as dt
import json
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from kairos.adr.run import STEPS, Step
from kairos.errors import InputError
from kairos.settings.load import DEFAULT_FILE, defaults_text

if TYPE_CHECKING:
    from kairos.adr.desk import Desk

PIPELINE = "dvc.yaml"
HEADING = (
    "# The desk's steps, written by `kairos adr pipeline`.\n"
    "# Write it anew when the list of ADRs, your own files or the model's name change.\n"
)


def write_pipeline(desk: Desk) -> list[Path]:
    """Write ``dvc.yaml`` and, where there is none, ``kairos.toml`` with every setting of the desk.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    InputError
        When a ``kairos.toml`` is there that lacks settings which the stages follow, or the instrument map or
        a file of the user is wrong, or, without ``force``, when the user has files where a stage writes.
    """
    config = desk.path(DEFAULT_FILE)
    files = []
    if config.is_file():
        _check_complete(config)
    else:
        files.append((DEFAULT_FILE, lambda path: path.write_text(_desk_settings(), encoding="utf-8")))
    stages = [(step, step.writes(desk)) for step in STEPS]
    desk.refuse_users(name for _, outs in stages for out in outs for name in _files(desk, out))
    text = HEADING + "stages:\n" + "".join(_stage(desk, step, outs) for step, outs in stages if outs)
    files.append((PIPELINE, lambda path: path.write_text(text, encoding="utf-8")))
    return desk.save(files)


def _files(desk: Desk, out: str) -> list[str]:
    """Files that DVC would delete with an output, but for hidden ones; relative to the root."""
    path = desk.path(out)
    there = sorted(path.rglob("*")) if path.is_dir() else [path]
    inside = [each.relative_to(path) for each in there if each.is_file() and not each.name.startswith(".")]
    return [str(Path(out) / each) for each in inside]


def _stage(desk: Desk, step: Step, outs: list[str]) -> str:
    """One stage in YAML; texts are written as JSON, which is YAML."""
    reads = [*step.reads(desk), *(name for name in step.maybe if desk.path(name).exists())]
    lines = [f"  {step.name}:", f"    cmd: kairos adr {step.name} --data .", "    deps:"]
    lines += [f"      - {json.dumps(name)}" for name in dict.fromkeys(reads)]
    lines += ["    params:", f"      - {DEFAULT_FILE}:"]
    lines += [f"          - {key}" for key in step.settings]
    lines += ["    outs:", *(f"      - {json.dumps(name)}" for name in outs)]
    return "\n".join(lines) + "\n"


def _desk_settings() -> str:
    """The part of the packaged defaults that the desk reads, comments included."""
    text = defaults_text()
    return text[text.index("# The ADR desk:") :]


def _check_complete(config: Path) -> None:
    """Stages can follow only what stands in the file: what is missing there is named."""
    tree = tomllib.loads(config.read_text(encoding="utf-8"))
    missing, dates = [], []
    for key in dict.fromkeys(key for step in STEPS for key in step.settings):
        value: object = tree
        for part in key.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if value is None:
            missing.append(key)
        if isinstance(value, dt.date):
            dates.append(key)
    if missing:
        raise InputError(
            f"{config}: DVC follows settings that stand in the file, and {', '.join(missing)} do not; add "
            "them with their present values (`kairos config show` prints them)"
        )
    if dates:
        raise InputError(f"{config}: DVC can't follow a bare date; write {', '.join(dates)} in quotes")
