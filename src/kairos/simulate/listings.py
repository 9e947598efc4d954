"""Who is listed when: securities, exposures, listings, delistings and halts of a simulated market."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kairos.simulate.planted import SESSIONS_PER_YEAR, stream

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Texts = np.ndarray[Any, np.dtype[np.str_]]

SECTORS = (
    "Basic Materials",
    "Communication Services",
    "Consumer Cyclical",
    "Consumer Defensive",
    "Energy",
    "Financial Services",
    "Healthcare",
    "Industrials",
    "Real Estate",
    "Technology",
    "Utilities",
)
EXCHANGES = {"NYSE": 0.42, "NASDAQ": 0.48, "NYSEMKT": 0.10}
CATEGORIES = {
    "Domestic Common Stock": 0.85,
    "Domestic Common Stock Primary Class": 0.03,
    "Domestic Common Stock Secondary Class": 0.03,
    "ADR Common Stock": 0.04,
    "ETF": 0.03,
    "Domestic Preferred Stock": 0.02,
}
WITHOUT_FILINGS = ("ETF", "Domestic Preferred Stock")

# The order makes every reason occur among the first six delistings; the counts are its frequency in twenty.
REASONS = (
    *("acquisition", "bankruptcy", "regulatory", "merger", "voluntary", "unknown"),
    *("acquisition", "acquisition", "bankruptcy", "acquisition", "regulatory", "acquisition", "voluntary"),
    *("acquisition", "bankruptcy", "acquisition", "merger", "acquisition", "regulatory", "unknown"),
)
LATER_LISTED = 0.20  # share of securities listed after the first session
DELISTINGS_A_YEAR = 0.05
HALTS_A_YEAR = 0.04
LONGEST_HALT = 15
STALE_SHARE = 0.03  # share of sessions without a trade, for the least liquid securities
REUSED_SHARE = 0.005


@dataclass(frozen=True)
class Listings:
    """The securities of a market, one per column of its panels; all arrays have shape (N,) unless said.

    Attributes
    ----------
    tickers
        Symbol; a reused symbol names two neighbouring columns whose sessions do not overlap.
    permatickers
        Unique number of the security.
    first, last
        First and last listed session, both included, as row numbers.
    reason
        Why it was delisted: acquisition, merger, bankruptcy, regulatory, voluntary, unknown; else empty.
    beta, sector, idiosyncratic
        Market beta, number of the sector in `SECTORS`, idiosyncratic volatility a year.
    category, exchange
        The vendor's words.
    marketcap, adv, price
        USD at the first session: size, mean daily turnover, price as traded.
    traded, quoted
        (N, T): sessions with a trade; sessions with a row (a row without a trade has volume 0).
    halts
        Columns, first sessions and numbers of sessions of the halts.
    """

    tickers: Texts
    permatickers: Ints
    first: Ints
    last: Ints
    reason: Texts
    beta: Floats
    sector: Ints
    idiosyncratic: Floats
    category: Texts
    exchange: Texts
    marketcap: Floats
    adv: Floats
    price: Floats
    traded: Bools
    quoted: Bools
    halts: tuple[Ints, Ints, Ints]

    @property
    def files(self) -> Bools:
        """Securities whose company files with the SEC: (N,)."""
        return ~np.isin(self.category, WITHOUT_FILINGS)


def draw_listings(n: int, sessions: int, seed: int) -> Listings:
    """Draw n securities over a number of sessions."""
    rng = stream(seed, "listings")
    successors = _reuse(n, sessions, rng)
    first, last = _spans(n, sessions, successors, rng)
    reason = _reasons(last, sessions, successors, rng)
    category = rng.choice(list(CATEGORIES), n, p=list(CATEGORIES.values()))
    category[successors] = category[successors - 1] = "Domestic Common Stock"
    log_size = np.clip(rng.normal(9.0, 0.75, n), 7.5, 11.5)  # powers of ten, USD
    turnover = np.exp(rng.normal(np.log(0.005), 0.6, n))
    adv = np.clip(10**log_size * turnover, 1e5, 2e8)
    traded, quoted, halts = _trading(first, last, sessions, adv, rng)
    return Listings(
        tickers=_symbols(n, category, successors),
        permatickers=100_000 + rng.permutation(900_000)[:n].astype(np.int64),
        first=first,
        last=last,
        reason=reason,
        beta=np.clip(rng.normal(1.05, 0.25, n), 0.5, 1.6),
        sector=rng.integers(0, len(SECTORS), n),
        idiosyncratic=np.clip(0.34 - 0.05 * (log_size - 9.0) + rng.normal(0.0, 0.03, n), 0.25, 0.45),
        category=category,
        exchange=rng.choice(list(EXCHANGES), n, p=list(EXCHANGES.values())),
        marketcap=10**log_size,
        adv=adv,
        price=np.clip(np.exp(rng.normal(np.log(22.0), 0.9, n) + 0.35 * (log_size - 9.0)), 1.2, 400.0),
        traded=traded,
        quoted=quoted,
        halts=halts,
    )


def _reuse(n: int, sessions: int, rng: np.random.Generator) -> Ints:
    """Columns that take over the symbol of the column before them, once that one is delisted."""
    if n < 20 or sessions < 400:
        return np.empty(0, dtype=np.int64)
    pairs = rng.choice(n // 2, max(1, int(n * REUSED_SHARE)), replace=False)
    return np.sort(2 * pairs + 1).astype(np.int64)


def _spans(n: int, sessions: int, successors: Ints, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """First and last session of each security."""
    first = np.where(rng.random(n) < LATER_LISTED, rng.integers(1, max(2, sessions - 5), n), 0)
    if n >= 20 and sessions > 60:
        first[-1] = sessions - 30  # one security is always too young for a 60-session window
    life = 30 + np.ceil(rng.exponential(SESSIONS_PER_YEAR / DELISTINGS_A_YEAR, n)).astype(np.int64)
    last = np.minimum(first + life, sessions - 1)
    first[successors - 1] = 0
    last[successors - 1] = rng.integers(60, sessions - 250, len(successors))
    first[successors] = last[successors - 1] + rng.integers(40, 121, len(successors))
    last[successors] = sessions - 1
    return first.astype(np.int64), last.astype(np.int64)


def _reasons(last: Ints, sessions: int, successors: Ints, rng: np.random.Generator) -> Texts:
    """Reason of each delisting; companies that give up their symbol were acquired."""
    gone = np.flatnonzero(last < sessions - 1)
    reason = np.full(len(last), "", dtype="<U11")
    reason[rng.permutation(gone)] = np.resize(np.array(REASONS), len(gone))
    reason[successors - 1] = "acquisition"
    return reason


def _symbols(n: int, category: Texts, successors: Ints) -> Texts:
    """Sorted symbols of equal length, a second share class marked by `.B`."""
    width = 3 if n <= 10_000 else 5
    code = (np.arange(n, dtype=np.int64) * 26**width) // n
    letters = code[:, None] // 26 ** np.arange(width)[::-1] % 26
    symbols = (ord("A") + letters).astype(np.uint32).view(f"<U{width}")[:, 0]
    second_class = category == "Domestic Common Stock Secondary Class"
    symbols = np.char.add(symbols, np.where(second_class, ".B", ""))
    symbols[successors - 1] = symbols[successors]
    return symbols


def _trading(
    first: Ints, last: Ints, sessions: int, adv: Floats, rng: np.random.Generator
) -> tuple[Bools, Bools, tuple[Ints, Ints, Ints]]:
    """Sessions with a trade and with a row, and the halts (column, first session, length).

    Nothing is halted or stale in the first and last five sessions of a listing.
    """
    n = len(first)
    row = np.arange(sessions)
    listed = (row >= first[:, None]) & (row <= last[:, None])
    who = np.repeat(np.arange(n), rng.poisson(HALTS_A_YEAR * sessions / SESSIONS_PER_YEAR, n))
    length = rng.integers(1, LONGEST_HALT + 1, len(who))
    begin = rng.integers(0, sessions, len(who))
    inside = (begin >= first[who] + 5) & (begin + length <= last[who] - 5)
    who, begin, length = who[inside], begin[inside], length[inside]
    change = np.zeros((n, sessions + 1), dtype=np.int16)
    np.add.at(change, (who, begin), 1)
    np.add.at(change, (who, begin + length), -1)
    quoted = listed & (np.cumsum(change, axis=1)[:, :-1] == 0)
    stale_rate = np.where(adv < 5e5, STALE_SHARE * (1.0 - adv / 5e5), 0.0)
    calm = (row >= first[:, None] + 5) & (row <= last[:, None] - 5)
    stale = calm & (rng.random((n, sessions), dtype=np.float32) < stale_rate[:, None])
    return quoted & ~stale, quoted, (who, begin, length)


def company_names(tickers: Texts) -> Texts:
    """Names of companies, made from their symbols; in the second half of the alphabet they have a comma."""
    return np.char.add(tickers, np.where(tickers >= "N", " HOLDINGS, INC", " CORP"))
