"""The true information coefficient of a planted characteristic, from the process and not from the sample.

The Spearman coefficient of x and y over n securities is

    ρ_S = 12 / (n (n² − 1)) · Σ_i Σ_j≠i Σ_k≠i (1[x_i > x_j]·1[y_i > y_k] − 1/4)

so its expectation needs only P(x_i > x_j, y_i > y_k). For jointly normal x and y with equal means that is
1/4 + arcsin(ρ)/2π with ρ the correlation of x_i − x_j and y_i − y_k (Sheppard 1899), and with the covariances

    C_ij = cov(u_i, u_j) = β_i β_j σ_m² + 1[s_i = s_j] σ_f² + 1[i = j] σ_i²

of the serially independent part u of a return everything follows. The reversal feeds returns back into
returns: r_t = u_t + Σ_k λ_k z_k,t−1 + c·S_t−1 with S the sum of the last 21 returns. The moments of S_t and
r_t+1 are integrals over frequencies (`response`): the response to white noise times C_ij between securities,
plus, for a security with itself, the response to its own persistent characteristics (they work like a little
momentum), and cov(z_t, r_t+1) = λ / (1 − c Σ_l φ^l) for a characteristic with autocorrelation φ.

The triples (i, j, k) and the sessions that they stand on are drawn at random, as are the news states of i
and k and the market's regime; each triple counts with its exact probability.

Approximations: the compounded past return is treated as a sum of returns; securities have equal means; the
first sessions, halts and the last weeks before a delisting are treated like any other session.

References
----------
Sheppard, W. F. (1899), "On the application of the theory of error to cases of normal distribution and normal
correlation", Philosophical Transactions A 192. Moran, P. A. P. (1948), "Rank correlation and product-moment
correlation", Biometrika 35, for the expectation in finite samples.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from kairos.simulate.listings import SECTORS
from kairos.simulate.planted import (
    CALM,
    CHARACTERISTICS,
    NEWS_SCALE,
    NEWS_SHARE,
    PERSISTENT,
    REVERSAL,
    REVERSAL_WINDOW,
    SECTOR_VOLATILITY,
    SESSIONS_PER_YEAR,
    STRESSED,
    stream,
)

if TYPE_CHECKING:
    from kairos.simulate.filings import Filings
    from kairos.simulate.listings import Floats, Ints, Listings
    from kairos.simulate.prices import Dates, Market

CHARACTERISTICS_FILE, FILINGS_FILE = "truth_characteristics.parquet", "truth_filings.parquet"
TRIPLES = 200_000
SESSIONS_SAMPLED = 64
FREQUENCIES = 16_384  # far beyond the memory of the filter and of the slowest characteristic
SECTOR_VARIANCE = SECTOR_VOLATILITY**2 / SESSIONS_PER_YEAR


class Response(NamedTuple):
    """Moments of S_t and r_t+1 when a unit of noise drives r_t = noise_t + c·S_t−1."""

    past: float  # var S_t
    now: float  # var r_t+1
    joint: float  # cov(S_t, r_t+1)


@lru_cache
def response(c: float, persistence: float = 0.0, window: int = REVERSAL_WINDOW) -> Response:
    """Response to noise of variance 1 that is white or an AR(1).

    With B = Σ_{l<window} e^{−iωl}, the filter |H|² = 1/|1 − c·e^{−iω}·B|² and the noise's spectrum
    f = (1 − φ²)/|1 − φ·e^{−iω}|²: means over ω of |B|²·|H|²·f, |H|²·f and Re(e^{−iω}·B)·|H|²·f.
    """
    lag = np.exp(-2j * np.pi * np.arange(FREQUENCIES) / FREQUENCIES)
    box = (lag[:, None] ** np.arange(window)).sum(axis=1)
    spectrum = (1.0 - persistence**2) / np.abs(1.0 - persistence * lag) ** 2
    density = spectrum / np.abs(1.0 - c * lag * box) ** 2
    return Response(
        past=float(np.mean(np.abs(box) ** 2 * density)),
        now=float(np.mean(density)),
        joint=float(np.mean((lag * box).real * density)),
    )


def expected_ic(simulated: Market, triples: int = TRIPLES) -> dict[str, float]:
    """Compute the expected Spearman correlation of each characteristic with the next return.

    Mean over sessions of the cross-section of all securities listed on the session and on the next; the
    reversal exists only for securities listed for more than 21 sessions.

    Parameters
    ----------
    simulated
        The market; only its listings, seed and `premia` are read, none of its returns.
    triples
        Number of triples drawn; 200 000 leave an error below 0.2 % of the coefficient.

    Returns
    -------
    Name of the characteristic to its expected coefficient, dimensionless.

    Examples
    --------
    >>> from kairos.simulate import market
    >>> expected_ic(market(tickers=100, years=1))["leverage"]
    0.0
    """
    rng = stream(simulated.seed, "true coefficients")
    c = simulated.premia * REVERSAL.premium
    white = response(c)
    premium = {z.name: simulated.premia * z.premium for z in PERSISTENT}
    own_parts = [premium[z.name] ** 2 * np.array(response(c, z.persistence)) for z in PERSISTENT]
    own = Response(*np.sum(own_parts, axis=0).tolist())

    def draw(age: int) -> tuple[Ints, Ints, Ints, Floats, _Covariance, Floats]:
        i, j, k, n = _triples(simulated.listings, len(simulated.dates), age, triples, rng)
        shocks = _Covariance(simulated.listings, rng, len(i))
        later = (white.now - 1.0) * shocks.difference(i, k) + shocks.difference_now(i, k) + 2.0 * own.now
        return i, j, k, n, shocks, later

    i, j, k, n, shocks, later = draw(REVERSAL_WINDOW)
    between = shocks(i, i) - shocks(i, j) - shocks(i, k) + shocks(j, k)
    joint = white.joint * between + own.joint * (1.0 + (j == k))
    past = white.past * shocks.difference(i, j) + 2.0 * own.past
    found = {REVERSAL.name: _coefficient(joint / np.sqrt(past * later), n)}

    i, j, k, n, shocks, later = draw(0)
    for z in PERSISTENT:
        lags = z.persistence ** np.arange(1, REVERSAL_WINDOW + 1)
        joint = premium[z.name] / (1.0 - c * lags.sum()) * (1.0 + (j == k))
        found[z.name] = _coefficient(joint / np.sqrt(2.0 * later), n)
    return found


def _coefficient(correlation: Floats, n: Floats) -> float:
    """Spearman coefficient from the correlations of the triples in cross-sections of n."""
    return float(np.mean(12.0 * (n - 1.0) / (n + 1.0) * np.arcsin(correlation) / (2.0 * np.pi)))


class _Covariance:
    """Covariances of the serially independent part of one session's returns, for arrays of securities."""

    def __init__(self, listings: Listings, rng: np.random.Generator, draws: int) -> None:
        self._beta, self._sector = listings.beta, listings.sector
        self._own = listings.idiosyncratic**2 / SESSIONS_PER_YEAR
        share = STRESSED[2] / (CALM[2] + STRESSED[2])
        variance = np.array([CALM[1], STRESSED[1]]) ** 2 / SESSIONS_PER_YEAR
        self._market = np.average(variance, weights=[1.0 - share, share])
        self._market_now = variance[(rng.random(draws) < share).astype(int)]
        unit = 1.0 - NEWS_SHARE + NEWS_SHARE * NEWS_SCALE**2
        self._news = np.where(rng.random((2, draws)) < NEWS_SHARE, NEWS_SCALE**2, 1.0) / unit

    def __call__(self, a: Ints, b: Ints) -> Floats:
        """Covariance of a and b, news and regimes averaged."""
        factors = self._market * self._beta[a] * self._beta[b]
        factors += SECTOR_VARIANCE * (self._sector[a] == self._sector[b])
        return np.asarray(factors + (a == b) * self._own[a])

    def difference(self, a: Ints, b: Ints) -> Floats:
        """Variance of the difference of a and b, news and regimes averaged."""
        return self(a, a) + self(b, b) - 2.0 * self(a, b)

    def difference_now(self, a: Ints, b: Ints) -> Floats:
        """Variance of the difference in one session, with its news and its regime; a is not b."""
        factors = self._market_now * (self._beta[a] - self._beta[b]) ** 2
        factors += 2.0 * SECTOR_VARIANCE * (self._sector[a] != self._sector[b])
        return np.asarray(factors + self._news[0] * self._own[a] + self._news[1] * self._own[b])


def _triples(
    listings: Listings, length: int, age: int, count: int, rng: np.random.Generator
) -> tuple[Ints, Ints, Ints, Floats]:
    """Securities i, j, k (j and k not i), listed for more than `age` sessions, and the number of such."""
    rows = rng.integers(age, length - 1, min(SESSIONS_SAMPLED, length - 1 - age))
    row = rows[:, None]
    listed = (listings.first + age <= row) & (row < listings.last)
    size = listed.sum(axis=1)
    column = np.nonzero(listed)[1]  # sampled session by sampled session
    begin = np.concatenate([[0], np.cumsum(size)[:-1]])
    which = rng.integers(0, len(rows), count)
    which = which[size[which] > 2]
    n = size[which]
    i = rng.integers(0, n)
    j, k = (i + rng.integers(1, n)) % n, (i + rng.integers(1, n)) % n
    return column[begin[which] + i], column[begin[which] + j], column[begin[which] + k], n.astype(np.float64)


def describe(simulated: Market, filings: Filings) -> dict[str, Any]:
    """Collect the content of `truth.json`: parameters, true coefficients, securities, events."""
    dates = simulated.dates
    coefficients = expected_ic(simulated)
    share = STRESSED[2] / (CALM[2] + STRESSED[2])
    regimes = {"calm": CALM, "stressed": STRESSED}
    return {
        "seed": simulated.seed,
        "first_session": str(dates[0]),
        "last_session": str(dates[-1]),
        "sessions": len(dates),
        "files": {"characteristics": CHARACTERISTICS_FILE, "filings": FILINGS_FILE},
        "timing": "a characteristic known after the close of session t earns premium x value over (t, t+1]",
        "characteristics": {
            item.name: {
                "premium_per_session": item.premium,
                "half_life_sessions": item.half_life,
                "expected_ic": coefficients[item.name],
                "visible": item.visible,
            }
            for item in CHARACTERISTICS
        },
        "market": {
            "regimes": {
                name: {"annual_mean": mean, "annual_volatility": deviation, "mean_stay_sessions": stay}
                for name, (mean, deviation, stay) in regimes.items()
            },
            "annual_mean": (1.0 - share) * CALM[0] + share * STRESSED[0],
            "annual_volatility": float(np.sqrt((1.0 - share) * CALM[1] ** 2 + share * STRESSED[1] ** 2)),
        },
        "sectors": {"annual_mean": 0.0, "annual_volatility": SECTOR_VOLATILITY, "names": list(SECTORS)},
        "idiosyncratic": {"news_share": NEWS_SHARE, "news_scale": NEWS_SCALE},
        "securities": _securities(simulated),
        "events": _events(simulated, filings),
    }


def _securities(simulated: Market) -> list[dict[str, Any]]:
    """One entry per column of the market."""
    listings, dates = simulated.listings, simulated.dates
    columns = {
        "ticker": listings.tickers,
        "permaticker": listings.permatickers,
        "beta": listings.beta.round(6),
        "sector": np.array(SECTORS)[listings.sector],
        "idiosyncratic_volatility": listings.idiosyncratic.round(6),
        "category": listings.category,
        "first_session": dates[listings.first].astype(np.str_),
        "last_session": dates[listings.last].astype(np.str_),
        "reason": listings.reason,
    }
    return [
        dict(zip(columns, row, strict=True))
        for row in zip(*(values.tolist() for values in columns.values()), strict=True)
    ]


def _events(simulated: Market, filings: Filings) -> list[dict[str, Any]]:
    """List what happened by date: listings, delistings, splits, halts, reuse, late and amended filings."""
    listings, dates = simulated.listings, simulated.dates
    events: list[dict[str, Any]] = []

    def add(event: str, column: Ints, day: Dates, **more: Any) -> None:
        rows = {
            "date": day.astype(np.str_).tolist(),
            "event": [event] * len(column),
            "ticker": listings.tickers[column].tolist(),
            "permaticker": listings.permatickers[column].tolist(),
            **{name: values.tolist() for name, values in more.items()},
        }
        events.extend(dict(zip(rows, row, strict=True)) for row in zip(*rows.values(), strict=True))

    new, gone = np.flatnonzero(listings.first > 0), np.flatnonzero(listings.reason != "")
    add("listing", new, dates[listings.first[new]])
    add("delisting", gone, dates[listings.last[gone]], reason=listings.reason[gone])
    again = np.flatnonzero(listings.tickers[1:] == listings.tickers[:-1]) + 1
    add("reuse", again, dates[listings.first[again]], former_permaticker=listings.permatickers[again - 1])
    column, row, ratio = simulated.splits
    add("split", column, dates[row], ratio=ratio)
    column, row, length = listings.halts
    add("halt", column, dates[row], sessions=length)
    for event, which in (("late filing", filings.late), ("amended filing", filings.amendment)):
        period = filings.reportperiod[which].astype(np.str_)
        add(event, filings.column[which], filings.datekey[which], reportperiod=period)
    return sorted(events, key=lambda event: (event["date"], event["event"], event["permaticker"]))
