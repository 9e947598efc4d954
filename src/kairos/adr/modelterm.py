"""What the US stocks add to the futures-only signal: the model's prediction, minute by minute.

    model(t) = Σ w·(stock(t)/stock(c) − 1 − b·index(t))        over the stocks that have a price at c and at t

with w = coef/scale of the month's model and b as known before the day. The files of the stocks are read one
after the other, each once, so that memory holds what is written and one stock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq

from kairos.adr import fairvalue
from kairos.adr.desk import US_BETAS
from kairos.adr.modelfile import ModelFile, read_model
from kairos.adr.reading import decoding
from kairos.adr.sources import read_us
from kairos.adr.stream import sample
from kairos.adr.train import output

if TYPE_CHECKING:
    from pathlib import Path

    from kairos.adr.clock import Clock
    from kairos.adr.desk import Desk
    from kairos.adr.files import Array
    from kairos.adr.instruments import Instrument
    from kairos.adr.minuteinputs import IndexMinutes, Venues
    from kairos.market.exchange import Dates


@dataclass(frozen=True, eq=False)
class ModelTerm:
    """The model of one ADR at the minutes of its exchange.

    Attributes
    ----------
    model : (T,)
        Σ w·residual over the stocks with a price; 0 for the zero model.
    coverage : (T,)
        Share of the model's weight, Σ|coef|, whose stocks have a price at c and at t; 1 for the zero model.
        (|coef| is |coef/scale| times the standard deviation of the stock's residual.)
    coverage_then : (T,)
        The same at c, as far as prices had arrived by t.
    n_missing : (T,)
        Stocks without a price at c.
    has_model : (D,) bool
        There is a model for the day's month.
    n_features : (D,)
        Stocks of that model.
    has_betas : (D,) bool
        At least one of them has a beta on that day.
    """

    model: Array
    coverage: Array
    coverage_then: Array
    n_missing: Array
    has_model: np.ndarray
    n_features: np.ndarray
    has_betas: np.ndarray


@dataclass(eq=False)
class _Sums:
    """Sums over the stocks of one ADR, at the minutes of its exchange."""

    minutes: int
    model: Array = field(init=False)
    now: Array = field(init=False)
    then: Array = field(init=False)
    there: Array = field(init=False)

    def __post_init__(self) -> None:
        self.model, self.now, self.then, self.there = (np.zeros(self.minutes) for _ in range(4))


@dataclass(frozen=True)
class Use:
    """How the models of one ADR use one stock.

    Attributes
    ----------
    adr
        The ADR.
    weight, size : (D,)
        coef/scale and |coef| on each day; 0 where the month's model doesn't use the stock.
    """

    adr: str
    weight: Array
    size: Array


def model_of(desk: Desk, adr: str, month: np.datetime64) -> tuple[ModelFile, Path] | None:
    """The model of an ADR and month, and its file; None when there is none."""
    path = desk.path(f"{output(desk)}/{adr}/{str(month).replace('-', '_')}.pkl")
    return (read_model(path), path) if path.is_file() else None


def model_files(desk: Desk, adr: str) -> list[Path]:
    """Files of an ADR's models, sorted."""
    return sorted(desk.path(f"{output(desk)}/{adr}").glob("*.pkl"))


def us_betas_on(
    desk: Desk, exchange: str, index: str, days: Dates, stocks: Sequence[str]
) -> dict[str, Array]:
    """Beta of each stock on an index as known before each day, (D,); NaN on a day without a row.

    Raises
    ------
    InputError
        The file of the step `features` is missing or not Parquet.
    """
    name = f"{US_BETAS}/{exchange}_{index}.parquet"
    path = desk.existing(name, "betas of the US stocks; run `features` first")
    with decoding(path, "features"):
        names = set(pq.read_schema(path).names)
        there = [stock for stock in stocks if stock in names]
        table = pq.read_table(path, columns=["date", *there], page_checksum_verification=True)
    dates = table["date"].to_numpy().astype("datetime64[D]")
    rows = np.searchsorted(dates, days)
    rows[rows == len(dates)] = 0
    held = (dates[rows] == days) if len(dates) else np.zeros(len(days), dtype=np.bool_)
    found = {stock: np.full(len(days), np.nan) for stock in stocks}
    for stock in there:
        found[stock][held] = table[stock].to_numpy()[rows[held]]
    return found


def model_terms(
    desk: Desk,
    instruments: Sequence[Instrument],
    venues: Venues,
    stocks: Mapping[str, Path],
) -> dict[str, ModelTerm]:
    """Compute the model of each ADR at every minute.

    Parameters
    ----------
    desk
        The data directory.
    instruments
        The ADRs.
    venues
        Their clocks and futures.
    stocks : ticker → file
        Minute bars of the US stocks; one without a file has no price.

    Raises
    ------
    InputError
        A model is not linear, or a file is wrong.
    """
    uses: dict[str, dict[str, list[Use]]] = {}
    totals, known = {}, {}
    for one in instruments:
        clock = venues.clocks[one.exchange]
        totals[one.adr], known[one.adr] = _collect(desk, one, clock, uses)
    sums = {one.adr: _Sums(len(venues.clocks[one.exchange].times)) for one in instruments}
    by_adr = {one.adr: one for one in instruments}
    betas = _betas(desk, by_adr, venues, uses)
    has_betas = _has_betas(by_adr, venues, uses, betas)
    local = {
        exchange: venues.clocks[exchange].in_new_york()
        for exchange in sorted({one.exchange for one in instruments})
    }
    for stock in sorted(stock for stock in uses if stock in stocks):
        _add_stock(desk, stocks[stock], stock, uses[stock], by_adr, venues, local, betas, sums)
    return {
        one.adr: _term(
            venues.clocks[one.exchange], sums[one.adr], totals[one.adr], *known[one.adr], has_betas[one.adr]
        )
        for one in instruments
    }


def _collect(
    desk: Desk, one: Instrument, clock: Clock, uses: dict[str, dict[str, list[Use]]]
) -> tuple[Array, tuple[np.ndarray, np.ndarray]]:
    """Enter an ADR's models into the uses of each stock: Σ|coef|, has_model and n_features by day."""
    months = clock.months
    total = np.zeros(len(months))
    has_model, n_features = np.zeros(len(months), dtype=np.bool_), np.zeros(len(months), dtype=np.int64)
    own: dict[str, Use] = {}
    for month in np.unique(months):
        found = model_of(desk, one.adr, month)
        if found is None:
            continue
        model, path = found
        weights, sizes = model.linear(path), model_sizes(model)
        of_month = months == month
        has_model[of_month], n_features[of_month] = True, len(model.features)
        total[of_month] = sizes.sum()
        for stock, weight, size in zip(model.features, weights, sizes, strict=True):
            use = own.setdefault(stock, Use(one.adr, np.zeros(len(months)), np.zeros(len(months))))
            use.weight[of_month], use.size[of_month] = weight, size
    for stock, use in own.items():
        uses.setdefault(stock, {}).setdefault(one.exchange, []).append(use)
    return total, (has_model, n_features)


def model_sizes(model: ModelFile) -> Array:
    """Weight of each stock in the coverage of a model: |coef/scale|·scale."""
    return np.zeros(0) if model.coef is None else np.abs(model.coef)


def _betas(
    desk: Desk, by_adr: Mapping[str, Instrument], venues: Venues, uses: Mapping[str, dict[str, list[Use]]]
) -> dict[tuple[str, str], dict[str, Array]]:
    """Betas of the stocks in use by exchange and index."""
    wanted: dict[tuple[str, str], set[str]] = {}
    for stock, of_stock in uses.items():
        for exchange, of_exchange in of_stock.items():
            for use in of_exchange:
                wanted.setdefault((exchange, by_adr[use.adr].index), set()).add(stock)
    return {
        (exchange, index): us_betas_on(desk, exchange, index, venues.clocks[exchange].days, sorted(stocks))
        for (exchange, index), stocks in wanted.items()
    }


def _has_betas(
    by_adr: Mapping[str, Instrument],
    venues: Venues,
    uses: Mapping[str, dict[str, list[Use]]],
    betas: Mapping[tuple[str, str], Mapping[str, Array]],
) -> dict[str, np.ndarray]:
    """Whether a stock of an ADR's model has a beta on each day, (D,) by ADR."""
    found = {adr: np.zeros(len(venues.clocks[one.exchange].days), np.bool_) for adr, one in by_adr.items()}
    for stock, of_stock in uses.items():
        for use in (use for of_exchange in of_stock.values() for use in of_exchange):
            one = by_adr[use.adr]
            found[use.adr] |= (use.size > 0.0) & ~np.isnan(betas[one.exchange, one.index][stock])
    return found


def _add_stock(
    desk: Desk,
    path: Path,
    stock: str,
    uses: Mapping[str, list[Use]],
    by_adr: Mapping[str, Instrument],
    venues: Venues,
    local: Mapping[str, Clock],
    betas: Mapping[tuple[str, str], Mapping[str, Array]],
    sums: Mapping[str, _Sums],
) -> None:
    """Add one stock to the sums of all ADRs that use it."""
    stream, max_age = read_us(desk, path), desk.settings.adr.max_age.us
    for exchange, of_exchange in uses.items():
        used = np.any([use.size > 0.0 for use in of_exchange], axis=0)
        part, rows = local[exchange].part(used)
        prices = sample(stream, part, max_age)
        now, then, day = prices.now[:, 0], prices.then[:, 0], np.flatnonzero(used)[part.day]
        for index, of_index in _by_index(of_exchange, by_adr):
            venue: IndexMinutes = venues.of(by_adr[of_index[0].adr])
            beta = betas[exchange, index][stock][day]
            residual = fairvalue.stock_residual(now, then, beta, venue.index[rows])
            there = ~np.isnan(then) & ~np.isnan(beta)
            priced = there & ~np.isnan(now)
            for use in of_index:
                found, weight, size = sums[use.adr], use.weight[day], use.size[day]
                found.model[rows] += np.where(priced & (size > 0.0), weight * residual, 0.0)
                found.now[rows] += size * priced
                found.then[rows] += size * there
                found.there[rows] += (size > 0.0) & there


def _by_index(uses: Iterable[Use], by_adr: Mapping[str, Instrument]) -> list[tuple[str, list[Use]]]:
    groups: dict[str, list[Use]] = {}
    for use in uses:
        groups.setdefault(by_adr[use.adr].index, []).append(use)
    return list(groups.items())


def _term(
    clock: Clock,
    sums: _Sums,
    total: Array,
    has_model: np.ndarray,
    n_features: np.ndarray,
    has_betas: np.ndarray,
) -> ModelTerm:
    of_minute = total[clock.day]
    return ModelTerm(
        model=sums.model,
        coverage=share(sums.now, of_minute),
        coverage_then=share(sums.then, of_minute),
        n_missing=n_features[clock.day] - sums.there,
        has_model=has_model,
        n_features=n_features,
        has_betas=has_betas,
    )


def share(part: Array, total: Array) -> Array:
    """Part of a total; 1 where the total is 0, as for the zero model, which misses nothing."""
    return np.where(total > 0.0, part / np.where(total > 0.0, total, 1.0), 1.0)
