"""The fundamental tables by definition: one company, one listing, one session after another, in plain loops.

`fundamentals` reads the vendor's files only. `from_truth` computes the trailing sums and the year before from
the quarters that a simulated market drew, never from the vendor's ART rows.
"""

import bisect
import datetime as dt
import math
import statistics
from collections import defaultdict

import numpy as np
import pandas as pd
import tables_oracle as basics
from tables_oracle import before, calendar, change, divide, latest, logarithm, metadata, zscores

DAY = dt.timedelta(days=1)
NAN = math.nan

STALE_REPORT = 400  # days
QUARTER_GAP = (75, 125)  # 12 or 13 weeks, 16 where a year has three of 12; a month end moves by three days
YEAR_OFF = 20  # days by which a year before may miss 365
FORM_WINDOW = 30  # sessions
HOLDINGS_DELAY = 45  # days after the quarter's end; usable on the second session after that
STALE_HOLDINGS = 200  # days

FLOWS = ("netinc", "ncfo", "revenue", "gp", "ebit", "ebitda", "fcf")
STOCKS = ("equity", "assets", "debt", "tbvps")
GROWN = {"revenue": "revenue", "netinc": "earnings", "fcf": "fcf", "equity": "book_value"}


def fundamentals(vendor, found, members, *, units="reported", crowd=100, ttm=True):
    """Every fundamental table whose vendor file is there: table to column to (listings, sessions).

    Parameters
    ----------
    vendor, found, members
        `tables_oracle.read_vendor`, `listings`, and any list of boolean arrays over the sessions.
    units
        "reported", or "adjusted" when the vendor's 13F units are already on today's split basis.
    crowd
        A yield is punished as a trap only on dates on which more members than this have it.
    ttm
        Whether `feat_quality_v2` takes the trailing year; otherwise the single quarter.
    """
    tables = {"feat_momentum_v2": momentum(found, members)}
    if "daily" in vendor:
        tables["feat_value_v2"] = value_v2(vendor, found, members, crowd)
    if "sf1" in vendor:
        known = accounts(vendor, found)
        tables["feat_quality_v2"] = quality_v2(known, members, ttm)
        tables["feat_growth_v2"] = growth_v2(known, members)
        tables["feat_gross_profit"] = {"gross_profitability": over(known["gp"], known["assets"])}
        tables["feat_value"] = value(known, found, members)
        if "daily" in vendor:
            tables["feat_fundamental"] = fundamental(vendor, known, found, members)
    if "sf2" in vendor:
        tables["feat_insider"] = insider(vendor, found, members)
    if "sf3" in vendor:
        tables["feat_institutional_academic"] = institutional(vendor, found, members, units)
    return tables


# Companies of a ticker


def present_since(vendor):
    """Ticker to the first day of its present company, for tickers that had a former one."""
    last, sessions, known, found = {}, calendar(vendor), metadata(vendor), {}
    for one in basics.listings(vendor):
        last.setdefault(one.ticker, []).append(sessions[one.last])
    for ticker, ends in last.items():
        begins = known.loc[ticker].get("firstpricedate") if ticker in known.index else None
        if isinstance(begins, dt.date) and min(ends) < begins:
            found[ticker] = begins
    return found


class Companies:
    """The company of a listing and of a dated row of the vendor's files: (ticker, is it the former one)."""

    def __init__(self, vendor):
        self.since, self.sessions = present_since(vendor), calendar(vendor)

    def on(self, ticker, date):
        return ticker, ticker in self.since and date < self.since[ticker]

    def of(self, one):
        return self.on(one.ticker, self.sessions[one.last])


# Reports


class Report:
    """One row of SF1: when it was filed, for which period, and its figures (NaN = missing)."""

    def __init__(self, filed, period, updated, row):
        self.filed, self.period, self.updated = filed, period, updated
        self.figures = {name: number(row.get(name)) for name in (*FLOWS, *STOCKS, "capex")}
        if math.isnan(self.figures["fcf"]):
            self.figures["fcf"] = self.figures["ncfo"] + self.figures["capex"]

    def __getitem__(self, name):
        return self.figures[name]


def number(x):
    return NAN if x is None or not math.isfinite(x) else float(x)


class Company:
    """All that one company filed."""

    def __init__(self):
        self.quarters, self.years = [], []  # ARQ, ART

    def in_force(self, date):
        """Report in force after the close of a session, or None."""
        usable = [report for report in self.quarters if report.filed < date]
        if not usable:
            return None
        report = max(usable, key=lambda r: (r.filed, r.period, r.updated))
        return None if (date - report.filed).days > STALE_REPORT else report

    def known(self, day, reports):
        """Period to the newest version filed up to a day."""
        found = {}
        for report in sorted(reports, key=lambda r: (r.filed, r.updated)):
            if report.filed <= day:
                found[report.period] = report
        return found

    def at(self, report):
        """Every quantity that is read off a report in force: name to number."""
        quarters, years = self.known(report.filed, self.quarters), self.known(report.filed, self.years)
        ago = year_before(report.period, quarters)
        out = {name: report[name] for name in STOCKS}
        for name in FLOWS:
            out[name] = trailing(name, report.period, quarters, years)
            out[f"{name} quarter"] = quarters[report.period][name]
        for name in GROWN:
            if ago is None:
                base = NAN
            elif name == "equity":
                base = quarters[ago][name]
            else:
                base = trailing(name, ago, quarters, years)
            out[f"{name} before"] = base
        for name in ("netinc", "revenue"):
            out[f"{name} volatility"] = volatility(name, report.period, quarters)
        return out


def four_quarters(period, quarters):
    """Versions of a period and of the three before it, or None where the periods are not neighbours."""
    order = sorted(quarters)
    at = order.index(period)
    if at < 3:
        return None
    chosen = order[at - 3 : at + 1]
    gaps = [(chosen[i + 1] - chosen[i]).days for i in range(3)]
    if min(gaps) < QUARTER_GAP[0] or max(gaps) > QUARTER_GAP[1]:
        return None
    return [quarters[p] for p in chosen]


def trailing(name, period, quarters, years):
    """Flow of the year to a period: ART, else the sum of four quarters (NaN when one is missing)."""
    if period in years and not math.isnan(years[period][name]):
        return years[period][name]
    four = four_quarters(period, quarters)
    return NAN if four is None else math.fsum(report[name] for report in four)


def year_before(period, quarters):
    """Period one fiscal year earlier, or None; of two equally near ones the later."""
    off = {p: abs((period - p).days - 365) for p in quarters}
    near = [p for p in off if off[p] <= YEAR_OFF]
    return min(near, key=lambda p: (off[p], -p.toordinal())) if near else None


def volatility(name, period, quarters):
    four = four_quarters(period, quarters)
    if four is None:
        return NAN
    values, assets = [report[name] for report in four], [report["assets"] for report in four]
    if any(math.isnan(x) for x in values + assets) or sum(assets) <= 0:
        return NAN
    return statistics.stdev(values) / statistics.fmean(assets)


def companies_of(vendor):
    """(ticker, is former) to its company with all reports."""
    names = Companies(vendor)
    found = defaultdict(Company)
    for row in vendor["sf1"].to_dict("records"):
        company = found[names.on(row["ticker"], row["datekey"])]
        report = Report(row["datekey"], row["reportperiod"], row["lastupdated"] or dt.date.min, row)
        if row["dimension"] == "ARQ":
            company.quarters.append(report)
        if row["dimension"] == "ART":
            company.years.append(report)
    return names, found


def accounts(vendor, found):
    """Quantity to (listings, sessions): what the report in force says on every session of a listing."""
    sessions = calendar(vendor)
    which, companies = companies_of(vendor)
    names = [*STOCKS, *FLOWS, "netinc volatility", "revenue volatility"]
    names += [f"{name} before" for name in GROWN] + [f"{name} quarter" for name in FLOWS]
    out = {name: np.full((len(found), len(sessions)), np.nan) for name in names}
    for i, one in enumerate(found):
        company, worked_out = companies.get(which.of(one)), {}
        for t in range(one.first, one.last + 1):
            report = company.in_force(sessions[t]) if company else None
            if report is not None:
                if id(report) not in worked_out:
                    worked_out[id(report)] = company.at(report)
                for name, x in worked_out[id(report)].items():
                    out[name][i, t] = x
    return out


# Statistics over the members of a date


def among(x, members):
    return np.where(np.array(members), x, np.nan)


def winsorised(x, members, lower, upper):
    """Members' values, those beyond the date's quantiles set to them; NaN for others."""
    out = among(x, members)
    for t in range(out.shape[1]):
        there = np.isfinite(out[:, t])
        if there.any():
            low, high = np.quantile(out[there, t], [lower, upper])
            out[there, t] = np.clip(out[there, t], low, high)
    return out


def z3(x, members):
    return np.clip(zscores(x, members), -3, 3)


def blend(parts, weights=None):
    """Weighted mean of the parts that exist."""
    parts = np.array(parts)
    weights = np.ones(len(parts)) if weights is None else np.array(weights)
    weight = np.isfinite(parts) * weights[:, None, None]
    return divide((np.nan_to_num(parts) * weight).sum(axis=0), weight.sum(axis=0))


def over(a, b):
    """a/b where b is above 0."""
    with np.errstate(invalid="ignore"):
        return divide(a, np.where(b > 0, b, np.nan))


def inside(x, low, high):
    """x strictly between the bounds."""
    with np.errstate(invalid="ignore"):
        return np.where((x > low) & (x < high), x, np.nan)


# DAILY, lagged


def lagged(vendor, found, column):
    """Column of DAILY on t: that of t-1, or the last one up to ten sessions before t-1."""
    sessions, daily = calendar(vendor), vendor["daily"]
    out = np.full((len(found), len(sessions)), np.nan)
    if column not in daily:
        return out
    by_ticker = defaultdict(dict)
    for ticker, date, x in zip(daily["ticker"], daily["date"], daily[column], strict=True):
        by_ticker[ticker][date] = x
    for i, one in enumerate(found):
        own = np.full(len(sessions), np.nan)
        for t in range(one.first, one.last + 1):
            own[t] = number(by_ticker[one.ticker].get(sessions[t]))
        out[i] = before(latest(own))
    return out


# Tables


def value_v2(vendor, found, members, crowd):
    bounds = {
        "earnings_yield": ("pe", 100),
        "book_yield": ("pb", 20),
        "ebitda_yield": ("evebitda", 50),
        "sales_yield": ("ps", 20),
    }
    out = {
        name: divide(1, inside(lagged(vendor, found, column), 0, high))
        for name, (column, high) in bounds.items()
    }
    composite = blend([z3(out[name], members) for name in bounds])
    adjusted = composite.copy()
    for name in bounds:
        x = among(out[name], members)
        for t in range(x.shape[1]):
            there = np.isfinite(x[:, t])
            if there.sum() > crowd:
                adjusted[there & (x[:, t] >= np.quantile(x[there, t], 0.90)), t] -= 1.0
    return out | {"value_composite_z": composite, "value_quality_adj": adjusted}


def quality_v2(known, members, ttm):
    quarter = "" if ttm else " quarter"
    netinc, ncfo = known["netinc" + quarter], known["ncfo" + quarter]
    roe = np.clip(inside(over(netinc, known["equity"]), -2, 2), -1, 1)
    roa = np.clip(inside(over(netinc, known["assets"]), -0.5, 0.5), -0.3, 0.3)
    accruals = np.clip(over(netinc - ncfo, known["assets"]), -1, 1)
    z = {
        "roe_z": z3(roe, members),
        "roa_z": z3(roa, members),
        "accruals_z": -z3(accruals, members),
    }
    parts = np.array(list(z.values()))
    composite = np.where(np.isfinite(parts).any(axis=0), np.nan_to_num(parts).sum(axis=0) / 3, np.nan)
    raw = {"computed_roe": roe, "computed_roa": roa, "computed_accruals": accruals}
    return raw | z | {"quality_composite_z": composite}


def growths(known):
    return {
        f"{word}_growth_yoy": divide(known[name] - known[f"{name} before"], np.abs(known[f"{name} before"]))
        for name, word in GROWN.items()
    }


def growth_v2(known, members):
    out = growths(known)
    composite = blend([z3(winsorised(x, members, 0.01, 0.99), members) for x in out.values()])
    return out | {"growth_composite_z": composite}


def momentum(found, members):
    out = {
        name: np.array([change(one["closeadj"], k) for one in found])
        for name, k in {"mom_1m": 21, "mom_3m": 63, "mom_6m": 126, "mom_12m": 252}.items()
    }
    price = [latest(one["closeadj"]) for one in found]
    out["mom_12_1"] = np.array([divide(before(p, 21), before(p, 252)) - 1 for p in price])
    out["reversal_1m"] = -out["mom_1m"]
    parts = [
        z3(winsorised(out[name], members, 0.005, 0.995), members) for name in ("mom_12_1", "reversal_1m")
    ]
    return out | {"momentum_composite_z": blend(parts, (0.6, 0.4))}


def insider(vendor, found, members):
    sessions, names = calendar(vendor), Companies(vendor)
    shape = (len(found), len(sessions))
    value, count = ({code: np.zeros(shape) for code in "PS"} for _ in range(2))
    for row in vendor["sf2"].to_dict("records"):
        filed, code = row["filingdate"], row["transactioncode"]
        usable = bisect.bisect_right(sessions, filed)
        if code not in ("P", "S") or filed < sessions[0] or usable == len(sessions):
            continue
        company = names.on(row["ticker"], filed)
        own = [i for i, one in enumerate(found) if one.ticker == row["ticker"] and names.of(one) == company]
        if own:
            begun = [i for i in own if found[i].first <= usable]
            i = max(begun, key=lambda i: found[i].first) if begun else min(own, key=lambda i: found[i].first)
            dollars = abs(number(row.get("transactionvalue")))
            if math.isnan(dollars):
                shares, price = number(row["transactionshares"]), number(row["transactionpricepershare"])
                dollars = abs(shares) * price
            value[code][i, usable] += 0 if math.isnan(dollars) else dollars
            count[code][i, usable] += 1

    def in_window(x):
        return np.array(
            [[row[max(0, t - FORM_WINDOW + 1) : t + 1].sum() for t in range(len(row))] for row in x]
        )

    buy, sell = in_window(value["P"]), in_window(value["S"])
    net = buy - sell
    return {
        "buy_value_30d": buy,
        "sell_value_30d": sell,
        "net_buy_value_30d": net,
        "buy_count_30d": in_window(count["P"]),
        "sell_count_30d": in_window(count["S"]),
        "net_buy_signal": np.sign(net),
        "insider_composite_z": z3(np.sign(net) * logarithm(1 + np.abs(net)), members),
    }


def quarter_before(end):
    """The calendar quarter end before a calendar quarter end."""
    month = end.replace(day=1)
    for _ in range(2):
        month = (month - DAY).replace(day=1)
    return month - DAY


def partial_quarters(holdings):
    """Quarters in which fewer than 70 % of the previous calendar quarter's investors filed."""
    investors = holdings.groupby("calendardate")["investorname"].nunique().to_dict()
    return {
        end
        for end, n in investors.items()
        if quarter_before(end) in investors and 10 * n < 7 * investors[quarter_before(end)]
    }


def institutional(vendor, found, members, units):
    sessions, names = calendar(vendor), Companies(vendor)
    holdings = vendor["sf3"][vendor["sf3"]["securitytype"] == "SHR"]
    partial = partial_quarters(holdings)
    quarters = defaultdict(dict)  # company to quarter end to figures
    for (ticker, end), rows in holdings.groupby(["ticker", "calendardate"]):
        value, shares = (rows[name].sum(min_count=1) for name in ("value", "units"))
        figures = (value, shares, rows["investorname"].nunique())
        quarters[names.on(ticker, end)][end] = figures
    columns = ("inst_value", "inst_shares", "inst_num")
    flows = ("inst_flow_value_qoq", "inst_flow_shares_qoq", "inst_num_change")
    out = {name: np.full((len(found), len(sessions)), np.nan) for name in (*columns, *flows)}

    def factor(company, end):
        """Shares today per share at a quarter's end."""
        if units == "adjusted":
            return 1.0
        last = bisect.bisect_right(sessions, end) - 1
        for t in range(last, max(last - basics.GAP, 0) - 1, -1):
            for one in found:
                if names.of(one) == company and math.isfinite(one["close"][t]):
                    return one["closeunadj"][t] / one["close"][t]
        return NAN

    def at(company, end):
        """All columns of a quarter in force, or nothing."""
        if end in partial:
            return {}
        own = quarters[company]
        now = dict(zip(columns, own[end], strict=True))
        former = quarter_before(end)
        if former in own and former not in partial:
            value, shares, number_of = own[former]
            f, g = factor(company, end), factor(company, former)
            with np.errstate(all="ignore"):
                value_flow = np.float64(now["inst_value"]) / value - 1
                share_flow = np.float64(now["inst_shares"] * f) / (shares * g) - 1
            now["inst_flow_value_qoq"] = value_flow
            now["inst_flow_shares_qoq"] = np.clip(share_flow, -2, 2)
            now["inst_num_change"] = now["inst_num"] - number_of
            now = {name: x if np.isfinite(x) else NAN for name, x in now.items()}
        return now

    usable_from = {
        end: bisect.bisect_right(sessions, end + HOLDINGS_DELAY * DAY) + 1
        for end in set(holdings["calendardate"])
    }
    for i, one in enumerate(found):
        company, worked_out = names.of(one), {}
        for t in range(one.first, one.last + 1):
            usable = [end for end in quarters.get(company, {}) if usable_from[end] <= t]
            if usable and (sessions[t] - max(usable)).days <= STALE_HOLDINGS:
                end = max(usable)
                if end not in worked_out:
                    worked_out[end] = at(company, end)
                for name, x in worked_out[end].items():
                    out[name][i, t] = x
    flow = winsorised(out["inst_flow_shares_qoq"], members, 0.01, 0.99)
    return out | {"inst_z": z3(flow, members)}


def fundamental(vendor, known, found, members):
    cap = lagged(vendor, found, "marketcap") * 1e6
    ev = lagged(vendor, found, "ev") * 1e6
    k = known
    ratios = {
        "earnings_yield": over(k["netinc"], cap),
        "fcf_yield": over(k["fcf"], cap),
        "book_to_market": over(k["equity"], cap),
        "sales_to_price": over(k["revenue"], cap),
        "ebitda_to_ev": over(k["ebitda"], ev),
        "roe": over(k["netinc"], k["equity"]),
        "roa": over(k["netinc"], k["assets"]),
        "gross_margin": over(k["gp"], k["revenue"]),
        "operating_margin": over(k["ebit"], k["revenue"]),
        "net_margin": over(k["netinc"], k["revenue"]),
        "asset_turnover": over(k["revenue"], k["assets"]),
        "debt_to_equity": over(k["debt"], k["equity"]),
        "accruals": over(k["netinc"] - k["ncfo"], k["assets"]),
        **growths(k),
        "earnings_volatility": k["netinc volatility"],
        "revenue_volatility": k["revenue volatility"],
    }
    return {name: winsorised(x, members, 0.01, 0.99) for name, x in ratios.items()}


def value(known, found, members):
    raw = divide(known["tbvps"], np.array([one["close"] for one in found]))
    return {"value_raw": raw, "value_z": zscores(winsorised(raw, members, 0.01, 0.99), members)}


# The truth of a simulated market


def read_truth(folder):
    """`truth_filings.parquet` with dates as `datetime.date`."""
    frame = pd.read_parquet(folder / "truth_filings.parquet")
    for name in ("datekey", "reportperiod", "calendardate"):
        frame[name] = [pd.Timestamp(day).date() for day in frame[name]]
    return frame


def from_truth(filings, vendor, found):
    """What the reports in force say, from the quarters that the simulation drew and nothing else.

    A flow is the sum of the report's quarter and of the three calendar quarters before it, in the versions
    filed by then; NaN where one of them was not. `<name> before` is the same a year earlier.

    Returns
    -------
    Values and agreement, both name to (listings, sessions). Agreement is True where the value of the
    definitions must be this one, up to the vendor's rounding (half a dollar a figure), including where both
    must be missing:

    - stocks: everywhere. `equity before`: everywhere.
    - flows: where no report is in force, and where all four quarters were filed by then. Elsewhere the
      vendor's ART row knows quarters that were never filed, or not yet, or before the listing.
    - netinc and revenue besides only where none of the three *earlier* quarters was amended by then: an ART
      row is the sum of quarters as first filed, moved by the amendment of its own last quarter alone. (The
      amendments of a simulated market change netinc, revenue and equity; ncfo, gp and fcf stay.)
    - `<flow> before`: by the same rules, and where no report was filed for the quarter a year earlier.

    ebit and ebitda are left out: the vendor's trailing ebit taxes the year's income, not each quarter's.
    """
    sessions, about = calendar(vendor), metadata(vendor)
    flows, amended = ("netinc", "revenue", "gp", "ncfo", "fcf"), ("netinc", "revenue")
    stocks = ("equity", "assets", "debt", "tbvps")
    names = [*stocks, *flows, *(f"{name} before" for name in GROWN)]
    values = {name: np.full((len(found), len(sessions)), np.nan) for name in names}
    agree = {name: np.ones((len(found), len(sessions)), bool) for name in names}
    rows = filings.to_dict("records")

    def year(name, quarter, known):
        """Sum of four quarters, and whether the vendor's ART row must say the same."""
        four = [known.get(quarter - k) for k in range(4)]
        if None in four:
            return NAN, False
        untouched = name not in amended or not any(row["amendment"] for row in four[1:])
        return sum(row[name] for row in four), untouched

    for i, one in enumerate(found):
        own = [row for row in rows if row["ticker"] == one.ticker]
        if one.ticker in about.index:
            present = about.loc[one.ticker]
            former = sessions[one.last] < present["firstpricedate"]
            own = [row for row in own if (row["permaticker"] != present["permaticker"]) == former]
        for t in range(one.first, one.last + 1):
            usable = [row for row in own if row["datekey"] < sessions[t]]
            if not usable:
                continue
            newest = max(usable, key=lambda row: (row["datekey"], row["reportperiod"]))
            if (sessions[t] - newest["datekey"]).days > STALE_REPORT:
                continue
            by_then = [row for row in usable if row["datekey"] <= newest["datekey"]]
            known = {calendar_quarter(row): row for row in sorted(by_then, key=lambda row: row["datekey"])}
            quarter = calendar_quarter(newest)
            for name in stocks:
                values[name][i, t] = newest[name]
            for name in flows:
                values[name][i, t], agree[name][i, t] = year(name, quarter, known)
            ago = known.get(quarter - 4)
            for name in GROWN:
                base = f"{name} before"
                if ago and name == "equity":
                    values[base][i, t] = ago[name]
                elif ago:
                    values[base][i, t], agree[base][i, t] = year(name, quarter - 4, known)
    return values, agree


def calendar_quarter(row):
    return row["calendardate"].year * 4 + (row["calendardate"].month - 1) // 3
