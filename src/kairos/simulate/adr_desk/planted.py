"""What is planted in a simulated ADR desk: the model, and the draw of its parameters.

Logarithms of prices are sums of independent Brownian motions that all run on one market clock τ (in days, see
`kairos.simulate.adr_desk.timeline.clock`); deviations are for a day:

    index k, in its currency      g_k  = λ_k·W + ε_k·E + n_k          W: world, E: Europe, n: its own
    currency c, USD               x_c  = φ_c·x_EUR + own
    US stock i, USD               s_i  = a_i·W + h_sector(i) + own
    its residual on index k       u_ik = s_i − b_ik·g_k                 b_ik = Cov(s_i, g_k)/Var(g_k)
    fair value of ordinary o      f_o  = β_o·g_k + Σ_j w_oj·u_jk + η_o  in the currency of its index k
    ordinary, local currency l    f_o + x_k − x_l
    ADR, USD                      f_o + x_k + log(1 + δ_o),  times ordinary shares for one ADR

The fair value moves on while the ordinary's exchange is closed; its close of day d is the fair value at c(d).
So from one c to the next the ordinary's residual is e = Σ w·u + η. The US stocks explain a share
R² = Var(Σ w·u)/Var(e) of it (`strength`); an ordinary without predictors has w = 0. The mispricing δ is a
stationary Ornstein–Uhlenbeck process in the minutes of the US session: half of it is gone after `half_life`
minutes.

Known in closed form, for a day of the clock and perfect knowledge of β and w:

    IC of the residual         √R²
    IC of the baseline         β·σ_g / √(β²σ_g² + σ_e²)
    IC with the US stocks      √(β²σ_g² + R²·σ_e²) / √(β²σ_g² + σ_e²)

(of log returns; simple returns differ in the second order). The last US stocks are *twins*: the first ADR's
own line, and a second US line of the issuer of the second ADR. They follow an ordinary's fair value almost
exactly, so a desk that takes them for predictors shows it at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kairos.errors import InputError
from kairos.simulate.adr_desk.venues import CONTRACTS, CURRENCIES, VENUES, Contract, Venue
from kairos.simulate.listings import SECTORS, Floats, Ints
from kairos.simulate.planted import stream

# Deviations a day.
WORLD = 0.01  # of a US stock with a loading of 1
INDEX = 0.01
SECTOR = 0.008
US_OWN = (0.015, 0.025)
RESIDUAL = (0.010, 0.015)  # σ_e of an ordinary
TWIN = 0.001

LOADING = (1.0, 0.3)  # mean and deviation over the US stocks
BETA = (0.7, 1.3)
PREDICTORS = (3, 6)  # fewest and most of an ordinary that has any
STRENGTH = (0.10, 0.25)
WITHOUT = 0.25  # share of ADRs without predictors

HALF_LIFE = (10.0, 40.0)  # minutes
MISPRICING = (0.0008, 0.0020)  # stationary deviation of δ

CONSONANTS, VOWELS = "BCDFGHKLMPRSTV", "AEIOU"
FEWEST_STOCKS = 20


@dataclass(frozen=True)
class Pair:
    """An ordinary, its ADR and what is planted in them.

    Attributes
    ----------
    adr, ordinary, name
        "TAV", "TAV/ LN Equity", "Tav Holdings".
    venue, contract
        Where the ordinary trades, and the index it follows.
    beta
        β on the index, both in the index currency.
    residual
        σ_e, deviation of the ordinary's residual a day.
    strength
        R², share of the residual's variance that the predictors explain; 0 without predictors.
    predictors, weights
        Columns of the US stocks, and w.
    sh_per_adr
        Ordinary shares in one ADR.
    adr_price
        USD on the first day.
    half_life, mispricing
        Minutes in which half of δ is gone, and its stationary deviation.
    """

    adr: str
    ordinary: str
    name: str
    venue: Venue
    contract: Contract
    beta: float
    residual: float
    strength: float
    predictors: Ints
    weights: Floats
    sh_per_adr: float
    adr_price: float
    half_life: float
    mispricing: float

    @property
    def price(self) -> float:
        """Fair price of the ordinary on the first day, as quoted."""
        return self.adr_price / (self.sh_per_adr * self.venue.unit * CURRENCIES[self.venue.iso].level)


@dataclass(frozen=True)
class Stocks:
    """The US stocks; arrays (N,).

    Attributes
    ----------
    tickers
        Symbols.
    sector
        Position in `kairos.simulate.listings.SECTORS`.
    loading
        a, on the world's factor; 0 for a twin.
    own
        Deviation of the stock's own part a day.
    price
        Adjusted USD on the first day.
    twin_of
        Position of the ADR that a twin follows, −1 for the others.
    """

    tickers: tuple[str, ...]
    sector: Ints
    loading: Floats
    own: Floats
    price: Floats
    twin_of: Ints


@dataclass(frozen=True)
class Planted:
    """Everything that is fixed before the first price is drawn."""

    seed: int
    pairs: tuple[Pair, ...]
    stocks: Stocks

    @property
    def exchanges(self) -> tuple[str, ...]:
        """Exchanges of the ordinaries, sorted."""
        return tuple(sorted({pair.venue.exchange for pair in self.pairs}))

    @property
    def contracts(self) -> tuple[Contract, ...]:
        """Indices that an ordinary follows, in the order of `CONTRACTS`."""
        used = {pair.contract.future for pair in self.pairs}
        return tuple(contract for future, contract in CONTRACTS.items() if future in used)

    @property
    def currencies(self) -> tuple[str, ...]:
        """Currencies of ordinaries and indices, and the euro that the others lean on."""
        of_indices = {contract.currency for contract in self.contracts}
        used = {"EUR"} | of_indices | {pair.venue.iso for pair in self.pairs}
        return tuple(currency for currency in CURRENCIES if currency in used)


def draw_planted(
    adrs: int, us_stocks: int, seed: int, strength: tuple[float, float], without: float
) -> Planted:
    """Draw the parameters of a desk; see `kairos.simulate.adr.draw_desk` for the arguments."""
    low, high = strength
    if not 1 <= adrs <= 900 or not FEWEST_STOCKS <= us_stocks <= 4500 or seed < 0:
        raise InputError(
            f"adrs {adrs}, us_stocks {us_stocks}, seed {seed}: adrs from 1 to 900, us_stocks from "
            f"{FEWEST_STOCKS} to 4500 and a seed of 0 or more are needed."
        )
    if not 0.0 <= low <= high < 1.0 or not 0.0 <= without <= 1.0:
        raise InputError(
            f"strength {strength}, without {without}: two shares in order, below 1, and a share are needed."
        )
    symbols = codes(3, adrs)
    stocks = _draw_stocks(us_stocks, symbols, seed)
    rng = stream(seed, "desk pairs")
    lonely = np.zeros(adrs, dtype=np.bool_)
    lonely[rng.permutation(adrs)[: round(without * adrs)]] = True
    pairs = tuple(
        _draw_pair(position, symbol, stocks, seed, strength, bool(lonely[position]))
        for position, symbol in enumerate(symbols)
    )
    return Planted(seed, pairs, stocks)


def us_betas(stocks: Stocks, contract: Contract) -> Floats:
    """True betas b of the US stocks on an index, Cov(s_i, g)/Var(g) = a_i·λ·σ_W/σ_g²: (N,), NaN for twins."""
    beta = stocks.loading * WORLD * (contract.world / 100.0) / INDEX**2
    return np.where(stocks.twin_of < 0, beta, np.nan)


def residual_covariance(stocks: Stocks, contract: Contract, columns: Ints) -> Floats:
    """Covariance a day of the residuals u of some US stocks, none a twin, on an index: (J, J).

    ::

        Cov(u_i, u_j) = a_i·a_j·σ_W²·(1 − ρ²) + 1[one sector]·σ_h² + 1[i = j]·σ_i²,   ρ = Corr(W, g)
    """
    a, sector = stocks.loading[columns], stocks.sector[columns]
    left_of_world = WORLD**2 * (1.0 - (contract.world / 100.0 / INDEX) ** 2)
    together = sector[:, None] == sector[None, :]
    return np.asarray(
        left_of_world * np.outer(a, a) + SECTOR**2 * together + np.diag(stocks.own[columns] ** 2)
    )


def known_ic(pair: Pair) -> dict[str, float]:
    """Information coefficients of perfect knowledge, in closed form."""
    index, residual = (pair.beta * INDEX) ** 2, pair.residual**2
    baseline = np.sqrt(index / (index + residual))
    model = np.sqrt((index + pair.strength * residual) / (index + residual))
    return {
        "residual_ic": float(np.sqrt(pair.strength)),
        "baseline_ic": float(baseline),
        "model_ic": float(model),
        "ic_improvement": float(model - baseline),
    }


def _draw_stocks(n: int, adrs: list[str], seed: int) -> Stocks:
    rng = stream(seed, "desk US stocks")
    twins = min(2, len(adrs))
    twin_of = np.full(n, -1, dtype=np.int64)
    twin_of[n - twins :] = np.arange(twins)
    plain = twin_of < 0
    tickers = codes(4, n)
    tickers[n - twins] = adrs[0]  # the first ADR itself; the second twin is another line of its issuer
    mean, deviation = LOADING
    return Stocks(
        tickers=tuple(tickers),
        sector=rng.integers(0, len(SECTORS), n),
        loading=np.where(plain, np.clip(mean + deviation * rng.standard_normal(n), 0.2, 1.8), 0.0),
        own=np.where(plain, rng.uniform(*US_OWN, n), TWIN),
        price=np.exp(rng.uniform(np.log(20.0), np.log(400.0), n)).round(2),
        twin_of=twin_of,
    )


def _draw_pair(
    position: int, symbol: str, stocks: Stocks, seed: int, strength: tuple[float, float], lonely: bool
) -> Pair:
    rng = stream(seed, f"desk pair {symbol}")
    venue = VENUES[position % len(VENUES)]
    contract = CONTRACTS[venue.future]
    beta, residual = rng.uniform(*BETA), rng.uniform(*RESIDUAL)
    fewest, most = PREDICTORS
    plain = np.flatnonzero(stocks.twin_of < 0)
    columns = np.sort(rng.choice(plain, rng.integers(fewest, most + 1), replace=False))
    raw = rng.uniform(0.5, 1.5, len(columns)) * np.where(rng.random(len(columns)) < 0.8, 1.0, -1.0)
    share = float(rng.uniform(*strength))
    if lonely or share == 0.0:
        share, columns, raw = 0.0, columns[:0], raw[:0]
    else:
        raw *= np.sqrt(share) * residual / np.sqrt(raw @ residual_covariance(stocks, contract, columns) @ raw)
    local = f"{symbol}/" if position % 3 == 0 else symbol
    return Pair(
        adr=symbol,
        ordinary=f"{local} {venue.suffix} Equity",
        name=f"{symbol.title()} Holdings",
        venue=venue,
        contract=contract,
        beta=float(beta),
        residual=float(residual),
        strength=share,
        predictors=columns,
        weights=raw,
        sh_per_adr=float(rng.choice([0.5, 1.0, 2.0, 4.0, 6.0])),
        adr_price=float(np.exp(rng.uniform(np.log(20.0), np.log(150.0))).round(2)),
        half_life=float(rng.uniform(*HALF_LIFE)),
        mispricing=float(rng.uniform(*MISPRICING)),
    )


def codes(letters: int, count: int) -> list[str]:
    """First symbols that can be spoken, consonant and vowel in turn: the same for every seed."""
    sizes = [len(CONSONANTS if place % 2 == 0 else VOWELS) for place in range(letters)]
    total = int(np.prod(sizes))
    step = 0.381966 * total  # golden steps: neighbours don't look alike
    while np.gcd(int(step), total) != 1:
        step += 1.0
    numbers = np.unravel_index(np.arange(count) * int(step) % total, sizes)
    places = [np.array(list(CONSONANTS if size == len(CONSONANTS) else VOWELS)) for size in sizes]
    return [
        "".join(row)
        for row in zip(*(place[n] for place, n in zip(places, numbers, strict=True)), strict=True)
    ]
