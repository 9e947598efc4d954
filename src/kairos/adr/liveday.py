"""What is known before a day of the live desk: closes, betas, models and the gate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kairos.adr.calibrate import read_calibration
from kairos.adr.clock import Clock
from kairos.adr.gate import read_gates
from kairos.adr.instruments import read_instruments
from kairos.adr.minuteinputs import (
    beta_on,
    has_rate_of_future,
    mids_given,
    ordinaries_in_one,
    rate_at_close,
)
from kairos.adr.minutes import has_future
from kairos.adr.modelterm import model_of, model_sizes, us_betas_on
from kairos.adr.signal import calibration_file
from kairos.errors import InputError
from kairos.market import sessions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from kairos.adr.calibrate import Calibration
    from kairos.adr.desk import Desk
    from kairos.adr.files import Array
    from kairos.adr.gate import Gate
    from kairos.adr.instruments import Instrument
    from kairos.adr.modelfile import ModelFile

CLOSED = "its exchange is closed today"


@dataclass(frozen=True, eq=False)
class VenueDay:
    """The ADRs of one exchange and index, with the models of the day.

    Attributes
    ----------
    instruments
        The A ADRs.
    anchor
        Position of the exchange's reference time.
    reference
        That time.
    future
        Position of the future's symbol.
    betas : (A,)
        Of the ordinaries.
    columns : (S,)
        Positions of the stocks in use.
    stock_betas : (S,)
        As known before the day.
    weights, sizes : (A, S)
        coef/scale and |coef|.
    total : (A,)
        Σ|coef|.
    ordinaries, rates : (A,)
        Value of the ordinaries in one ADR at their close, and USD for one unit of their currency then; NaN
        while the files don't have them.
    of_future : (A,) bool
        Where that rate is the one of the future's bars.
    open, has_model : (A,) bool
        Whether the gate is open, and whether the month has a model.
    """

    instruments: tuple[Instrument, ...]
    anchor: int
    reference: int
    future: int
    betas: Array
    columns: np.ndarray
    stock_betas: Array
    weights: Array
    sizes: Array
    total: Array
    ordinaries: Array
    rates: Array
    of_future: np.ndarray
    open: np.ndarray
    has_model: np.ndarray


@dataclass(frozen=True, eq=False)
class Day:
    """What is known before a day.

    Attributes
    ----------
    venues
        By exchange and index.
    close
        New York's close, nanoseconds since 1970 in UTC, as all times here.
    references
        Reference times of the exchanges, each once.
    adrs, of_adr
        ADRs in use, and the position of each one's reference time.
    mids_given : (A,)
        Mids at the close in the file of the user; NaN where it has none.
    symbols, stocks
        Futures and US stocks in use.
    idle
        ADRs without a signal today, and why.
    calibration, month
        Factors of the models' terms, and the month that they are looked up for.
    """

    venues: tuple[VenueDay, ...]
    close: int
    references: tuple[int, ...]
    adrs: tuple[str, ...]
    of_adr: tuple[int, ...]
    mids_given: Array
    symbols: tuple[str, ...]
    stocks: tuple[str, ...]
    idle: tuple[tuple[str, str], ...]
    calibration: Calibration
    month: np.datetime64


def plan_day(desk: Desk, day: np.datetime64) -> Day:
    """Collect what is known before a day.

    Raises
    ------
    InputError
        New York holds no session on the day, or a file of the daily steps is missing.
    """
    if not len(sessions(day, day)):
        raise InputError(f"New York holds no session on {day}: there is no signal")
    scope = read_instruments(desk).instruments
    clocks = {one.exchange: Clock.of(one, day, day) for one in scope}
    idle = {one.adr: CLOSED for one in scope if not len(clocks[one.exchange].days)}
    idle |= {
        one.adr: f"no minute bars of the future {one.symbol}"
        for one in scope
        if one.adr not in idle and not has_future(desk, one.symbol)
    }
    kept = [one for one in scope if one.adr not in idle]
    reference = {one.exchange: int(clocks[one.exchange].reference[0].astype(np.int64)) for one in kept}
    references = sorted(set(reference.values()))  # many exchanges close together
    symbols = sorted({one.symbol for one in kept})
    month = day.astype("datetime64[M]")
    models = {one.adr: model_of(desk, one.adr, month) for one in kept}
    stocks = sorted({stock for found in models.values() if found for stock in found[0].features})
    betas = beta_on(desk, [one.adr for one in kept], {one.adr: clocks[one.exchange] for one in kept})
    today = np.array([day])
    by_currency = {(one.exchange, one.currency): one for one in kept}
    rates = {key: rate_at_close(desk, one, clocks[one.exchange])[0] for key, one in by_currency.items()}
    gate = read_gates(desk)[desk.settings.adr.gate.mode]
    groups: dict[tuple[str, str], list[Instrument]] = {}
    for one in kept:
        groups.setdefault((one.exchange, one.index), []).append(one)
    venues = [
        VenueDay(
            instruments=tuple(instruments),
            anchor=references.index(reference[exchange]),
            reference=reference[exchange],
            future=symbols.index(instruments[0].symbol),
            betas=np.array([betas[one.adr][0] for one in instruments]),
            open=_open(gate, instruments, month),
            has_model=np.array([models[one.adr] is not None for one in instruments]),
            ordinaries=np.array([ordinaries_in_one(desk, one, today)[0] for one in instruments]),
            rates=np.array([rates[one.exchange, one.currency] for one in instruments]),
            of_future=np.array([has_rate_of_future(desk, one) for one in instruments]),
            **_weights(desk, instruments, models, stocks, day),
        )
        for (exchange, _), instruments in sorted(groups.items())
    ]
    closes = [clock.close[0] for clock in clocks.values() if len(clock.days)]
    return Day(
        venues=tuple(venues),
        close=int((closes[0] if closes else day.astype("datetime64[ns]")).astype(np.int64)),
        references=tuple(references),
        adrs=tuple(one.adr for one in kept),
        of_adr=tuple(references.index(reference[one.exchange]) for one in kept),
        mids_given=np.array([mids_given(desk, one.adr, today)[0] for one in kept]),
        symbols=tuple(symbols),
        stocks=tuple(stocks),
        idle=tuple(idle.items()),
        calibration=read_calibration(desk, calibration_file(desk)),
        month=month,
    )


def _open(gate: Gate, instruments: Sequence[Instrument], month: np.datetime64) -> np.ndarray:
    return np.array([gate.is_open(one.adr, np.array([month]))[0] for one in instruments])


def _weights(
    desk: Desk,
    instruments: Sequence[Instrument],
    models: Mapping[str, tuple[ModelFile, Path] | None],
    stocks: Sequence[str],
    day: np.datetime64,
) -> dict[str, Array]:
    """The models of the ADRs of one exchange and index, as `VenueDay` has them."""
    one = instruments[0]
    used = sorted({s for each in instruments if (found := models[each.adr]) for s in found[0].features})
    weights, sizes = np.zeros((2, len(instruments), len(used)))
    for n, each in enumerate(instruments):
        if found := models[each.adr]:
            columns = np.searchsorted(used, found[0].features)
            weights[n, columns], sizes[n, columns] = found[0].linear(found[1]), model_sizes(found[0])
    known = us_betas_on(desk, one.exchange, one.index, np.array([day]), used) if used else {}
    return {
        "columns": np.searchsorted(stocks, used) if used else np.zeros(0, dtype=np.intp),
        "stock_betas": np.array([known[stock][0] for stock in used]),
        "weights": weights,
        "sizes": sizes,
        "total": sizes.sum(axis=1),
    }
