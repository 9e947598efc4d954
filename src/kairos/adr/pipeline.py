"""The desk's steps as a DVC pipeline.

DVC is a tool that users run, no library of ours: `dvc.yaml` names for each step its command, what it reads
and writes, and the settings in `kairos.toml` on which it depends; `dvc repro` runs what has changed. A file
that the user brought is a dependency and never an output, for DVC deletes outputs before it makes them again.
Stages of others in the same file stay as they are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kairos.adr.run import STEPS, Step
from kairos.errors import InputError
from kairos.pipeline import FILE, check_dates, save, settings_of, with_stages
from kairos.settings.load import DEFAULT_FILE, defaults_text

if TYPE_CHECKING:
    from kairos.adr.desk import Desk

OWNER = "adr"
HEADING = "  # Write it anew when the list of ADRs, your own files or the model's name change.\n"


def write_pipeline(desk: Desk) -> list[Path]:
    """Write the desk's stages into ``dvc.yaml``, and all its settings into a ``kairos.toml`` without any.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    InputError
        When a ``kairos.toml`` has some of the settings that the stages follow and lacks others, ``dvc.yaml``
        is not understood, or the instrument map or a file of the user is wrong, or, without ``force``, when
        the user has files where a stage writes, or changed the stages.
    """
    config, file = desk.path(DEFAULT_FILE), desk.path(FILE)
    tree = settings_of(config)
    if OWNER in tree:
        _check_complete(config, tree)
    stages = [(step, step.writes(desk)) for step in STEPS]
    desk.refuse_users(name for _, outs in stages for out in outs for name in _files(desk, out))
    made = [out for _, outs in stages for out in outs]
    text = {step.name: _stage(desk, step, outs, made) for step, outs in stages if outs}
    if text:
        first = next(iter(text))
        text[first] = HEADING + text[first]
    pipeline = with_stages(file, OWNER, text, force=desk.force)
    written = []
    if OWNER not in tree:
        before = f"{config.read_text(encoding='utf-8')}\n" if config.is_file() else ""
        save(config, before + _desk_settings())
        written.append(config)
    save(file, pipeline)
    return [*written, file]


def _files(desk: Desk, out: str) -> list[str]:
    """Files that DVC would delete with an output, but for hidden ones; relative to the root."""
    path = desk.path(out)
    there = sorted(path.rglob("*")) if path.is_dir() else [path]
    inside = [each.relative_to(path) for each in there if each.is_file() and not each.name.startswith(".")]
    return [str(Path(out) / each) for each in inside]


def _stage(desk: Desk, step: Step, outs: list[str], made: list[str]) -> str:
    """One stage in YAML; texts are written as JSON, which is YAML. `made` is what all stages write."""
    found = [
        n for n in step.maybe if desk.path(n).exists() or any(f"{out}/".startswith(f"{n}/") for out in made)
    ]
    reads = [*step.reads(desk), *found]
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


def _check_complete(config: Path, tree: Mapping[str, Any]) -> None:
    """Stages can follow only what stands in the file: what is missing there is named."""
    missing = []
    for key in dict.fromkeys(key for step in STEPS for key in step.settings):
        value: object = tree
        for part in key.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if value is None:
            missing.append(key)
    if missing:
        raise InputError(
            f"{config}: DVC follows settings that stand in the file, and {', '.join(missing)} do not; add "
            "them with their present values (`kairos config show` prints them)"
        )
    check_dates(config, tree[OWNER], OWNER)
