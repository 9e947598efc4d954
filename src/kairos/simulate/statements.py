"""The vendor's SF1 indicators from a simulated company's accounts, each by the vendor's definition."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from kairos.simulate.filings import Accounts
    from kairos.simulate.listings import Floats

TAX_RATE = 0.21
INTEREST_RATE = 0.05  # a year, on debt
CURRENT_SHARE = 0.35  # of assets and of liabilities

# SF1 in the vendor's order, after ticker, dimension, calendardate, datekey, reportperiod, lastupdated.
_INDICATORS = """
    accoci assets assetsavg assetsc assetsnc assetturnover bvps capex cashneq cashnequsd cor consolinc
    currentratio de debt debtc debtnc debtusd deferredrev depamor deposits divyield dps ebit ebitda
    ebitdamargin ebitdausd ebitusd ebt eps epsdil epsusd equity equityavg equityusd ev evebit evebitda fcf
    fcfps fxusd gp grossmargin intangibles intexp invcap invcapavg inventory investments investmentsc
    investmentsnc liabilities liabilitiesc liabilitiesnc marketcap ncf ncfbus ncfcommon ncfdebt ncfdiv ncff
    ncfi ncfinv ncfo ncfx netinc netinccmn netinccmnusd netincdis netincnci netmargin opex opinc payables
    payoutratio pb pe pe1 ppnenet prefdivis price ps ps1 receivables retearn revenue revenueusd rnd roa roe
    roic ros sbcomp sgna sharefactor sharesbas shareswa shareswadil sps tangibles taxassets taxexp
    taxliabilities tbvps workingcapital
"""
_RATIOS = """
    assetturnover bvps currentratio de divyield dps ebitdamargin eps epsdil epsusd evebit evebitda fcfps fxusd
    grossmargin netmargin payoutratio pb pe pe1 price ps ps1 roa roe roic ros sharefactor sps tbvps
"""
INDICATORS = tuple(_INDICATORS.split())
RATIOS = frozenset(_RATIOS.split())  # and per-share figures; all others are amounts


def ratio(numerator: Floats, denominator: Floats) -> Floats:
    """Quotient, NaN where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.full_like(numerator, np.nan), where=denominator != 0)


def enterprise_value(marketcap: Floats, accounts: Accounts) -> Floats:
    """Market capitalisation + debt − cash, USD."""
    return marketcap + accounts["debt"] - cash(accounts)


def cash(accounts: Accounts) -> Floats:
    """Cash and equivalents, USD: a tenth of the assets."""
    return 0.1 * (accounts["equity"] + accounts["liabilities"])


def operating_income(accounts: Accounts, years: float) -> Floats:
    """Earnings before interest and tax of a period of that many years, USD."""
    netinc = accounts["netinc"]
    before_tax = np.where(netinc > 0, netinc / (1.0 - TAX_RATE), netinc)
    return np.asarray(before_tax + accounts["debt"] * INTEREST_RATE * years)


def indicators(accounts: Accounts, price: Floats, years: float) -> Accounts:
    """All indicators of SF1 for reports on a period of `years` (0.25 or 1.0).

    Parameters
    ----------
    accounts
        Stocks and flows of `kairos.simulate.filings`, one row a report.
    price
        Split-adjusted close on the observation day, NaN before the listing.
    years
        Length of the period. Returns on averages exist for whole years only.

    Returns
    -------
    Every name in `INDICATORS`; NaN where the vendor has nothing to say.
    """
    x = dict(accounts)
    equity, liabilities, debt, shares = x["equity"], x["liabilities"], x["debt"], x["shares"]
    netinc, revenue = x["netinc"], x["revenue"]
    nothing, zero, one = np.full_like(equity, np.nan), np.zeros_like(equity), np.ones_like(equity)
    assets = x["assets"] = equity + liabilities
    x["assetsc"], x["liabilitiesc"] = CURRENT_SHARE * assets, CURRENT_SHARE * liabilities
    x["assetsnc"], x["liabilitiesnc"] = assets - x["assetsc"], liabilities - x["liabilitiesc"]
    x["cashneq"], x["intangibles"] = cash(x), 0.12 * assets
    x["inventory"], x["receivables"] = 0.10 * assets, 0.15 * assets
    x["investments"] = x["investmentsc"] = x["investmentsnc"] = x["deposits"] = x["accoci"] = zero
    x["taxassets"], x["ppnenet"] = 0.02 * assets, 0.40 * assets
    x["debtc"], x["debtnc"] = 0.2 * debt, 0.8 * debt
    other = liabilities - debt
    x["payables"], x["deferredrev"], x["taxliabilities"] = 0.6 * other, 0.25 * other, 0.15 * other
    x["retearn"] = 0.5 * equity
    x["tangibles"] = assets - x["intangibles"]
    x["invcap"] = debt + assets - x["intangibles"] - x["cashneq"] - x["liabilitiesc"]
    x["workingcapital"] = x["assetsc"] - x["liabilitiesc"]

    x["ebit"] = x["opinc"] = operating_income(x, years)
    x["intexp"] = debt * INTEREST_RATE * years
    x["ebt"] = x["ebit"] - x["intexp"]
    x["taxexp"] = x["ebt"] - netinc
    x["ebitda"] = x["ebit"] + x["depamor"]
    x["cor"] = revenue - x["gp"]
    x["opex"] = x["gp"] - x["opinc"]
    x["sgna"], x["rnd"] = 0.8 * x["opex"], 0.2 * x["opex"]
    x["consolinc"] = x["netinccmn"] = netinc
    x["netincdis"] = x["netincnci"] = x["prefdivis"] = zero

    x["fcf"] = x["ncfo"] + x["capex"]
    x["ncfi"], x["ncfbus"], x["ncfinv"], x["ncfx"] = x["capex"], zero, zero, zero
    x["ncfdiv"] = -x["dps"] * shares
    x["ncfdebt"], x["ncfcommon"] = -0.1 * x["fcf"], -0.2 * x["fcf"]
    x["ncff"] = x["ncfdiv"] + x["ncfdebt"] + x["ncfcommon"]
    x["ncf"] = x["ncfo"] + x["ncfi"] + x["ncff"]
    x["sbcomp"] = 0.1 * x["depamor"]

    x["fxusd"] = x["sharefactor"] = one
    x["sharesbas"] = x["shareswa"] = x["shareswadil"] = shares
    for name in ("cashneq", "debt", "ebit", "ebitda", "equity", "netinccmn", "revenue"):
        x[f"{name}usd"] = x[name]
    x["eps"] = x["epsdil"] = x["epsusd"] = ratio(netinc, shares)
    x["bvps"], x["tbvps"] = ratio(equity, shares), ratio(x["tangibles"], shares)
    x["sps"], x["fcfps"] = ratio(revenue, shares), ratio(x["fcf"], shares)

    x["price"] = price
    x["marketcap"] = shares * price
    x["ev"] = enterprise_value(x["marketcap"], x)
    whole_year = years == 1.0
    per_year = {
        "pe": ("marketcap", "netinc"),
        "pe1": ("price", "eps"),
        "ps": ("marketcap", "revenue"),
        "ps1": ("price", "sps"),
        "evebit": ("ev", "ebit"),
        "evebitda": ("ev", "ebitda"),
        "divyield": ("dps", "price"),
        "payoutratio": ("dps", "eps"),
        "roe": ("netinc", "equityavg"),
        "roa": ("netinc", "assetsavg"),
        "roic": ("ebit", "invcap"),
        "assetturnover": ("revenue", "assetsavg"),
        "ros": ("ebit", "revenue"),
    }
    always = {
        "pb": ("marketcap", "equity"),
        "de": ("liabilities", "equity"),
        "currentratio": ("assetsc", "liabilitiesc"),
        "grossmargin": ("gp", "revenue"),
        "netmargin": ("netinc", "revenue"),
        "ebitdamargin": ("ebitda", "revenue"),
    }
    x["invcapavg"] = x["invcap"] if whole_year else nothing
    x.setdefault("equityavg", nothing)
    x.setdefault("assetsavg", nothing)
    for name, (numerator, denominator) in (always | per_year).items():
        x[name] = ratio(x[numerator], x[denominator]) if whole_year or name in always else nothing
    return {name: x[name] for name in INDICATORS}
