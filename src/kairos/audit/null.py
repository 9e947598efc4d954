"""How often signals, the gate and strategies find something on markets whose truth is known."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from kairos import executor
from kairos.audit import null_gate, null_signals, null_strategies
from kairos.audit.null_rates import NullAudit, Sighting, Terms, rates_of
from kairos.errors import InputError

if TYPE_CHECKING:
    from kairos.settings import Settings

PARTS: dict[str, Callable[[int, Terms], list[Sighting]]] = {
    "signals": null_signals.look,
    "gate": null_gate.look,
    "strategies": null_strategies.look,
}
FEWEST = 100
"""Markets below which a rate of 5 % is hardly told from one of 10 %."""


def null_markets(
    parts: Sequence[str] = tuple(PARTS),
    *,
    settings: Settings,
    markets: int = FEWEST,
    seed: int = 0,
    level: float = 0.05,
    effect: float = 1.0,
    strategies: Sequence[str] = null_strategies.DEFAULT,
    progress: Callable[[int, int], object] | None = None,
) -> NullAudit:
    """Count what tests find on markets without any effect, and on the same ones with a planted effect.

    Parameters
    ----------
    parts : sequence of str
        ``signals`` (p of information coefficients), ``gate`` (StepM and gate of the ADR desk),
        ``strategies`` (deflated Sharpe ratio).
    settings : Settings
        What decides how signals, models and strategies are measured.
    markets : int
        Markets of each part.
    seed : int
        Of the first market; the others follow. A market of a seed is always the same.
    level : float
        Share of markets on which a test may find what is not there.
    effect : float
        Strength of what is planted. At 1: the simulator's own premia (ICs of 0.013 and 0.017), an improvement
        of +0.10, a Sharpe ratio of 1. With 0 nothing is planted.
    strategies : sequence of str
        Entries of ``[equity.strategies]``, each tried on several worthless signals.
    progress : callable, optional
        Called with the number of markets done and of all.

    Raises
    ------
    InputError
        An argument is out of range, or a part or strategy does not exist.

    Examples
    --------
    >>> from kairos.settings import load
    >>> one = load(overrides=["run.workers=1"])
    >>> audit = null_markets(["signals"], settings=one, markets=2, effect=0.0)
    >>> audit.rates[0].test, audit.rates[0].markets, audit.rates[0].nominal
    ('noise, p of the IC over 1 session', 2, 0.05)
    """
    begun = time.monotonic()
    _check(parts, markets, seed, level, effect)
    chosen = [part for part in PARTS if part in parts]
    if "gate" in chosen:
        null_gate.check(effect)
    tried = null_strategies.resolve(settings, strategies) if "strategies" in chosen else ()
    terms = Terms(settings, level, effect, tried)
    items = [(part, seed + number) for part in chosen for number in range(markets)]
    found = executor.run(
        partial(_look, terms=terms),
        items,
        workers=settings.run,
        name=lambda item: f"{item[0]}, market {item[1]}",
        progress=progress,
    )
    rates = rates_of((part, seen) for (part, _), seen in zip(items, found, strict=True))
    return NullAudit(rates, markets, seed, level, effect, _remarks(markets), time.monotonic() - begun)


def _look(item: tuple[str, int], terms: Terms) -> list[Sighting]:
    part, seed = item
    return PARTS[part](seed, terms)


def _check(parts: Sequence[str], markets: int, seed: int, level: float, effect: float) -> None:
    for part in parts:
        if part not in PARTS:
            raise InputError(f"there is no part {part!r}: choose among {', '.join(PARTS)}")
    if not parts:
        raise InputError(f"name a part: {', '.join(PARTS)}")
    if markets < 1 or seed < 0 or not effect >= 0.0:
        raise InputError(
            f"--markets {markets}, --seed {seed}, --effect {effect:g}: at least 1, 0 and 0 are needed"
        )
    if not 0.0 < level < 0.5:
        raise InputError(f"--level {level:g}: a share between 0 and 0.5 is needed, such as 0.05")


def _remarks(markets: int) -> list[str]:
    if markets >= FEWEST:
        return []
    return [f"Few markets tell little: take {FEWEST} or more to judge a test."]
