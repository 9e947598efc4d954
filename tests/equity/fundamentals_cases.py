"""Small cases of the fundamental tables, with values worked out by hand.

Sessions are all weekdays from 2020-01-01 to 2021-04-06; a case is one ticker. `CASES` can share a market.
Each of `ALONE` needs its own, because its column is cut at quantiles of the members of the date (with one
member nothing is cut) or depends on everybody's holdings. `vendor_files` writes either as the vendor's files.
"""

import csv
import datetime as dt
from dataclasses import dataclass, field

import numpy as np
from tables_market import Market

SESSIONS = 330
FIGURES = (
    *("revenue", "gp", "netinc", "ebit", "ebitda", "ncfo", "capex", "fcf"),
    *("equity", "assets", "debt", "tbvps"),
)


@dataclass(frozen=True)
class Case:
    """What was filed about one ticker, and what a column must say on some sessions (None: NULL).

    `reports`, `forms` and `holdings` are rows of SF1, SF2 and SF3. `close` is split-adjusted, one number or
    steps: (day, value) from the day on. `daily` has columns of DAILY as steps; without it marketcap is 1000.
    `splits` are (day, new shares per old). Between the two days of `pause`, the first included, there are no
    prices; the second is the first day of the ticker's present company.
    """

    ticker: str
    column: str
    reports: list
    expected: dict
    forms: list = field(default_factory=list)
    holdings: list = field(default_factory=list)
    close: float | tuple = 40.0
    daily: dict = field(default_factory=dict)
    splits: tuple = ()
    pause: tuple = ()

    @property
    def table(self):
        return self.column.split(".")[0]

    @property
    def name(self):
        return self.column.split(".")[1]

    @property
    def values(self):
        """Session date to value."""
        return {day(text): value for text, value in self.expected.items()}


def day(text):
    return dt.date.fromisoformat(text)


def quarter(filed, period, **figures):
    """An ARQ row."""
    return {"dimension": "ARQ", "datekey": day(filed), "reportperiod": day(period), **figures}


def year(filed, period, **figures):
    """An ART row."""
    return {"dimension": "ART", "datekey": day(filed), "reportperiod": day(period), **figures}


def form(filed, code, value="", shares="", price=""):
    """A row of SF2."""
    return {
        "filingdate": day(filed),
        "transactioncode": code,
        "transactionvalue": value,
        "transactionshares": shares,
        "transactionpricepershare": price,
    }


def holding(end, investor, value, units, kind="SHR"):
    """A row of SF3."""
    return {
        "calendardate": day(end),
        "investorname": investor,
        "securitytype": kind,
        "value": value,
        "units": units,
    }


def held_by(end, count):
    """Holdings of 10 units, 100 USD, of so many investors."""
    return [holding(end, f"INVESTOR {i}", 100, 10) for i in range(count)]


ROE, ROA = "feat_quality_v2.computed_roe", "feat_quality_v2.computed_roa"
GROSS = "feat_gross_profit.gross_profitability"
REVENUE, EARNINGS = "feat_growth_v2.revenue_growth_yoy", "feat_growth_v2.earnings_growth_yoy"
CASH, BOOK = "feat_growth_v2.fcf_growth_yoy", "feat_growth_v2.book_value_growth_yoy"
TANGIBLE = "feat_value.value_raw"

HOLE = [
    quarter("2019-05-09", "2019-03-31", gp=10, assets=300),
    quarter("2019-08-08", "2019-06-30", gp=10, assets=300),
    # the quarter to 2019-09-30 was never filed
    quarter("2020-02-13", "2019-12-31", gp=10, assets=300),
    quarter("2020-05-07", "2020-03-31", gp=10, assets=300),
    quarter("2020-08-06", "2020-06-30", gp=10, assets=300),
    quarter("2020-11-05", "2020-09-30", gp=10, assets=400),
]
NEGATIVE = [
    quarter("2019-02-14", "2018-12-31", equity=-50, assets=150),
    quarter("2020-02-13", "2019-12-31", equity=-20, assets=200, tbvps=-1.5),
    year("2020-02-13", "2019-12-31", netinc=10),
]
FORMS = [
    form("2019-12-31", "P", 5000),  # before the first session: left out
    form("2020-01-01", "P", 70),
    form("2020-03-06", "P", 1000),  # a Friday
    form("2020-03-06", "M", 9999),  # an exercise
    form("2020-03-14", "S", "", -50, 10),  # a Saturday; no value, so 50 * 10
    form("2020-03-14", "S"),  # nothing but the form
]
SPLIT_HELD = [
    *(holding("2019-12-31", name, 4000, 100) for name in "AB"),
    *(holding("2020-03-31", name, 5000, 100) for name in "AB"),
    holding("2020-03-31", "A", 7777, 777, kind="PUT"),
    holding("2020-06-30", "A", 6000, 300),
    holding("2020-06-30", "B", 5200, 260),
]
FEWER_HELD = [
    *held_by("2020-03-31", 10),
    *held_by("2020-06-30", 7),
    *held_by("2020-09-30", 4),
    *held_by("2020-12-31", 4),
]


def two_years(before, now, **stocks):
    """Years to 2018-12-31 and 2019-12-31, filed on 2019-02-14 and 2020-02-13."""
    return [
        quarter("2019-02-14", "2018-12-31", **stocks),
        year("2019-02-14", "2018-12-31", **before),
        quarter("2020-02-13", "2019-12-31", **stocks),
        year("2020-02-13", "2019-12-31", **now),
    ]


CASES = [
    # Filed on a Saturday: usable on Monday. 36/150 = 0.24, 40/200 = 0.2.
    Case(
        "WEEKEND",
        ROE,
        [
            quarter("2019-11-08", "2019-09-30", equity=150),
            year("2019-11-08", "2019-09-30", netinc=36),
            quarter("2020-02-15", "2019-12-31", equity=200),
            year("2020-02-15", "2019-12-31", netinc=40),
        ],
        {"2020-02-14": 0.24, "2020-02-17": 0.2},
    ),
    # Filed on Wednesday, session t: t - 1 and t still have the old report. 30/100 = 0.3, 44/110 = 0.4.
    Case(
        "NEXTDAY",
        GROSS,
        [
            quarter("2019-11-06", "2019-09-30", assets=100),
            year("2019-11-06", "2019-09-30", gp=30),
            quarter("2020-02-19", "2019-12-31", assets=110),
            year("2020-02-19", "2019-12-31", gp=44),
        ],
        {"2020-02-18": 0.3, "2020-02-19": 0.3, "2020-02-20": 0.4},
    ),
    # Two periods on one day: the later period counts, whatever the order of the rows. 120/500 = 0.24.
    Case(
        "SAMEDAY",
        GROSS,
        [
            quarter("2020-03-10", "2019-12-31", assets=500),
            year("2020-03-10", "2019-12-31", gp=120),
            quarter("2020-03-10", "2019-09-30", assets=400),
            year("2020-03-10", "2019-09-30", gp=80),
        ],
        {"2020-03-10": None, "2020-03-11": 0.24},
    ),
    # The same without years: the sum has the quarter that came on the same day.
    # (10 + 20 + 30 + 40)/400 = 0.25; before there were two quarters only.
    Case(
        "SAMESUM",
        GROSS,
        [
            quarter("2019-05-09", "2019-03-31", gp=10, assets=400),
            quarter("2019-08-08", "2019-06-30", gp=20, assets=400),
            quarter("2020-03-10", "2019-12-31", gp=40, assets=400),
            quarter("2020-03-10", "2019-09-30", gp=30, assets=400),
        ],
        {"2020-03-10": None, "2020-03-11": 0.25},
    ),
    # An amendment of the same period. 40/500 = 0.08, 25/500 = 0.05.
    Case(
        "AMENDED",
        ROA,
        [
            quarter("2020-02-20", "2019-12-31", assets=500),
            year("2020-02-20", "2019-12-31", netinc=40),
            quarter("2020-04-14", "2019-12-31", assets=500),
            year("2020-04-14", "2019-12-31", netinc=25),
        ],
        {"2020-02-20": None, "2020-02-21": 0.08, "2020-04-14": 0.08, "2020-04-15": 0.05},
    ),
    # An amendment of an older period is in force from the session after its filing until the next filing.
    # 40/500 = 0.08, 54/600 = 0.09, amended 25/500 = 0.05, 70/700 = 0.1.
    Case(
        "OLDER",
        ROA,
        [
            quarter("2020-02-20", "2019-12-31", assets=500),
            year("2020-02-20", "2019-12-31", netinc=40),
            quarter("2020-05-07", "2020-03-31", assets=600),
            year("2020-05-07", "2020-03-31", netinc=54),
            quarter("2020-06-16", "2019-12-31", assets=500),
            year("2020-06-16", "2019-12-31", netinc=25),
            quarter("2020-08-06", "2020-06-30", assets=700),
            year("2020-08-06", "2020-06-30", netinc=70),
        ],
        {
            "2020-05-07": 0.08,
            "2020-05-08": 0.09,
            "2020-06-16": 0.09,
            "2020-06-17": 0.05,
            "2020-08-06": 0.05,
            "2020-08-07": 0.1,
        },
    ),
    # The same without years, 2019-09-30 amended from 10 to 2 after the year had been filed.
    # 10 + 10 + 10 + 10 = 40; then the year to September, 5 + 10 + 10 + 2 = 27; then the year to March with
    # the amended September, 10 + 2 + 10 + 10 = 32; all over 400.
    Case(
        "OLDERSUM",
        GROSS,
        [
            quarter("2019-02-14", "2018-12-31", gp=5, assets=400),
            quarter("2019-05-09", "2019-03-31", gp=10, assets=400),
            quarter("2019-08-08", "2019-06-30", gp=10, assets=400),
            quarter("2019-11-07", "2019-09-30", gp=10, assets=400),
            quarter("2020-02-13", "2019-12-31", gp=10, assets=400),
            quarter("2020-04-14", "2019-09-30", gp=2, assets=400),
            quarter("2020-05-07", "2020-03-31", gp=10, assets=400),
        ],
        {
            "2020-02-13": 0.0875,  # the year to September as first filed: 5 + 10 + 10 + 10 = 35
            "2020-02-14": 0.1,
            "2020-04-14": 0.1,
            "2020-04-15": 0.0675,
            "2020-05-07": 0.0675,
            "2020-05-08": 0.08,
        },
    ),
    # A quarter is missing: no sum of four until four neighbours are there again, 40/400 = 0.1 ...
    Case(
        "HOLE",
        GROSS,
        HOLE,
        {
            "2020-02-14": None,
            "2020-05-08": None,
            "2020-08-07": None,
            "2020-11-05": None,
            "2020-11-06": 0.1,
        },
    ),
    # ... but ART knows the year. 42/300 = 0.14.
    Case(
        "HOLEYEAR",
        GROSS,
        [*HOLE, year("2020-02-13", "2019-12-31", gp=42)],
        {"2020-02-13": None, "2020-02-14": 0.14, "2020-05-07": 0.14, "2020-05-08": None},
    ),
    # A quarter was filed without the figure.
    Case(
        "NOFIGURE",
        GROSS,
        [
            quarter("2019-05-09", "2019-03-31", gp=10, assets=400),
            quarter("2019-08-08", "2019-06-30", gp=10, assets=400),
            quarter("2019-11-07", "2019-09-30", assets=400),
            quarter("2020-02-13", "2019-12-31", gp=10, assets=400),
        ],
        {"2020-02-14": None},
    ),
    # An ART row without the figure: the sum of four stands in. (10 + 20 + 30 + 40)/400 = 0.25.
    Case(
        "EMPTYART",
        GROSS,
        [
            quarter("2019-05-09", "2019-03-31", gp=10, assets=400),
            quarter("2019-08-08", "2019-06-30", gp=20, assets=400),
            quarter("2019-11-07", "2019-09-30", gp=30, assets=400),
            quarter("2020-02-13", "2019-12-31", gp=40, assets=400),
            year("2020-02-13", "2019-12-31", netinc=7),
        ],
        {"2020-02-13": None, "2020-02-14": 0.25},
    ),
    # No ART at all. 1 + 2 + 3 + 4 = 10, then 2 + 3 + 4 + 6 = 15, over 100.
    Case(
        "ARQONLY",
        ROA,
        [
            quarter("2019-05-09", "2019-03-31", netinc=1, assets=100),
            quarter("2019-08-08", "2019-06-30", netinc=2, assets=100),
            quarter("2019-11-07", "2019-09-30", netinc=3, assets=100),
            quarter("2020-02-13", "2019-12-31", netinc=4, assets=100),
            quarter("2020-05-07", "2020-03-31", netinc=6, assets=100),
        ],
        {"2020-02-13": None, "2020-02-14": 0.1, "2020-05-07": 0.1, "2020-05-08": 0.15},
    ),
    # Negative equity: no return on it, but one on assets, 10/200; a growth from -50 to -20, 30/50; -1.5/40.
    Case("NEGROE", ROE, NEGATIVE, {"2020-02-14": None}),
    Case("NEGROA", ROA, NEGATIVE, {"2020-02-14": 0.05}),
    Case("NEGBOOK", BOOK, NEGATIVE, {"2020-02-13": None, "2020-02-14": 0.6}),
    Case("NEGVALUE", TANGIBLE, NEGATIVE, {"2020-02-13": None, "2020-02-14": -0.0375}),
    # The fiscal year moves by two months: after 2019-09-30 comes 2019-11-30, 61 days later. Sums that span
    # this gap are NULL; four neighbours that begin with the short quarter count: 7 + 10 + 10 + 10 = 37.
    # Before: 40/200 = 0.2, after: 37/200 = 0.185.
    Case(
        "FISCAL",
        GROSS,
        [
            quarter("2019-02-14", "2018-12-31", gp=10, assets=200),
            quarter("2019-05-08", "2019-03-31", gp=10, assets=200),
            quarter("2019-08-07", "2019-06-30", gp=10, assets=200),
            quarter("2019-11-06", "2019-09-30", gp=10, assets=200),
            quarter("2020-01-15", "2019-11-30", gp=7, assets=200),
            quarter("2020-04-08", "2020-02-29", gp=10, assets=200),
            quarter("2020-07-08", "2020-05-31", gp=10, assets=200),
            quarter("2020-10-07", "2020-08-31", gp=10, assets=200),
        ],
        {
            "2020-01-15": 0.2,
            "2020-01-16": None,
            "2020-04-09": None,
            "2020-07-09": None,
            "2020-10-07": None,
            "2020-10-08": 0.185,
        },
    ),
    # Of 2020-05-31 no period is a year before (2019-06-30 is 336 days away); of 2020-11-30 it is 2019-11-30,
    # 366 days away: 120/100 - 1 = 0.2.
    Case(
        "FISCALYR",
        REVENUE,
        [
            quarter("2019-08-07", "2019-06-30"),
            year("2019-08-07", "2019-06-30", revenue=90),
            quarter("2020-01-15", "2019-11-30"),
            year("2020-01-15", "2019-11-30", revenue=100),
            quarter("2020-07-08", "2020-05-31"),
            year("2020-07-08", "2020-05-31", revenue=110),
            quarter("2021-01-13", "2020-11-30"),
            year("2021-01-13", "2020-11-30", revenue=120),
        ],
        {"2020-07-09": None, "2021-01-13": None, "2021-01-14": 0.2},
    ),
    # Quarters of 13 weeks, the last one of 14: 98 days to its neighbour, 371 to the year before, both are
    # allowed. 2019: 4 * 10 = 40; 2020: 11 + 11 + 11 + 13 = 46; 46/40 - 1 = 0.15.
    Case(
        "WEEKS",
        REVENUE,
        [
            quarter("2019-05-02", "2019-03-30", revenue=10),
            quarter("2019-08-01", "2019-06-29", revenue=10),
            quarter("2019-10-31", "2019-09-28", revenue=10),
            quarter("2020-02-06", "2019-12-28", revenue=10),
            quarter("2020-04-30", "2020-03-28", revenue=11),
            quarter("2020-07-30", "2020-06-27", revenue=11),
            quarter("2020-10-29", "2020-09-26", revenue=11),
            quarter("2021-02-04", "2021-01-02", revenue=13),
        ],
        {"2020-10-30": None, "2021-02-04": None, "2021-02-05": 0.15},
    ),
    # 2020-02-12 and 400 days are 2021-03-18: still in force, no longer on the next day. 50/200 = 0.25.
    Case(
        "STALE",
        GROSS,
        [quarter("2020-02-12", "2019-12-31", assets=200), year("2020-02-12", "2019-12-31", gp=50)],
        {"2020-02-12": None, "2020-02-13": 0.25, "2021-03-18": 0.25, "2021-03-19": None},
    ),
    # Growth from nothing is not a number, growth from a loss is measured against its size:
    # (10 + 20)/20 = 1.5, (-30 + 20)/20 = -0.5.
    Case("BASENIL", EARNINGS, two_years({"netinc": 0}, {"netinc": 10}), {"2020-02-14": None}),
    Case(
        "BASELOSS",
        EARNINGS,
        two_years({"netinc": -20}, {"netinc": 10}),
        {"2020-02-13": None, "2020-02-14": 1.5},
    ),
    Case("BASEMORE", EARNINGS, two_years({"netinc": -20}, {"netinc": -30}), {"2020-02-14": -0.5}),
    # Free cash flow is the column where it has a value (16), else ncfo + capex = 30 - 10: 20/16 - 1 = 0.25.
    Case(
        "FREECASH",
        CASH,
        two_years({"fcf": 16, "ncfo": 99, "capex": -1}, {"ncfo": 30, "capex": -10}),
        {"2020-02-14": 0.25},
    ),
    # Two shares for one on 2020-04-01: 40 before and 20 after as traded, 20 throughout on today's basis; the
    # vendor delivers the 10 of the old report as 5. 5/20 on both sides, then 6/20.
    Case(
        "SPLIT",
        TANGIBLE,
        [
            quarter("2019-11-06", "2019-09-30", tbvps=5),
            quarter("2020-05-06", "2020-03-31", tbvps=6),
        ],
        {"2020-03-31": 0.25, "2020-04-01": 0.25, "2020-05-06": 0.25, "2020-05-07": 0.3},
        close=20.0,
        splits=(("2020-04-01", 2.0),),
    ),
    # Two companies under one ticker. The former one's last report, filed after its delisting and before the
    # new company's first price, is nobody's; the new one starts without any. 20/100, then 30/100.
    Case(
        "REUSED",
        GROSS,
        [
            quarter("2020-02-13", "2019-12-31", assets=100),
            year("2020-02-13", "2019-12-31", gp=20),
            quarter("2020-07-15", "2020-03-31", assets=100),
            year("2020-07-15", "2020-03-31", gp=90),
            quarter("2020-09-10", "2020-06-30", assets=100),
            year("2020-09-10", "2020-06-30", gp=30),
        ],
        {"2020-05-29": 0.2, "2020-08-03": None, "2020-09-10": None, "2020-09-11": 0.3},
        pause=("2020-06-01", "2020-08-03"),
    ),
    # A form counts from the session after its filing, 30 sessions long: 70 from 2020-01-02 to 2020-02-12,
    # 1000 from Monday 2020-03-09 to 2020-04-17, -500 from Monday 2020-03-16 to 2020-04-24.
    Case(
        "NETFORMS",
        "feat_insider.net_buy_value_30d",
        [],
        {
            "2020-01-01": 0,
            "2020-01-02": 70,
            "2020-02-12": 70,
            "2020-02-13": 0,
            "2020-03-06": 0,
            "2020-03-09": 1000,
            "2020-03-13": 1000,
            "2020-03-16": 500,
            "2020-04-17": 500,
            "2020-04-20": -500,
            "2020-04-24": -500,
            "2020-04-27": 0,
        },
        forms=FORMS,
    ),
    Case(
        "NUMFORMS",
        "feat_insider.sell_count_30d",
        [],
        {"2020-03-13": 0, "2020-03-16": 2, "2020-04-24": 2, "2020-04-27": 0},
        forms=FORMS,
    ),
    Case(
        "SIGFORMS",
        "feat_insider.net_buy_signal",
        [],
        {"2020-03-06": 0, "2020-03-09": 1, "2020-04-20": -1, "2020-04-27": 0},
        forms=FORMS,
    ),
    # Filed on the Friday before the new company's first Monday: a form of the former company.
    Case(
        "TWOFORMS",
        "feat_insider.buy_value_30d",
        [],
        {"2020-05-28": 0, "2020-05-29": 30, "2020-08-03": 0, "2020-08-04": 0, "2020-08-05": 60},
        forms=[form("2020-05-28", "P", 30), form("2020-07-31", "P", 40), form("2020-08-04", "P", 60)],
        pause=("2020-06-01", "2020-08-03"),
    ),
    # 1/20 and 1/25, a pe of 100 is outside; each one session later. Where the vendor has none, that of
    # Friday 2020-05-29 serves until the session after the tenth without one, Monday 2020-06-15.
    Case(
        "CHEAP",
        "feat_value_v2.earnings_yield",
        [],
        {
            "2020-01-01": None,
            "2020-01-02": 0.05,
            "2020-04-01": 0.05,
            "2020-04-02": None,
            "2020-05-01": None,
            "2020-05-04": 0.04,
            "2020-06-15": 0.04,
            "2020-06-16": None,
        },
        daily={
            "marketcap": (("2020-01-01", 1000.0),),
            "pe": (("2020-01-01", 20.0), ("2020-04-01", 100.0), ("2020-05-01", 25.0), ("2020-06-01", "")),
        },
    ),
    # 40, and 50 from 2020-03-02 on: 50/40 - 1 until 21 sessions later the base is 50 too ...
    Case(
        "MONTH",
        "feat_momentum_v2.mom_1m",
        [],
        {"2020-01-29": None, "2020-01-30": 0, "2020-03-02": 0.25, "2020-03-30": 0.25, "2020-03-31": 0},
        close=(("2020-01-01", 40.0), ("2020-03-02", 50.0)),
    ),
    # ... and from a year before to a month before, until 252 sessions later.
    Case(
        "YEAR",
        "feat_momentum_v2.mom_12_1",
        [],
        {"2020-12-17": None, "2020-12-18": 0.25, "2021-02-16": 0.25, "2021-02-17": 0},
        close=(("2020-01-01", 40.0), ("2020-03-02", 50.0)),
    ),
]

ALONE = [
    # Deviations -15, -5, 5, 15: variance 500/3, its root 12.9099445, over mean assets 250.
    Case(
        "SPREAD",
        "feat_fundamental.earnings_volatility",
        [
            quarter("2019-05-09", "2019-03-31", netinc=10, assets=100),
            quarter("2019-08-08", "2019-06-30", netinc=20, assets=200),
            quarter("2019-11-07", "2019-09-30", netinc=30, assets=300),
            quarter("2020-03-12", "2019-12-31", netinc=40, assets=400),
        ],
        {"2020-03-12": None, "2020-03-13": 0.051639778},
    ),
    # 50 M over an enterprise value of 500 M, then 1000 M, known one session later; nothing without a value.
    Case(
        "VALUED",
        "feat_fundamental.ebitda_to_ev",
        [
            quarter("2020-02-13", "2019-12-31", assets=1),
            year("2020-02-13", "2019-12-31", ebitda=50_000_000),
        ],
        {"2020-03-31": 0.1, "2020-04-01": 0.1, "2020-04-02": 0.05, "2020-06-01": 0.05, "2020-06-02": None},
        daily={"ev": (("2020-01-01", 500.0), ("2020-04-01", 1000.0), ("2020-06-01", -10.0))},
    ),
    # 400 M over 1000 M, then 2000 M.
    Case(
        "MARKET",
        "feat_fundamental.book_to_market",
        [quarter("2020-02-13", "2019-12-31", equity=400_000_000)],
        {"2020-04-01": 0.4, "2020-04-02": 0.2},
        daily={"marketcap": (("2020-01-01", 1000.0), ("2020-04-01", 2000.0))},
    ),
    Case(
        "INDEBTED",
        "feat_fundamental.debt_to_equity",
        [
            quarter("2020-02-13", "2019-12-31", debt=30, equity=120),
            quarter("2020-05-07", "2020-03-31", debt=30, equity=-10),
        ],
        {"2020-05-07": 0.25, "2020-05-08": None},
    ),
    # Two shares for one on 2020-05-01. 45 days after the quarters' ends are the Fridays 2020-02-14, 05-15
    # and 08-14, the second sessions after them Tuesdays. In December there was no price to adjust by; in
    # March 200 units were 400 of today's, in June 560: 560/400 - 1 = 0.4. 200 days after June are 2021-01-16.
    Case(
        "UNITFLOW",
        "feat_institutional_academic.inst_flow_shares_qoq",
        [],
        {
            "2020-02-18": None,
            "2020-05-19": None,
            "2020-08-17": None,
            "2020-08-18": 0.4,
            "2021-01-15": 0.4,
            "2021-01-18": None,
        },
        holdings=SPLIT_HELD,
        close=20.0,
        splits=(("2020-05-01", 2.0),),
    ),
    # 10000/8000 - 1 = 0.25, 11200/10000 - 1 = 0.12.
    Case(
        "CASHFLOW",
        "feat_institutional_academic.inst_flow_value_qoq",
        [],
        {"2020-05-18": None, "2020-05-19": 0.25, "2020-08-17": 0.25, "2020-08-18": 0.12},
        holdings=SPLIT_HELD,
    ),
    Case(
        "UNITS",
        "feat_institutional_academic.inst_shares",
        [],
        {"2020-02-17": None, "2020-02-18": 200, "2020-08-17": 200, "2020-08-18": 560, "2021-01-18": None},
        holdings=SPLIT_HELD,
    ),
    # From 100 to 500 is cut at +2.
    Case(
        "CUTFLOW",
        "feat_institutional_academic.inst_flow_shares_qoq",
        [],
        {"2020-08-18": 2},
        holdings=[holding("2020-03-31", "A", 1, 100), holding("2020-06-30", "A", 1, 500)],
    ),
    # The calendar quarter before is not there.
    Case(
        "NOBEFORE",
        "feat_institutional_academic.inst_flow_value_qoq",
        [],
        {"2020-08-18": None, "2020-11-17": None},
        holdings=[holding("2020-03-31", "A", 1, 100), holding("2020-09-30", "A", 1, 500)],
    ),
    # 7 of 10 investors are a full quarter, 4 of 7 a partial one; 4 of 4 are full again, but without a change.
    Case(
        "INVESTOR",
        "feat_institutional_academic.inst_num",
        [],
        {"2020-05-19": 10, "2020-08-18": 7, "2020-11-16": 7, "2020-11-17": None, "2021-02-16": 4},
        holdings=FEWER_HELD,
    ),
    Case(
        "CHANGED",
        "feat_institutional_academic.inst_num_change",
        [],
        {"2020-05-19": None, "2020-08-18": -3, "2020-11-17": None, "2021-02-16": None},
        holdings=FEWER_HELD,
    ),
]


def vendor_files(folder, cases):
    """Write a market of cases as the vendor's CSV files; a table without rows is absent."""
    market = Market(folder, SESSIONS)
    days = market.days
    columns = sorted({name for case in cases for name in case.daily} | {"marketcap"})
    daily = []
    for case in cases:
        steps = case.close if isinstance(case.close, tuple) else (("2020-01-01", case.close),)
        close = np.array([last_step(steps, date) for date in days])
        about = {}
        if case.pause:
            lo, hi = (days.index(day(text)) for text in case.pause)
            close[lo:hi] = np.nan
            about["firstpricedate"] = days[hi]
            market.act(case.ticker, lo - 1, "delisted", "acquisitionby")
        splits = tuple((days.index(day(text)), ratio) for text, ratio in case.splits)
        market.add(case.ticker, close, split=splits, **about)
        told = {"marketcap": (("2020-01-01", 1000.0),), **case.daily}
        daily += [
            [case.ticker, date, *(last_step(told.get(name, ()), date) for name in columns)]
            for date, price in zip(days, close, strict=True)
            if np.isfinite(price)
        ]
    market.write()
    write_csv(folder, "DAILY", ["ticker", "date", *columns], daily)
    reports = [{"ticker": case.ticker, **row} for case in cases for row in case.reports]
    reports = [{**r, "calendardate": r["reportperiod"], "lastupdated": r["datekey"]} for r in reports]
    forms = [
        {
            "ticker": case.ticker,
            "ownername": "OWNER",
            "rownum": i + 1,
            "transactiondate": r["filingdate"],
            **r,
        }
        for case in cases
        for i, r in enumerate(case.forms)
    ]
    holdings = [{"ticker": case.ticker, **row} for case in cases for row in case.holdings]
    for name, rows in (("SF1", reports), ("SF2", forms), ("SF3", holdings)):
        header = list(dict.fromkeys(key for row in rows for key in row))
        header += [figure for figure in FIGURES if name == "SF1" and figure not in header]
        if rows:
            write_csv(folder, name, header, [[row.get(key, "") for key in header] for row in rows])
    return folder


def last_step(steps, date):
    return next((value for text, value in reversed(steps) if day(text) <= date), "")


def write_csv(folder, name, header, rows):
    with (folder / f"SHARADAR_{name}.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
