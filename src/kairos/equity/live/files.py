"""The files of a day in a folder: all of them, or none."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv

from kairos.disk import writing
from kairos.errors import InputError


def write(folder: Path, files: Mapping[str, pa.Table | Mapping[str, Any]]) -> list[Path]:
    """Write tables as CSV and mappings as JSON: under other names first, renamed when all are complete."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--out {folder} is a file; name a folder")
    ready = {folder / name: folder / f".{name}.part" for name in files}
    with writing(folder, "choose another --out"):
        folder.mkdir(parents=True, exist_ok=True)
        _write(ready, files)
    return list(ready)


def _write(ready: Mapping[Path, Path], files: Mapping[str, pa.Table | Mapping[str, Any]]) -> None:
    try:
        for beside, content in zip(ready.values(), files.values(), strict=True):
            if isinstance(content, pa.Table):
                options = pyarrow.csv.WriteOptions(quoting_style="needed")
                pyarrow.csv.write_csv(content, beside, options)
            else:
                text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
                beside.write_text(text + "\n", encoding="utf-8")
        for path, beside in ready.items():
            beside.replace(path)
    finally:
        for beside in ready.values():
            beside.unlink(missing_ok=True)
