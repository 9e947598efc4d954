"""The desk's run ledger: which step, with which settings, code and inputs, wrote which files.

A line of JSON a run, in ``data/processed/.kairos_runs.jsonl``: whoever has a file finds the run that made it
by the fingerprint of its content.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kairos.adr.desk import fingerprint
from kairos.store.version import code_version

if TYPE_CHECKING:
    from kairos.adr.desk import Desk
    from kairos.adr.run import Progress, Report, Step

RUNS = "data/processed/.kairos_runs.jsonl"

_LOG = logging.getLogger(__name__)


def run_step(step: Step, desk: Desk, progress: Progress) -> Report:
    """Run a step and record it; a step that fails is not recorded.

    The line has ``id``, ``time`` (UTC), ``step``, ``settings`` (those on which the result depends, seeds
    among them), ``code_version``, ``inputs`` and ``outputs``. An output has the SHA-256 of its content, and
    so has an input that is a file; of a folder, which may hold gigabytes of minutes, the names, sizes and
    times of last change are hashed instead.
    """
    inputs = {name: _state(desk.path(name)) for name in (*step.reads(desk), *step.maybe)}
    report = step.run(desk, progress)
    outputs = {name: fingerprint(desk.path(name)) for name in _files(desk, step.writes(desk))}
    time = dt.datetime.now(dt.UTC).replace(tzinfo=None)
    line: dict[str, Any] = {
        "time": time.isoformat(),
        "step": step.name,
        "settings": {key: desk.settings.part(key) for key in step.settings},
        "code_version": code_version(),
        "inputs": {name: state for name, state in inputs.items() if state},
        "outputs": outputs,
    }
    seal = hashlib.sha256(json.dumps(line, sort_keys=True).encode()).hexdigest()
    line = {"id": f"{time:%Y%m%d-%H%M%S}-{seal[:6]}", **line}
    path = desk.path(RUNS)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as ledger:
        ledger.write(json.dumps(line, ensure_ascii=False) + "\n")
    _LOG.info("recorded", extra={"facts": {"run": line["id"], "step": step.name, "files": len(outputs)}})
    return report


def _files(desk: Desk, names: list[str]) -> Iterator[str]:
    """Names of files, and of those in folders, in order; hidden ones are the desk's own notes."""
    for name in names:
        path = desk.path(name)
        inside = sorted(path.rglob("*")) if path.is_dir() else [path]
        yield from (
            str(Path(name) / each.relative_to(path))
            for each in inside
            if each.is_file() and not each.name.startswith(".")
        )


def _state(path: Path) -> str:
    """Hash of a file's content, or of what a folder says of its files; empty when there is neither."""
    if path.is_file():
        return fingerprint(path)
    told = [
        f"{each.relative_to(path)} {stat.st_size} {stat.st_mtime_ns}"
        for each in sorted(path.rglob("*"))
        if each.is_file() and (stat := each.stat())
    ]
    return hashlib.sha256("\n".join(told).encode()).hexdigest() if told else ""
