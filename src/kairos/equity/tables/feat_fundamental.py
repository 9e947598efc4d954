"""Nineteen ratios of company accounts."""

from __future__ import annotations

from collections.abc import Mapping

from kairos.equity.declare import Column, FeatureTable, Params, Scope
from kairos.equity.formulas import growth, known_before, over
from kairos.equity.frame import Array, Inputs
from kairos.equity.size import USD_PER_MILLION
from kairos.panel import winsorise

FILED = (
    *("netinc", "ncfo", "revenue", "gp", "ebit", "ebitda", "fcf", "equity", "assets", "debt"),
    *(
        "netinc_1y",
        "revenue_1y",
        "fcf_1y",
        "equity_1y",
        "earnings_std_4q",
        "revenue_std_4q",
        "assets_mean_4q",
    ),
)


class FundamentalParams(Params):
    """Quantiles of the date to which every ratio is winsorised."""

    lower: float = 0.01
    upper: float = 0.99


COLUMNS = (
    Column("earnings_yield", "netinc / marketcap(t-1)", "Basu (1977)", sign=1),
    Column("fcf_yield", "fcf / marketcap(t-1)", "Hackel, Livnat & Rai (1994)", sign=1),
    Column("book_to_market", "equity / marketcap(t-1)", "Fama & French (1992)", sign=1),
    Column("sales_to_price", "revenue / marketcap(t-1)", "Barbee, Mukherji & Raines (1996)", sign=1),
    Column("ebitda_to_ev", "ebitda / ev(t-1), ev > 0", "Loughran & Wellman (2011)", sign=1),
    Column("roe", "netinc / equity, equity > 0", "Hou, Xue & Zhang (2015)", sign=1),
    Column("roa", "netinc / assets", "Balakrishnan, Bartov & Faurel (2010)", sign=1),
    Column("gross_margin", "gp / revenue, revenue > 0", sign=1),
    Column("operating_margin", "ebit / revenue, revenue > 0", "Soliman (2008)", sign=1),
    Column("net_margin", "netinc / revenue, revenue > 0", "Soliman (2008)", sign=1),
    Column("asset_turnover", "revenue / assets", "Soliman (2008)", sign=1),
    Column("debt_to_equity", "debt / equity, equity > 0", "Bhandari (1988)", sign=1),
    Column("accruals", "(netinc - ncfo) / assets", "Sloan (1996)", sign=-1),
    Column("revenue_growth_yoy", "growth of revenue against a fiscal year before", "Lakonishok, Shleifer & Vishny (1994)", sign=-1),
    Column("earnings_growth_yoy", "growth of netinc against a fiscal year before", sign=1),
    Column("fcf_growth_yoy", "growth of fcf against a fiscal year before", sign=1),
    Column("book_value_growth_yoy", "growth of equity against a fiscal year before", "Richardson, Sloan, Soliman & Tuna (2005)", sign=-1),
    Column("earnings_volatility", "deviation of netinc over four quarters / their mean assets", "Dichev & Tang (2009)", sign=-1),
    Column("revenue_volatility", "deviation of revenue over four quarters / their mean assets", sign=-1),
)  # fmt: skip


def compute(x: Inputs, p: FundamentalParams) -> Mapping[str, Array]:
    """Value at t from the report in force after the close of t and the market value of the session before."""
    assets, equity, revenue = x["assets"], x["equity"], x["revenue"]
    cap, ev = (known_before(x[name], x.max_gap) * USD_PER_MILLION for name in ("marketcap", "ev"))
    ratios = {
        "earnings_yield": over(x["netinc"], cap),
        "fcf_yield": over(x["fcf"], cap),
        "book_to_market": over(equity, cap),
        "sales_to_price": over(revenue, cap),
        "ebitda_to_ev": over(x["ebitda"], ev),
        "roe": over(x["netinc"], equity),
        "roa": over(x["netinc"], assets),
        "gross_margin": over(x["gp"], revenue),
        "operating_margin": over(x["ebit"], revenue),
        "net_margin": over(x["netinc"], revenue),
        "asset_turnover": over(revenue, assets),
        "debt_to_equity": over(x["debt"], equity),
        "accruals": over(x["netinc"] - x["ncfo"], assets),
        "revenue_growth_yoy": growth(revenue, x["revenue_1y"]),
        "earnings_growth_yoy": growth(x["netinc"], x["netinc_1y"]),
        "fcf_growth_yoy": growth(x["fcf"], x["fcf_1y"]),
        "book_value_growth_yoy": growth(equity, x["equity_1y"]),
        "earnings_volatility": over(x["earnings_std_4q"], x["assets_mean_4q"]),
        "revenue_volatility": over(x["revenue_std_4q"], x["assets_mean_4q"]),
    }
    return {name: winsorise(ratio, x.members, p.lower, p.upper) for name, ratio in ratios.items()}


TABLE = FeatureTable(
    name="feat_fundamental",
    doc="Ratios of the accounts in force to each other and to the market value of the session before, winsorised "
    "over the members of the date; NULL for others. Flows are of four quarters.",
    inputs=(
        *(f"filings.{name}" for name in FILED),
        "daily.marketcap",
        "daily.ev",
        "sep_base_academic.member",
    ),
    columns=lambda _: COLUMNS,
    params=FundamentalParams,
    uses=("equity.listing",),
    history=lambda _, gap: gap + 1,
    scope=Scope.BOTH,
    compute=compute,
)
