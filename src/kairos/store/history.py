"""The manifests of the snapshots that are kept: one small JSON text each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kairos.errors import InputError
from kairos.store.layout import write_durably
from kairos.store.tables import Manifest

if TYPE_CHECKING:
    from pathlib import Path

    from kairos.store.layout import Layout


def record(layout: Layout, manifest: Manifest) -> None:
    """Keep a manifest that is, or was, published."""
    path = _path(layout, manifest.id)
    if manifest.id and not path.exists():
        write_durably(path, manifest.to_json(layout.folder).encode())


def kept(layout: Layout) -> list[str]:
    """Return the snapshots that are kept, oldest first."""
    return sorted(path.stem for path in layout.manifests.glob("*.json"))


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
    return Manifest.from_json(_path(layout, meant[0]).read_text(), layout.folder)


def prune(layout: Layout, keep: int) -> None:
    """Forget all but the newest states of the data.

    Manifests that differ in results and in the ledger only are of one state, so that no number of backtests
    displaces the data that an earlier one saw.
    """
    states: list[str] = []
    for snapshot in reversed(kept(layout)):
        path = _path(layout, snapshot)
        state = Manifest.from_json(path.read_text(), layout.folder).state
        if state not in states:
            states.append(state)
        if len(states) > keep:
            path.unlink(missing_ok=True)
            states.pop()


def _path(layout: Layout, snapshot: str) -> Path:
    return layout.manifests / f"{snapshot}.json"
