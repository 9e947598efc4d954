"""Null markets, strategies: how often the best of worthless backtests is believed.

Worthless signals go through the real engine under the chosen strategies, without costs: costs only pull the
Sharpe ratios down, and without them what is judged is truly worth nothing. Skill is planted in the daily
returns of one trial, as a drift that gives it a Sharpe ratio.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from kairos.audit.null_rates import Sighting, Terms, World
from kairos.audit.panels import Stage, stage
from kairos.equity.backtest.compat import FREE, with_engine
from kairos.equity.backtest.scaling import SESSIONS_PER_YEAR
from kairos.equity.backtest.trials import Deflation, deflate, trials_of
from kairos.errors import InputError
from kairos.evaluation.sharpe import sharpe_ratio, sharpe_se
from kairos.simulate import market
from kairos.simulate.planted import INSIDER, stream
from kairos.simulate.returns import autoregress
from kairos.store.ledger import Run, new_run

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kairos.settings import Settings, Strategy

TICKERS, YEARS = 100, 3
SIGNALS = 4
"""Worthless signals that each strategy is tried on."""
SHARPE = 1.0
"""True Sharpe ratio a year of the planted trial, at an effect of 1."""
DEFAULT = ("baseline", "risk1")

Series = np.ndarray[Any, np.dtype[np.float64]]


def resolve(settings: Settings, names: Sequence[str]) -> tuple[Strategy, ...]:
    """The strategies that are tried, without costs.

    Raises
    ------
    InputError
        A strategy does not exist, or needs what a simulated market does not have.
    """
    chosen = tuple(settings.equity.strategy(name) for name in names)
    for strategy in chosen:
        lacking = {
            "the manual's accounting (compat_manual)": strategy.backtest.compat_manual,
            "regimes": bool(strategy.regimes or strategy.mix.strategies),
            "exposures of a table (max_exposures)": bool(strategy.max_exposures),
            "market capitalisations (benchmark = 'cap')": strategy.backtest.benchmark == "cap",
        }
        for what, asked in lacking.items():
            if asked:
                raise InputError(
                    f"--strategy {strategy.name}: it needs {what}, which a null market does not have; "
                    "choose another strategy"
                )
    return tuple(with_engine(strategy, costs=FREE) for strategy in chosen)


def look(seed: int, terms: Terms) -> list[Sighting]:
    """What the deflated Sharpe ratio believes of the trials on one market."""
    trials = list(_trials(seed, terms.strategies))
    found = list(_tests(trials, World.NOTHING, 0.0, terms))
    if terms.effect:
        truth = terms.effect * SHARPE
        found += _tests([_skilled(trials[0], truth), *trials[1:]], World.PLANTED, truth, terms)
    return found


def _tests(trials: list[Series], world: World, truth: float, terms: Terms) -> Iterator[Sighting]:
    """The best of all, the first by itself, and its interval; planted skill is in the first trial."""
    nothing = world is World.NOTHING
    promise = terms.level if nothing else np.nan
    best, deflation = deflate_best(trials)
    believed = bool(deflation.deflated > 1.0 - terms.level) and (nothing or best == 0)
    yield Sighting(world, f"best of {len(trials)} trials, deflated Sharpe", believed, truth, promise)
    alone = deflate_best(trials[:1])[1].deflated > 1.0 - terms.level
    name = terms.strategies[0].name
    yield Sighting(world, f"{name}, one trial, probabilistic Sharpe", bool(alone), truth, promise)
    margin = NormalDist().inv_cdf(1.0 - terms.level / 2.0) * sharpe_se(trials[0], SESSIONS_PER_YEAR)
    missed = bool(abs(sharpe_ratio(trials[0], SESSIONS_PER_YEAR) - truth) > margin)
    test = f"{name}, {1.0 - terms.level:.0%} interval of the Sharpe misses the truth"
    yield Sighting(world, test, missed, truth, terms.level)


def deflate_best(trials: Sequence[Series]) -> tuple[int, Deflation]:
    """Position of the trial with the best Sharpe ratio, and its deflation by all of them in a ledger."""
    ratios = [sharpe_ratio(series, 1.0) for series in trials]
    rows = [_row(i, ratio, len(trials[i])) for i, ratio in enumerate(ratios)]
    best = int(np.argmax(ratios))
    competing = trials_of(rows[best], rows)
    return best, deflate(competing, trials[best], periods_per_year=SESSIONS_PER_YEAR)


def _row(trial: int, ratio: float, sessions: int) -> Run:
    """The row of the ledger of a trial."""
    blank = _blank(trial)
    headline = json.loads(blank.headline) | {"judged_sharpe": ratio, "sessions": sessions}
    return replace(blank, headline=json.dumps(headline))


@cache
def _blank(trial: int) -> Run:
    """The same for every market: hashing a configuration takes longer than the test."""
    day = {"start": "2015-01-02", "end": "2017-12-29"}
    headline = {"alpha": "null", "data": "null", "namespace": "main", "table": "null", "sessions": 0, **day}
    return new_run("audit null", snapshot="", config={"trial": trial}, headline=headline)


def _trials(seed: int, strategies: Sequence[Strategy]) -> Iterator[Series]:
    """Judged daily returns of every strategy on every worthless signal."""
    world = stage(market(TICKERS, YEARS, seed, premia=0.0))
    for strategy in strategies:
        for number in range(SIGNALS):
            yield _judged(world, strategy, _worthless(seed, number, world))


def _worthless(seed: int, number: int, world: Stage) -> Series:
    """A signal of the pace of the planted ones, (T, N)."""
    T, N = world.market.frame.shape
    slow = stream(seed, f"null signal {number}").standard_normal((N, T))
    autoregress(slow, INSIDER.persistence)
    return np.where(world.market.priced, slow.T, np.nan)


def _judged(world: Stage, strategy: Strategy, alpha: Series) -> Series:
    """What a backtest is judged by: active returns, of a neutral book raw ones."""
    run = replace(world, signals=replace(world.signals, alpha=alpha)).simulate(strategy)
    if run.first < 0:
        raise InputError(
            f"--strategy {strategy.name}: it holds nothing on a null market of {TICKERS} names; "
            "loosen its filters with --set, or choose another strategy"
        )
    daily = run.raw.ret if strategy.neutral else run.scaled.ret - run.bench.ret
    return np.asarray(daily[run.first : run.last + 1])


def _skilled(series: Series, sharpe: float) -> Series:
    """The same returns with a drift that adds to their Sharpe ratio."""
    return np.asarray(series + sharpe / np.sqrt(SESSIONS_PER_YEAR) * series.std(ddof=1))
