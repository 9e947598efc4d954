"""Statistics of strategies and signals: pure functions on arrays. No files, no settings.

* `kairos.evaluation.performance`: the headline of a strategy, all numbers at once
* `kairos.evaluation.growth`: wealth, drawdown, calendar months and years
* `kairos.evaluation.risk`: volatility, Sortino, Calmar, moments, beta, rolling volatility
* `kairos.evaluation.sharpe`: Sharpe ratio, its error, probabilistic and deflated
* `kairos.evaluation.information`: information coefficients, Fama-MacBeth, decay, autocorrelation
* `kairos.evaluation.quantiles`: quantile groups and portfolios
* `kairos.evaluation.prediction`: forecasts of returns by month, and whether one is better than another
* `kairos.evaluation.significance`: Newey-West, cosine errors, Holm, Romano-Wolf
* `kairos.evaluation.bootstrap`: intervals from resampled blocks
* `kairos.evaluation.periods`: in-sample and out-of-sample, years, equal parts
* `kairos.evaluation.regression`: returns explained by factors over time
* `kairos.evaluation.attribution`: exposures of a book, its return by group and by factor
* `kairos.evaluation.capacity`: Sharpe ratio against capital
* `kairos.evaluation.comparison`: Sharpe ratios of several strategies in pairs

Returns are simple and fractions. A return of row t is earned over the session that ends at the close of t; a
signal of row t is known after that close, and is measured against returns that start later. Panels are
(T, N) = (sessions, tickers). A number that can't be computed is NaN, never 0; a series of returns with a gap
is an error.
"""

from kairos.evaluation.attribution import (
    Book,
    Exposures,
    FactorAttribution,
    FactorReturns,
    GroupAttribution,
    attribute_to_factors,
    attribute_to_groups,
    exposures,
    factor_returns,
    linked,
)
from kairos.evaluation.bootstrap import block_length, bootstrap_interval
from kairos.evaluation.capacity import capacity
from kairos.evaluation.comparison import SharpeGap, sharpe_gaps
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
from kairos.evaluation.periods import (
    Period,
    calendar_years,
    equal_parts,
    in_and_out_of_sample,
    sub_periods,
)
from kairos.evaluation.quantiles import (
    Monotonicity,
    QuantilePortfolios,
    monotonicity,
    quantile_groups,
    quantile_portfolios,
    top_group_turnover,
)
from kairos.evaluation.regression import (
    FactorRegression,
    RollingRegression,
    factor_regression,
    rolling_regression,
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
    SharpeDifference,
    deflated_sharpe,
    effective_trials,
    expected_maximum,
    probabilistic_sharpe,
    rolling_sharpe,
    sharpe_difference,
    sharpe_ratio,
    sharpe_se,
)
from kairos.evaluation.significance import (
    MeanTest,
    cosine_se,
    holm,
    lag_rule,
    mean_test,
    newey_west_se,
    overlap_test,
    romano_wolf,
    two_sided_p,
)

__all__ = [
    "Book",
    "Drawdown",
    "Exposures",
    "FactorAttribution",
    "FactorRegression",
    "FactorReturns",
    "FamaMacBeth",
    "GroupAttribution",
    "ICSummary",
    "MeanTest",
    "Monotonicity",
    "Performance",
    "Period",
    "QuantilePortfolios",
    "RollingRegression",
    "SharpeDifference",
    "SharpeGap",
    "annual_return",
    "attribute_to_factors",
    "attribute_to_groups",
    "beta",
    "block_length",
    "bootstrap_interval",
    "by_group",
    "by_sector",
    "calendar_years",
    "calmar",
    "capacity",
    "cosine_se",
    "decay",
    "deflated_sharpe",
    "drawdown",
    "effective_trials",
    "equal_parts",
    "excess_kurtosis",
    "expected_maximum",
    "exposures",
    "factor_regression",
    "factor_returns",
    "fama_macbeth",
    "hit_rate",
    "holm",
    "in_and_out_of_sample",
    "information_coefficient",
    "lag_rule",
    "linked",
    "max_drawdown",
    "mean_test",
    "monotonicity",
    "monthly_table",
    "newey_west_se",
    "overlap_test",
    "performance",
    "period_returns",
    "probabilistic_sharpe",
    "quantile_groups",
    "quantile_portfolios",
    "rank_autocorrelation",
    "rolling_regression",
    "rolling_sharpe",
    "rolling_volatility",
    "romano_wolf",
    "sharpe_difference",
    "sharpe_gaps",
    "sharpe_ratio",
    "sharpe_se",
    "signal_correlation",
    "skewness",
    "sortino",
    "sub_periods",
    "summarise",
    "top_group_turnover",
    "total_return",
    "two_sided_p",
    "volatility",
    "wealth",
    "worst_drawdown",
]
