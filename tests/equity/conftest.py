"""A simulated market built once, and tiny markets written by hand as the vendor's files."""

import numpy as np
import pytest
from tables_market import Market, built, walk, without

from kairos.simulate.equity import simulate


@pytest.fixture(scope="session")
def simulated(tmp_path_factory):
    """Sixty tickers over two years, with halts, splits, delistings and a ticker that is used again."""
    folder = tmp_path_factory.mktemp("simulated") / "vendor"
    simulate(folder, tickers=60, years=2, seed=3)
    return built(folder)


@pytest.fixture(scope="session")
def three_years(tmp_path_factory):
    """Sixty tickers over three years: long enough for what needs a year of its own past."""
    folder = tmp_path_factory.mktemp("three_years") / "vendor"
    simulate(folder, tickers=60, years=3, seed=5)
    return built(folder)


@pytest.fixture(scope="session")
def by_hand(tmp_path_factory):
    """One ticker for each case of section 1: gaps, ends, takeovers, splits, missing figures."""
    market = Market(tmp_path_factory.mktemp("by_hand") / "vendor", 130)
    T = len(market.days)
    for i in range(6):
        market.add(f"ALIVE{i}", walk(market, i))
    for k in (9, 10, 11):
        market.add(f"GAP{k:02}", without(walk(market, k), (70, 70 + k)))
    market.add("HALTS", without(walk(market, 20), (61, 62), (70, 75), (90, 93), (100, 109)))
    reasons = (
        "acquisitionby",
        "mergerfrom",
        "bankruptcyliquidation",
        "regulatorydelisting",
        "voluntarydelisting",
    )
    for i, reason in enumerate(reasons):
        market.add(f"END{i}", without(walk(market, 30 + i), (81, T)), isdelisted="Y")
        market.act(f"END{i}", 80, "delisted", reason)
    market.add("ENDBARE", without(walk(market, 40), (81, T)))
    market.act("ENDBARE", 80, "delisted")
    market.add("ENDQUIET", without(walk(market, 41), (81, T)))
    market.add("PAUSED", without(walk(market, 42), (125, T)))
    market.add("ENDLATE", without(walk(market, 43), (125, T)))
    market.act("ENDLATE", 124, "delisted", "bankruptcyliquidation")
    market.add("SURVIVOR", walk(market, 44))
    market.act("SURVIVOR", 80, "mergerto", "acquisitionof")
    market.act("SURVIVOR", T - 1, "mergerto")
    market.add("IPO", without(walk(market, 45), (0, 50)))
    market.add("CONST", 40.0)
    market.add("NOTRADE", walk(market, 46), volume=np.where(np.arange(T) % 7 == 3, 0.0, 150_000.0))
    market.add("SILENT", walk(market, 47), volume=0.0)
    market.add("SPLIT", walk(market, 48, level=3.0), split=((75, 2.0),), marketcap=np.linspace(500, 900, T))
    market.add("REVERSE", walk(market, 49, level=6.0), split=((90, 0.25),))
    market.add(
        "NOCAP",
        walk(market, 50),
        marketcap=np.where((np.arange(T) > 70) & (np.arange(T) < 90), np.nan, 800.0),
    )
    market.add("SMALL", walk(market, 51), marketcap=np.linspace(250, 350, T))
    market.add("PENNY", walk(market, 52, level=2.0))
    market.add("ETF", walk(market, 53), category="ETF", exchange="NYSEARCA")
    market.add("AMEX", walk(market, 54), exchange="NYSEMKT", category="Domestic Common Stock Secondary Class")
    market.add("REUSED", without(walk(market, 55), (51, 75)), firstpricedate=market.days[75])
    market.act("REUSED", 50, "delisted", "acquisitionby")
    both = walk(market, 56)
    both[61:] *= 3
    market.add("NEXTDAY", np.round(both, 2), firstpricedate=market.days[61])
    market.act("NEXTDAY", 60, "delisted", "regulatorydelisting")
    market.add("YOUNG", walk(market, 57))
    market.act("YOUNG", T - 4, "delisted", "bankruptcyliquidation")
    market.add("FLAT", walk(market, 60), flat=range(50, 130, 3))
    market.add("BLANK", walk(market, 61), blank=(*range(45, 130, 9), 100, 101))
    market.add("WORTHLESS", walk(market, 62), marketcap=np.where(np.arange(T) % 50 == 49, 0.0, 900.0))
    market.add("RARE", np.where(np.arange(T) % 4 == 0, walk(market, 58), np.nan))
    return market.build()


@pytest.fixture
def tiny(tmp_path):
    """Make a market of n sessions in the test's own folder."""
    return lambda sessions: Market(tmp_path / "vendor", sessions)
