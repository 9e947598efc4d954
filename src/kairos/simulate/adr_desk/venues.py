"""Where the simulated ordinaries trade: exchanges, auctions, index futures, currencies."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Venue:
    """An exchange of ordinaries.

    Attributes
    ----------
    exchange
        Market code.
    suffix
        Bloomberg's code of the exchange, as in "BP/ LN Equity".
    currency
        Currency of its prices; GBp is pence.
    country
        As the list of ADRs writes it.
    future
        Bloomberg symbol of the index future, "Z " with its trailing space.
    hedge
        US fund of the market.
    """

    exchange: str
    suffix: str
    currency: str
    country: str
    future: str
    hedge: str

    @property
    def iso(self) -> str:
        """ISO code of the currency: GBP for pence."""
        return "GBP" if self.currency == "GBp" else self.currency

    @property
    def unit(self) -> float:
        """What a quoted 1 is worth in the ISO currency: 0.01 for pence."""
        return 0.01 if self.currency == "GBp" else 1.0


# The first four have one in another currency than its index, which closes more than an hour later (Oslo).
VENUES = (
    Venue("XLON", "LN", "GBp", "BRITAIN", "Z ", "EWU"),
    Venue("XPAR", "FP", "EUR", "FRANCE", "VG", "FEZ"),
    Venue("XOSL", "NO", "NOK", "NORWAY", "SXO", "FEZ"),
    Venue("XETR", "GR", "EUR", "GERMANY", "VG", "FEZ"),
    Venue("XSWX", "SW", "CHF", "SWITZERLAND", "SXO", "FEZ"),
    Venue("XAMS", "NA", "EUR", "NETHERLANDS", "VG", "FEZ"),
    Venue("XMIL", "IM", "EUR", "ITALY", "VG", "FEZ"),
    Venue("XCSE", "DC", "DKK", "DENMARK", "SXO", "FEZ"),
    Venue("XMAD", "SM", "EUR", "SPAIN", "VG", "FEZ"),
    Venue("XHEL", "FH", "EUR", "FINLAND", "VG", "FEZ"),
    Venue("XSTO", "SS", "SEK", "SWEDEN", "SXO", "FEZ"),
)

# No overlap with New York's hours: the desk skips them.
ABROAD = (
    Venue("XTKS", "JP", "JPY", "JAPAN", "NH", "EWJ"),
    Venue("XASX", "AU", "AUD", "AUSTRALIA", "Z ", "EWA"),
    Venue("XHKG", "HK", "HKD", "HONG KONG", "MES", "EEM"),
)

AUCTION_MINUTES = {
    **dict.fromkeys(("XLON", "XAMS", "XPAR", "XETR", "XMIL", "XBRU", "XMAD"), 6),
    **dict.fromkeys(("XHEL", "XDUB", "XSTO", "XCSE"), 0),
    "XOSL": 5,
    "XSWX": 1,
    "XTKS": 1,
    "XASX": 11,
    "XHKG": 10,
}
"""Minutes from the calendar's close of an exchange to the price of its closing auction."""


@dataclass(frozen=True)
class Contract:
    """An index and its future.

    Attributes
    ----------
    future
        Bloomberg symbol.
    symbol
        Symbol of the minute bars.
    index, currency
        The index and its currency.
    multiplier
        Currency units for one index point.
    level
        The index on the first day.
    world, europe
        Percent a day of the index for one deviation of the world's and of Europe's factor; the rest up to
        1 percent a day is its own.
    """

    future: str
    symbol: str
    index: str
    currency: str
    multiplier: float
    level: float
    world: float
    europe: float


CONTRACTS = {
    contract.future: contract
    for contract in (
        Contract("Z ", "FTUK", "UKX", "GBP", 10.0, 7700.0, 0.60, 0.55),
        Contract("VG", "FESX", "SX5E", "EUR", 10.0, 4500.0, 0.75, 0.55),
        Contract("SXO", "FXXP", "SXXP", "EUR", 50.0, 478.0, 0.70, 0.60),
    )
}

OTHER_FUTURES = (  # exchange's symbol, Bloomberg's, of the bars, index, currency
    ("FCE", "CF", "FCE", "CAC", "EUR"),
    ("FDAX", "GX", "FDAX", "DAX", "EUR"),
    ("FTI", "EO", "FTI", "AEX", "EUR"),
    ("NIY", "NH", "NIY", "NKY", "JPY"),
    ("MME", "MES", "MME", "MXEF", "USD"),
)
"""Futures that are mapped, without an ordinary in scope."""


@dataclass(frozen=True)
class Currency:
    """A currency against the dollar.

    Attributes
    ----------
    level
        USD for one unit on the first day.
    euro
        Its sensitivity to the euro.
    own
        Percent a day of its own.
    """

    level: float
    euro: float
    own: float


CURRENCIES = {
    "EUR": Currency(1.10, 0.0, 0.45),  # the euro's own is the euro
    "GBP": Currency(1.27, 0.7, 0.35),
    "CHF": Currency(1.17, 0.9, 0.30),
    "DKK": Currency(0.148, 1.0, 0.02),  # pegged
    "NOK": Currency(0.098, 1.0, 0.45),
    "SEK": Currency(0.099, 1.0, 0.35),
}
