"""The manifests of the snapshots that are kept: a small JSON text each, in a folder a state of the data.

So what is kept and what is forgotten can be told from names alone, however many backtests there were.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from kairos.errors import InputError
from kairos.store.layout import write_durably
from kairos.store.tables import Manifest

if TYPE_CHECKING:
    from pathlib import Path

    from kairos.store.layout import Layout


def record(layout: Layout, manifest: Manifest) -> None:
    """Keep a manifest that is, or was, published."""
    path = layout.manifests / manifest.state / f"{manifest.id}.json"
    if manifest.id and not path.exists():
        write_durably(path, manifest.to_json(layout.folder).encode())


def kept(layout: Layout) -> dict[str, Path]:
    """Return the files of the snapshots that are kept, oldest first."""
    return {path.stem: path for path in sorted(layout.manifests.glob("*/*.json"), key=lambda path: path.name)}


def load(layout: Layout, snapshot: str) -> Manifest:
    """Return a kept manifest by its identifier, or by a beginning of it that no other one has.

    Raises
    ------
    InputError
        If none, or several, are meant.
    """
    known = kept(layout)
    meant = [name for name in known if name == snapshot] or [
        name for name in known if name.startswith(snapshot)
    ]
    if len(meant) != 1:
        fault = f"{len(meant)} snapshots begin with" if meant else "no snapshot is kept under"
        raise InputError(f"{fault} {snapshot!r} in {layout.db}; kept are: {', '.join(known) or 'none'}")
    return read(layout, known[meant[0]])


def prune(layout: Layout, keep: int) -> None:
    """Forget all but the newest states of the data.

    Manifests that differ in results and in the ledger only are of one state, so that no number of backtests
    displaces the data that an earlier one saw.
    """
    newest = {path.parent: name for name, path in kept(layout).items()}
    for state in sorted(newest, key=newest.__getitem__)[:-keep]:
        shutil.rmtree(state)


def read(layout: Layout, path: Path) -> Manifest:
    """Return the manifest of a file.

    Raises
    ------
    InputError
        If it is damaged.
    """
    try:
        return Manifest.from_json(path.read_text(encoding="utf-8"), layout.folder)
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is damaged ({error}): put it back from a copy, or delete it, and with it the snapshot "
            f"{path.stem}; the published tables don't need it"
        ) from error
