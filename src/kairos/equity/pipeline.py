"""The equity desk as a stage of a DVC pipeline.

The stage depends on the vendor's folder and on the section ``equity`` of ``kairos.toml``. The store is its
output and stays where it is (``persist``) and out of DVC's cache: it keeps its own history.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from kairos.errors import InputError
from kairos.pipeline import FILE, check_dates, save, settings_of, with_stages
from kairos.settings import load
from kairos.settings.load import DEFAULT_FILE
from kairos.store.layout import Layout

STAGE = "equity"
SECTION = (
    "\n# Settings of the equity desk go below this line, in sections such as [equity.universe].\n[equity]\n"
)


def write_pipeline(
    sources: Sequence[Path], folder: Path = Path(), *, db: Path | None = None, force: bool = False
) -> list[Path]:
    """Write the equity desk's stage into ``dvc.yaml``, other stages and comments kept.

    The stage runs ``kairos equity update``, which loads everything on the first run. A ``kairos.toml``
    without a section ``equity`` gets an empty one, for DVC follows only what stands in the file.

    Parameters
    ----------
    sources : sequence of Path
        Folders and files of the vendor.
    folder : Path
        Where ``dvc.yaml`` and ``kairos.toml`` are, and where ``dvc repro`` is run.
    db : Path, optional
        The catalog, below the folder; without it ``data.db`` of the settings.
    force : bool
        Write over the stage although it was changed by hand.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    InputError
        When a source does not exist, the catalog would not be below the folder, or a file is not understood.
    """
    config, file = folder / DEFAULT_FILE, folder / FILE
    tree = settings_of(config)
    check_dates(config, tree.get(STAGE, {}), STAGE)
    stage = _stage(folder, sources, db or Path(load(config if config.is_file() else None).data.db))
    text = with_stages(file, STAGE, {STAGE: stage}, force=force)
    written = []
    if STAGE not in tree:
        before = config.read_text(encoding="utf-8") if config.is_file() else ""
        save(config, f"{before}{SECTION}" if before else SECTION.lstrip())
        written.append(config)
    save(file, text)
    return [*written, file]


def _stage(folder: Path, sources: Sequence[Path], db: Path) -> str:
    """The stage in YAML; texts are written as JSON, which is YAML."""
    if not sources:
        raise InputError("--source: name the folder of the vendor's files")
    for path in sources:
        if not path.exists():
            raise InputError(f"--source {path}: there is no such file or folder")
    root = folder.resolve()
    catalog = Layout.of(root / db)
    if not catalog.db.is_relative_to(root):
        raise InputError(f"--db {db}: DVC wants it below {root}, where {FILE} is")
    reads = [_seen_from(root, path) for path in sources]
    outs = [str(path.relative_to(root)) for path in (catalog.db, catalog.folder)]
    command = ["kairos", "equity", "update", "--db", outs[0]]
    command += [word for path in reads for word in ("--source", path)]
    lines = [f"  {STAGE}:", f"    cmd: {json.dumps(shlex.join(command))}", "    deps:"]
    lines += [f"      - {json.dumps(path)}" for path in reads]
    lines += ["    params:", f"      - {DEFAULT_FILE}:", f"          - {STAGE}", "    outs:"]
    for name in outs:
        lines += [f"      - {json.dumps(name)}:", "          cache: false", "          persist: true"]
    return "\n".join(lines) + "\n"


def _seen_from(root: Path, path: Path) -> str:
    """A path as the stage names it: relative to the folder where it lies below it."""
    full = Path(os.path.abspath(path))  # noqa: PTH100 - a link stays a link
    return str(full.relative_to(root)) if full.is_relative_to(root) else str(full)
