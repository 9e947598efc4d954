"""The truth behind a simulated desk, as `truth.json` tells it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kairos.simulate.adr_desk.planted import INDEX, SECTOR, WORLD, known_ic, us_betas
from kairos.simulate.adr_desk.venues import CURRENCIES
from kairos.simulate.listings import SECTORS

if TYPE_CHECKING:
    from kairos.simulate.adr_desk.daily import SimulatedDesk
    from kairos.simulate.adr_desk.events import Adjustments
    from kairos.simulate.adr_desk.planted import Pair, Stocks
    from kairos.simulate.adr_desk.timeline import Dates


def describe(desk: SimulatedDesk) -> dict[str, Any]:
    """Everything that was planted, by name; deviations and coefficients are for a day of the market clock."""
    planted = desk.planted
    return {
        "seed": planted.seed,
        "first_day": str(desk.timeline.days[0]),
        "last_planned_day": str(desk.timeline.planned),
        "last_day": str(desk.timeline.days[-1]),
        "deviations": {
            "world": WORLD,
            "index": INDEX,
            "sector": SECTOR,
            "currencies": {
                name: round(float(np.hypot(about.euro * CURRENCIES["EUR"].own, about.own)) / 100.0, 6)
                for name, about in ((name, CURRENCIES[name]) for name in planted.currencies)
            },
        },
        "adrs": {pair.adr: _of_pair(pair, planted.stocks) for pair in planted.pairs},
        "us_stocks": _of_stocks(desk),
        "events": _of_events(desk),
    }


def _of_pair(pair: Pair, stocks: Stocks) -> dict[str, Any]:
    return {
        "ordinary": pair.ordinary,
        "exchange": pair.venue.exchange,
        "currency": pair.venue.currency,
        "index": pair.contract.index,
        "beta": pair.beta,
        "residual_deviation": pair.residual,
        "strength": pair.strength,
        "predictors": {
            stocks.tickers[column]: float(weight)
            for column, weight in zip(pair.predictors, pair.weights, strict=True)
        },
        "known_ic": known_ic(pair),
        "mispricing": {"half_life_minutes": pair.half_life, "deviation": pair.mispricing},
    }


def _of_stocks(desk: SimulatedDesk) -> dict[str, Any]:
    planted, stocks = desk.planted, desk.planted.stocks
    betas = {contract.index: us_betas(stocks, contract) for contract in planted.contracts}
    return {
        ticker: {
            "sector": SECTORS[stocks.sector[column]],
            "loading": float(stocks.loading[column]),
            "own_deviation": float(stocks.own[column]),
            "betas": {index: float(beta[column]) for index, beta in betas.items()},
        }
        if stocks.twin_of[column] < 0
        else {"twin_of": planted.pairs[stocks.twin_of[column]].adr}
        for column, ticker in enumerate(stocks.tickers)
    }


def _of_events(desk: SimulatedDesk) -> dict[str, Any]:
    events, tickers = desk.events, desk.us_tickers
    adrs = [pair.adr for pair in desk.pairs]
    first, last = desk.timeline.us_closes.days[[0, -1]]

    def listed(names: list[str] | tuple[str, ...], days: Dates, chosen: Any) -> dict[str, str]:
        return {names[column]: str(days[column]) for column in np.flatnonzero(chosen)}

    halted = ~np.isnat(events.halted_from)
    return {
        "us_listed": listed(tickers, events.us_first, events.us_first > first),
        "us_delisted_after": listed(tickers, events.us_last, events.us_last < last),
        "us_adjustments": _adjustments(events.us_adjustments, tickers),
        "ordinary_adjustments": _adjustments(events.adjustments, adrs),
        "ordinary_listed": listed(adrs, events.ordinary_first, events.ordinary_first > first),
        "ordinary_halted": {
            adrs[column]: [str(events.halted_from[column]), str(events.halted_to[column])]
            for column in np.flatnonzero(halted)
        },
        "adr_without_quotes": listed(adrs, events.unquoted, ~np.isnat(events.unquoted)),
    }


def _adjustments(events: Adjustments, names: list[str] | tuple[str, ...]) -> list[dict[str, Any]]:
    rows = zip(events.column, events.date, events.factor, events.operator, strict=True)
    return [
        {"name": names[column], "date": str(date), "factor": float(factor), "operator": int(operator)}
        for column, date, factor, operator in rows
    ]
