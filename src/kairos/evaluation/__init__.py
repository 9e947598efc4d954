"""Statistics of strategies and signals: pure functions on arrays. No files, no settings.

* `kairos.evaluation.performance`: the headline of a strategy, all numbers at once
* `kairos.evaluation.growth`: wealth, drawdown, calendar months and years
* `kairos.evaluation.risk`: volatility, Sortino, Calmar, moments, beta, rolling volatility
* `kairos.evaluation.sharpe`: Sharpe ratio, its error, probabilistic and deflated
* `kairos.evaluation.information`: information coefficients, Fama-MacBeth, decay, autocorrelation
* `kairos.evaluation.quantiles`: quantile groups and portfolios
* `kairos.evaluation.prediction`: forecasts of returns by month, and whether one is better than another
* `kairos.evaluation.significance`: Newey-West, bootstrap, Holm, Romano-Wolf

Returns are simple and fractions. A return of row t is earned over the session that ends at the close of t; a
signal of row t is known after that close, and is measured against returns that start later. Panels are
(T, N) = (sessions, tickers). A number that can't be computed is NaN, never 0; a series of returns with a gap
is an error.
"""

from kairos.evaluation.growth import (
    Drawdown,
    annual_return,
    drawdown,
    max_drawdown,
    monthly_table,
    period_returns,
    total_return,
    wealth,
    worst_drawdown,
)
from kairos.evaluation.information import (
    FamaMacBeth,
    ICSummary,
    by_group,
    by_sector,
    decay,
    fama_macbeth,
    information_coefficient,
    rank_autocorrelation,
    signal_correlation,
    summarise,
)
from kairos.evaluation.performance import Performance, performance
from kairos.evaluation.quantiles import (
    Monotonicity,
    QuantilePortfolios,
    monotonicity,
    quantile_groups,
    quantile_portfolios,
    top_group_turnover,
)
from kairos.evaluation.risk import (
    beta,
    calmar,
    excess_kurtosis,
    hit_rate,
    rolling_volatility,
    skewness,
    sortino,
    volatility,
)
from kairos.evaluation.sharpe import (
    deflated_sharpe,
    effective_trials,
    expected_maximum,
    probabilistic_sharpe,
    rolling_sharpe,
    sharpe_ratio,
    sharpe_se,
)
from kairos.evaluation.significance import (
    MeanTest,
    bootstrap_interval,
    holm,
    mean_test,
    newey_west_se,
    romano_wolf,
    two_sided_p,
)

__all__ = [
    "Drawdown",
    "FamaMacBeth",
    "ICSummary",
    "MeanTest",
    "Monotonicity",
    "Performance",
    "QuantilePortfolios",
    "annual_return",
    "beta",
    "bootstrap_interval",
    "by_group",
    "by_sector",
    "calmar",
    "decay",
    "deflated_sharpe",
    "drawdown",
    "effective_trials",
    "excess_kurtosis",
    "expected_maximum",
    "fama_macbeth",
    "hit_rate",
    "holm",
    "information_coefficient",
    "max_drawdown",
    "mean_test",
    "monotonicity",
    "monthly_table",
    "newey_west_se",
    "performance",
    "period_returns",
    "probabilistic_sharpe",
    "quantile_groups",
    "quantile_portfolios",
    "rank_autocorrelation",
    "rolling_sharpe",
    "rolling_volatility",
    "romano_wolf",
    "sharpe_ratio",
    "sharpe_se",
    "signal_correlation",
    "skewness",
    "sortino",
    "summarise",
    "top_group_turnover",
    "total_return",
    "two_sided_p",
    "volatility",
    "wealth",
    "worst_drawdown",
]
