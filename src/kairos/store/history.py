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
    return _read(layout, meant[0])


def prune(layout: Layout, keep: int) -> None:
    """Forget all but the newest states of the data.

    Manifests that differ in results and in the ledger only are of one state, so that no number of backtests
    displaces the data that an earlier one saw.
    """
    states: list[str] = []
    for snapshot in reversed(kept(layout)):
        state = _read(layout, snapshot).state
        if state not in states:
            states.append(state)
        if len(states) > keep:
            _path(layout, snapshot).unlink(missing_ok=True)
            states.pop()


def check(layout: Layout) -> None:
    """Read every manifest that is kept, so that a damaged one is named before any work is done.

    Raises
    ------
    InputError
        If one is damaged.
    """
    for snapshot in kept(layout):
        _read(layout, snapshot)


def _read(layout: Layout, snapshot: str) -> Manifest:
    path = _path(layout, snapshot)
    try:
        return Manifest.from_json(path.read_text(encoding="utf-8"), layout.folder)
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is damaged ({error}): put it back from a copy, or delete it, and with it the snapshot "
            f"{snapshot}; the published tables don't need it"
        ) from error


def _path(layout: Layout, snapshot: str) -> Path:
    return layout.manifests / f"{snapshot}.json"
