"""One small tear sheet and one small signal sheet, with numbers that are easy to recognise."""

import re
from dataclasses import replace
from datetime import date
from html.parser import HTMLParser

import numpy as np
import pytest

from kairos.report import Estimate, Headline, Information, Page, Signal, SignalSheet, TearSheet

VOID = {"meta", "br", "hr", "img", "input", "link"}


class Document(HTMLParser):
    """What a reader sees of a page, what its tags ask for, and whether they are nested."""

    def __init__(self, text):
        super().__init__()
        self.attributes, self.scripts, self.styles, self.words, self.open = [], [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        inside = self.open[-1] if self.open else ""
        {"script": self.scripts, "style": self.styles}.get(inside, self.words).append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", " ".join(self.words))


@pytest.fixture(scope="session")
def parse():
    return lambda page: Document(page.render() if isinstance(page, Page) else page)


@pytest.fixture(scope="session")
def days():
    every = np.arange("2019-01-02", "2021-12-31", dtype="datetime64[D]")
    return every[np.is_busday(every)]


@pytest.fixture(scope="session")
def sheet(days):
    rng = np.random.default_rng(7)
    returns = rng.normal(0.0003, 0.01, len(days))
    wealth = np.cumprod(1 + returns)
    falls = wealth / np.maximum.accumulate(np.maximum(wealth, 1)) - 1
    sharpe = np.where(np.arange(len(days)) < 126, np.nan, rng.normal(0.5, 1.0, len(days)))
    months = np.full((3, 12), 0.0123)
    months[0, 0] = np.nan
    months[2, 11] = -0.0456
    headline = [
        Headline("Annual return", "percent", 0.1234, 0.0987, 0.0247),
        Headline("Sharpe ratio", "ratio", 0.87, 0.66, 0.51),
        Headline("Volatility", "percent", 0.148, 0.1611, 0.0432),
        Headline("Maximum drawdown", "percent", -0.334, -0.351, -0.0891),
        Headline("Turnover a year", "ratio", 8.42),
        Headline("Cost a year", "percent", 0.01134, digits=2),
        Headline("Deflated Sharpe ratio", "percent", None, None, float("nan")),
        Headline("Capital", "money", 10_000_000),
    ]
    return TearSheet(
        strategy="risk1",
        alpha="ret_21d",
        facts=[("Run", "run-0001"), ("Snapshot", "snapshot-0002"), ("Command", "kairos equity backtest")],
        warnings=["The volatility target looks ahead.", "The universe has survivorship."],
        headline=headline,
        samples={"In sample": headline[:2], "Out of sample": headline[2:4]},
        dates=days,
        returns=returns,
        wealth={"Net of costs": wealth, "Benchmark": wealth**0.9, "Before costs": wealth**1.1},
        drawdowns={"Net of costs": falls, "Benchmark": falls / 2},
        rolling_window=126,
        rolling_sharpe={"Portfolio": sharpe},
        rolling_volatility={"Portfolio": np.abs(sharpe) / 5},
        years=np.arange("2019", "2022", dtype="datetime64[Y]"),
        months=months,
        year_returns=[0.1111, -0.2222, 0.3333],
        year_benchmark=[0.0444, np.nan, 0.0666],
        year_active=[0.0667, np.nan, 0.2667],
        rebalance_dates=days[::5],
        turnover=np.full(len(days[::5]), 0.4),
        cost=np.full(len(days[::5]), 0.00075),
        n_positions=np.full(len(days), 75),
        gross=np.full(len(days), 1.2),
        net=np.full(len(days), 1.1),
        assumptions=[("Universe", "point in time"), ("Lag", "filled at the close of t + 1")],
        out_of_sample_from=date(2021, 1, 4),
    )


def information(label, mean):
    return Information(
        label=label, mean=mean, std=0.1034, icir=0.3011, positive=0.5432, t=4.321, p=0.00002,
        low=mean - 0.01, high=mean + 0.01, n=754,
    )  # fmt: skip


@pytest.fixture(scope="session")
def signal(days):
    rng = np.random.default_rng(8)
    coefficients = rng.normal(0.03, 0.1, len(days))
    months = np.unique(days.astype("datetime64[M]"))
    quantiles = [f"Q{number}" for number in range(1, 6)]
    return Signal(
        name="momentum",
        information=[information("All members", 0.0312), information("Neutral to sector", 0.0213)],
        months=months,
        monthly=rng.normal(0.03, 0.02, len(months)),
        dates=days,
        cumulative=coefficients.cumsum(),
        decay=[Estimate(str(h), 0.03 / h, 0.01 / h, 0.05 / h, 2.5, 754) for h in (1, 2, 5, 10, 21)],
        groupings={
            "Year": [Estimate("2019", 0.0411, 0.02, 0.06, 3.5, 250), Estimate("2020", -0.0122)],
            "Sector": [Estimate("Energy", 0.0255, 0.01, 0.04, 3.1, 754)],
        },
        quantiles=[Estimate(name, 0.02 * k, 0.0, 0.05 * k, 1.5, 750) for k, name in enumerate(quantiles)],
        quantile_dates=days,
        quantile_wealth={name: np.linspace(1, 1 + k / 10, len(days)) for k, name in enumerate(quantiles)},
        spread_wealth=np.linspace(1, 1.4, len(days)),
        spread=Estimate("Q5 − Q1", 0.0777, 0.0111, 0.1443, 2.28, 750),
        monotonicity=0.95,
        rising=0.75,
        rank_autocorrelation=[Estimate("1", 0.9876), Estimate("5", 0.8765)],
        turnover=[Estimate("Q1", 0.3456), Estimate("Q5", 0.4567)],
        fama_macbeth=Estimate("Slope", 0.00123, 0.00023, 0.00223, 2.41, 754),
    )  # fmt: skip


@pytest.fixture(scope="session")
def signal_sheet(signal):
    noise = replace(signal, name="noise", information=[information("All members", -0.0004)])
    return SignalSheet(
        horizon=5,
        lag=1,
        facts=[("Run", "run-0003")],
        warnings=["Weights were chosen on this period."],
        signals=[signal, noise],
        correlation=np.array([[1.0, -0.37], [-0.37, 1.0]]),
        adjusted={"Holm": [0.0412, 0.9], "Romano–Wolf": [0.0398, np.nan]},
        assumptions=[("Members", "point in time")],
        out_of_sample_from=np.datetime64("2021-01-04"),
    )


@pytest.fixture(scope="session")
def hostile():
    """Text that tries to leave the place it is put in."""
    return "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&<!--{{ 7 * 7 }}"
