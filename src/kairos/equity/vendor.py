"""The vendor's tables as declarations: columns, keys, rules of plausibility.

Loading, its error messages and the documentation of the raw tables all follow from these declarations.
The conditions of rules are SQL over one row; they may use every column but the ``Need.EXTRA`` ones, which are
there only when the vendor delivers them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

ROUNDING = 1e-6
"""Relative slack of rules that order prices: adjusted prices are off in their last digit."""


class Kind(StrEnum):
    """What a column holds; the value is the type in which it is stored."""

    TEXT = "VARCHAR"
    DATE = "DATE"
    FLOAT = "DOUBLE"
    INT = "BIGINT"
    BOOL = "BOOLEAN"


class Need(Enum):
    """How much a column is needed."""

    FILLED = "the file must have the column, every row a value"
    REQUIRED = "the file must have the column, values may be empty"
    USED = "may be absent; the stored table has the column in any case"
    EXTRA = "stored when delivered"


@dataclass(frozen=True)
class Column:
    """One column of a vendor table.

    Attributes
    ----------
    name, kind, doc
        The vendor's name in lower case, what it holds, and one line for the reader.
    need
        Whether a file may lack it.
    past
        A date that can't lie after the day of loading.
    default
        What is stored in place of an empty text.
    recode
        Values stored under another name.
    """

    name: str
    kind: Kind
    doc: str
    need: Need = Need.EXTRA
    past: bool = False
    default: str | None = None
    recode: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True)
class Rule:
    """A condition under which a row can't be right; ``column`` is the one that the message names."""

    column: str
    broken: str
    reason: str


@dataclass(frozen=True)
class Notice:
    """A condition that is counted and reported, while its rows are loaded."""

    doubtful: str
    text: str


@dataclass(frozen=True, kw_only=True)
class VendorTable:
    """One vendor table.

    Attributes
    ----------
    name
        Name in the store; the vendor's files are called ``SHARADAR_<NAME>…``.
    doc
        One line for the reader.
    key
        Natural key: at most one stored row each; also the order of the rows.
    columns
        All columns that are known, in the order in which they are stored.
    dated
        The date column by whose periods the stored parts are cut; a change in a row counts from it on.
    begins
        Without it: the date column from which on a change in a row counts.
    since
        The column by which the vendor's service is asked for what is new since a date; None for a table so
        small that it is always asked for whole.
    late
        Days that a row may appear after the date in that column.
    rules, notices
        What makes a row wrong, and what is only counted.
    """

    name: str
    doc: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    dated: str | None = None
    begins: str | None = None
    since: str | None = None
    late: int = 0
    rules: tuple[Rule, ...] = ()
    notices: tuple[Notice, ...] = ()

    def column(self, name: str) -> Column | None:
        """Give the declaration of a column, if it is a known one."""
        return next((column for column in self.columns if column.name == name), None)


def _positive(name: str) -> Rule:
    return Rule(name, f'"{name}" <= 0', "not above zero")


def _not_negative(name: str) -> Rule:
    return Rule(name, f'"{name}" < 0', "below zero")


def _text(name: str, doc: str, need: Need = Need.EXTRA) -> Column:
    return Column(name, Kind.TEXT, doc, need)


def _date(name: str, doc: str, need: Need = Need.EXTRA, *, past: bool = True) -> Column:
    return Column(name, Kind.DATE, doc, need, past=past)


def _number(name: str, doc: str, need: Need = Need.EXTRA) -> Column:
    return Column(name, Kind.FLOAT, doc, need)


def _yes_no(name: str, doc: str, need: Need = Need.EXTRA) -> Column:
    return Column(name, Kind.BOOL, doc, need)


_TICKER = _text("ticker", "Symbol; one that is used again belongs to the present company", Need.FILLED)


def _updated(need: Need) -> Column:
    return _date("lastupdated", "Day on which the vendor last changed the row; the latest wins", need)


SEP = VendorTable(
    name="sep",
    doc="Daily prices of equities",
    key=("ticker", "date"),
    dated="date",
    since="lastupdated",
    columns=(
        _TICKER,
        _date("date", "Session", Need.FILLED),
        _number("open", "Opening price, adjusted for splits, USD; may be empty", Need.REQUIRED),
        _number("high", "Highest price, adjusted for splits, USD; may be empty", Need.REQUIRED),
        _number("low", "Lowest price, adjusted for splits, USD; may be empty", Need.REQUIRED),
        _number("close", "Closing price, adjusted for splits, USD", Need.FILLED),
        _number("volume", "Shares traded, adjusted for splits; zero on a day without a trade", Need.REQUIRED),
        _number("closeadj", "Closing price, adjusted for splits, dividends and spin-offs, USD", Need.FILLED),
        _number("closeunadj", "Closing price as traded, USD", Need.USED),
        _updated(Need.REQUIRED),
    ),
    rules=(
        *(_positive(name) for name in ("open", "high", "low", "close", "closeadj", "closeunadj")),
        _not_negative("volume"),
        Rule("high", f'"high" < "low" * (1 - {ROUNDING})', "high is below low"),
    ),
    notices=(
        Notice(
            f'"close" > "high" * (1 + {ROUNDING}) OR "close" < "low" * (1 - {ROUNDING})',
            "close is outside low and high",
        ),
        Notice('"open" IS NULL OR "high" IS NULL OR "low" IS NULL', "open, high or low is empty"),
    ),
)

TICKERS = VendorTable(
    name="tickers",
    doc="Securities, one row per vendor table in which they appear; every attribute is today's",
    key=("table", "ticker"),
    begins="firstpricedate",
    columns=(
        _text("table", "Vendor table that the row describes, e.g. SEP or SF1", Need.FILLED),
        _text("permaticker", "The vendor's permanent number of the issuer", Need.USED),
        _TICKER,
        _text("name", "Name of the issuer", Need.USED),
        Column(
            "exchange",
            Kind.TEXT,
            "Listing exchange; NYSEMKT is stored as AMEX",
            Need.REQUIRED,
            recode=MappingProxyType({"NYSEMKT": "AMEX"}),
        ),
        _yes_no("isdelisted", "Whether the security is delisted; Y/N, true/false or 1/0", Need.REQUIRED),
        _text("category", "Kind of security, e.g. Domestic Common Stock Primary Class", Need.REQUIRED),
        _text("cusips", "CUSIP numbers, separated by blanks"),
        _text("siccode", "SIC code of the industry"),
        _text("sicsector", "SIC division"),
        _text("sicindustry", "SIC industry"),
        _text("famasector", "Sector by Fama and French"),
        _text("famaindustry", "Industry by Fama and French"),
        Column("sector", Kind.TEXT, "Sector; empty is stored as Unknown", Need.USED, default="Unknown"),
        _text("industry", "Industry", Need.USED),
        _text("scalemarketcap", "Class of the largest market value seen, 1 - Nano to 6 - Mega", Need.USED),
        _text("scalerevenue", "Size class of the largest yearly revenue seen"),
        _text("relatedtickers", "Symbols of the same issuer, separated by blanks"),
        _text("currency", "Currency of the company's reports or of the prices"),
        _text("location", "Seat of the company"),
        _updated(Need.USED),
        _date("firstadded", "Day on which the vendor added the security"),
        _date("firstpricedate", "First session with a price", Need.USED),
        _date("lastpricedate", "Last session with a price", Need.USED),
        _date("firstquarter", "First fiscal quarter that the vendor has", past=False),
        _date("lastquarter", "Last fiscal quarter that the vendor has", past=False),
        _text("secfilings", "Address of the filings at the SEC"),
        _text("companysite", "Address of the company"),
    ),
    notices=(Notice('"firstpricedate" > "lastpricedate"', "firstpricedate is after lastpricedate"),),
)

DAILY = VendorTable(
    name="daily",
    doc="Daily valuation ratios on the reports known at the time",
    key=("ticker", "date"),
    dated="date",
    since="lastupdated",
    columns=(
        _TICKER,
        _date("date", "Session of the price in the ratio", Need.FILLED),
        _updated(Need.USED),
        _number("marketcap", "Market value of the equity, USD millions", Need.REQUIRED),
        _number("ev", "Enterprise value, USD millions", Need.USED),
        _number("pe", "Market value over net income of common stock", Need.USED),
        _number("pb", "Market value over book equity", Need.USED),
        _number("ps", "Market value over revenue", Need.USED),
        _number("evebit", "Enterprise value over EBIT", Need.USED),
        _number("evebitda", "Enterprise value over EBITDA", Need.USED),
    ),
    rules=(_not_negative("marketcap"),),
)

SF1 = VendorTable(
    name="sf1",
    doc="Company reports; AR dimensions as first reported, MR dimensions restated",
    key=("ticker", "dimension", "datekey", "reportperiod"),
    dated="datekey",
    since="lastupdated",
    columns=(
        _TICKER,
        _text("dimension", "AR as reported, MR restated; Y year, T trailing year, Q quarter", Need.FILLED),
        _date("calendardate", "Calendar quarter or year to which the period belongs", Need.USED, past=False),
        _date("datekey", "Filing date of AR rows, end of the period of MR rows", Need.FILLED),
        _date("reportperiod", "End of the fiscal period", Need.FILLED),
        _updated(Need.REQUIRED),
        _number("revenue", "Revenue of the period", Need.REQUIRED),
        _number("cor", "Cost of the revenue"),
        _number("sgna", "Selling, general and administrative expense"),
        _number("rnd", "Research and development expense"),
        _number("opex", "Operating expenses without the cost of revenue"),
        _number("intexp", "Interest expense"),
        _number("taxexp", "Income tax expense"),
        _number("netincdis", "Net income of discontinued operations"),
        _number("consolinc", "Consolidated net income"),
        _number("netincnci", "Net income of minority interests"),
        _number("netinc", "Net income of the parent", Need.REQUIRED),
        _number("prefdivis", "Preferred dividends in the income statement"),
        _number("netinccmn", "Net income of common stock"),
        _number("eps", "Earnings per basic share"),
        _number("epsdil", "Earnings per diluted share"),
        _number("shareswa", "Weighted average shares, basic"),
        _number("shareswadil", "Weighted average shares, diluted"),
        _number("capex", "Capital expenditure, negative when money is spent", Need.USED),
        _number("ncfbus", "Cash flow of acquisitions and disposals of businesses"),
        _number("ncfinv", "Cash flow of acquisitions and disposals of investments"),
        _number("ncff", "Cash flow of financing"),
        _number("ncfdebt", "Cash flow of issuing and repaying debt"),
        _number("ncfcommon", "Cash flow of issuing and buying back shares"),
        _number("ncfdiv", "Cash flow of dividends"),
        _number("ncfi", "Cash flow of investing"),
        _number("ncfo", "Cash flow of operations", Need.USED),
        _number("ncfx", "Effect of exchange rates on cash"),
        _number("ncf", "Change of cash over the period"),
        _number("sbcomp", "Share-based compensation"),
        _number("depamor", "Depreciation, amortisation and accretion"),
        _number("assets", "Total assets", Need.REQUIRED),
        _number("cashneq", "Cash and equivalents"),
        _number("investments", "Investments"),
        _number("investmentsc", "Current investments"),
        _number("investmentsnc", "Non-current investments"),
        _number("deferredrev", "Deferred revenue"),
        _number("deposits", "Deposits of customers"),
        _number("ppnenet", "Property, plant and equipment, net"),
        _number("inventory", "Inventory"),
        _number("taxassets", "Tax assets"),
        _number("receivables", "Receivables"),
        _number("payables", "Payables"),
        _number("intangibles", "Goodwill and intangible assets"),
        _number("liabilities", "Total liabilities"),
        _number("equity", "Equity of the parent's shareholders", Need.REQUIRED),
        _number("retearn", "Retained earnings"),
        _number("accoci", "Accumulated other comprehensive income"),
        _number("assetsc", "Current assets"),
        _number("assetsnc", "Non-current assets"),
        _number("liabilitiesc", "Current liabilities"),
        _number("liabilitiesnc", "Non-current liabilities"),
        _number("taxliabilities", "Tax liabilities"),
        _number("debt", "Total debt", Need.USED),
        _number("debtc", "Current debt"),
        _number("debtnc", "Non-current debt"),
        _number("ebt", "Earnings before tax"),
        _number("ebit", "Earnings before interest and tax", Need.USED),
        _number("ebitda", "Earnings before interest, tax, depreciation and amortisation", Need.USED),
        _number("fxusd", "Exchange rate of the reporting currency to USD"),
        _number("equityusd", "Equity, USD"),
        _number("epsusd", "Earnings per basic share, USD"),
        _number("revenueusd", "Revenue, USD"),
        _number("netinccmnusd", "Net income of common stock, USD"),
        _number("cashnequsd", "Cash and equivalents, USD"),
        _number("debtusd", "Total debt, USD"),
        _number("ebitusd", "EBIT, USD"),
        _number("ebitdausd", "EBITDA, USD"),
        _number("sharesbas", "Shares outstanding on the cover of the report"),
        _number("dps", "Dividends per share"),
        _number("sharefactor", "Shares per traded unit"),
        _number("marketcap", "Market value at the datekey, USD", Need.USED),
        _number("ev", "Enterprise value at the datekey, USD", Need.USED),
        _number("invcap", "Invested capital"),
        _number("equityavg", "Average equity over the year"),
        _number("assetsavg", "Average assets over the year"),
        _number("invcapavg", "Average invested capital over the year"),
        _number("tangibles", "Assets without intangibles"),
        _number("roe", "Return on average equity", Need.USED),
        _number("roa", "Return on average assets", Need.USED),
        _number("fcf", "Free cash flow", Need.USED),
        _number("roic", "Return on average invested capital"),
        _number("gp", "Gross profit", Need.USED),
        _number("opinc", "Operating income"),
        _number("grossmargin", "Gross profit over revenue", Need.USED),
        _number("netmargin", "Net income over revenue", Need.USED),
        _number("ebitdamargin", "EBITDA over revenue"),
        _number("ros", "EBIT over revenue"),
        _number("assetturnover", "Revenue over average assets"),
        _number("payoutratio", "Dividends over earnings per share"),
        _number("evebitda", "Enterprise value over EBITDA"),
        _number("evebit", "Enterprise value over EBIT"),
        _number("pe", "Market value over net income of common stock", Need.USED),
        _number("pe1", "Price over earnings per share"),
        _number("sps", "Revenue per share"),
        _number("ps1", "Price over revenue per share"),
        _number("ps", "Market value over revenue", Need.USED),
        _number("pb", "Market value over equity", Need.USED),
        _number("de", "Liabilities over equity", Need.USED),
        _number("divyield", "Dividends of the year over the price"),
        _number("currentratio", "Current assets over current liabilities", Need.USED),
        _number("workingcapital", "Current assets less current liabilities"),
        _number("fcfps", "Free cash flow per share"),
        _number("bvps", "Equity per share"),
        _number("tbvps", "Tangible assets per share", Need.USED),
        _number("price", "Closing price at the datekey, adjusted for splits"),
    ),
    notices=(
        Notice('"dimension" LIKE \'AR%\' AND "datekey" <= "reportperiod"', "filed before its period ends"),
    ),
)

SF2 = VendorTable(
    name="sf2",
    doc="Transactions of insiders (forms 3, 4 and 5)",
    key=("ticker", "filingdate", "ownername", "rownum"),
    dated="filingdate",
    since="filingdate",
    late=14,
    columns=(
        _TICKER,
        _date("filingdate", "Day on which the form was filed", Need.FILLED),
        _text("formtype", "Form, with RESTATED in front when a later one replaces it"),
        _text("issuername", "Name of the issuer"),
        _text("ownername", "Name of the owner", Need.FILLED),
        _text("officertitle", "Title of an officer"),
        _yes_no("isdirector", "Whether the owner is a director"),
        _yes_no("isofficer", "Whether the owner is an officer"),
        _yes_no("istenpercentowner", "Whether the owner holds a tenth of the class"),
        _date("transactiondate", "Day of the transaction, as filed", Need.REQUIRED, past=False),
        _text("securityadcode", "Derivative or not, acquired or disposed"),
        _text("transactioncode", "P open-market purchase, S sale, others by the form", Need.REQUIRED),
        _number("sharesownedbeforetransaction", "Shares owned before"),
        _number("transactionshares", "Shares of the transaction", Need.REQUIRED),
        _number("sharesownedfollowingtransaction", "Shares owned afterwards"),
        _number("transactionpricepershare", "Price per share, USD; zero for grants", Need.REQUIRED),
        _number("transactionvalue", "Value of the transaction, USD", Need.REQUIRED),
        _text("securitytitle", "Class of the security"),
        _text("directorindirect", "D held directly, I indirectly"),
        _text("natureofownership", "Vehicle of an indirect holding"),
        _date("dateexercisable", "Day from which an option can be exercised", past=False),
        _number("priceexercisable", "Exercise price of an option, USD"),
        _date("expirationdate", "Day on which an option expires", past=False),
        Column("rownum", Kind.INT, "Number of the row among those of an owner and filing date", Need.FILLED),
    ),
    rules=(_not_negative("transactionpricepershare"),),
    notices=(Notice('"transactiondate" > "filingdate"', "transactiondate is after filingdate"),),
)

SF3 = VendorTable(
    name="sf3",
    doc="Holdings of institutions per quarter (form 13F)",
    key=("ticker", "investorname", "securitytype", "calendardate"),
    dated="calendardate",
    since="calendardate",
    late=100,  # a quarter, and the last of those who file late
    columns=(
        _TICKER,
        _text("investorname", "Name of the institution", Need.FILLED),
        _text("securitytype", "SHR shares; PUT, CLL, DBT and others are not shares", Need.FILLED),
        _date("calendardate", "End of the quarter", Need.FILLED),
        _number("value", "Value of the holding, USD", Need.REQUIRED),
        _number("units", "Units held", Need.REQUIRED),
        _number("price", "Value per unit, USD"),
    ),
    rules=(_not_negative("value"), _not_negative("units")),
)

ACTIONS = VendorTable(
    name="actions",
    doc="Corporate actions: listings, delistings and their reasons, splits, dividends, changes of symbol",
    key=("ticker", "date", "action", "contraticker"),
    dated="date",
    since="date",
    late=31,
    columns=(
        _date("date", "Day of the action", Need.FILLED),
        _text("action", "Word of the vendor, e.g. split, dividend, delisted, acquisitionby", Need.FILLED),
        _TICKER,
        _text("name", "Name of the issuer", Need.USED),
        _number("value", "Ratio of a split, amount of a dividend, …", Need.REQUIRED),
        Column(
            "contraticker",
            Kind.TEXT,
            "Symbol of the other party, or an empty text",
            Need.USED,
            default="",
        ),
        _text("contraname", "Name of the other party", Need.USED),
    ),
    rules=(Rule("value", '"action" = \'split\' AND "value" <= 0', "a split ratio not above zero"),),
)

METRICS = VendorTable(
    name="metrics",
    doc="The vendor's price statistics of the last session",
    key=("ticker", "date"),
    dated="date",
    columns=(
        _TICKER,
        _date("date", "Session", Need.FILLED),
        _updated(Need.USED),
        _number("price", "Closing price, USD"),
        _number("beta1y", "Beta of one year"),
        _number("beta5y", "Beta of five years"),
        _number("dividendyieldforward", "Announced dividends over price"),
        _number("dividendyieldtrailing", "Dividends of a year over price"),
        _number("high52w", "Highest price of 52 weeks, USD"),
        _number("low52w", "Lowest price of 52 weeks, USD"),
        _number("high5y", "Highest price of five years, USD"),
        _number("low5y", "Lowest price of five years, USD"),
        _number("ma50d", "Mean price of 50 days, USD"),
        _number("ma200d", "Mean price of 200 days, USD"),
        _number("ma50w", "Mean price of 50 weeks, USD"),
        _number("ma200w", "Mean price of 200 weeks, USD"),
        _number("return1y", "Return of one year"),
        _number("return5y", "Return of five years"),
        _number("returnytd", "Return of the calendar year so far"),
        _number("volume", "Shares traded"),
        _number("volumeavg1m", "Mean volume of one month"),
        _number("volumeavg3m", "Mean volume of three months"),
    ),
)

SP500 = VendorTable(
    name="sp500",
    doc="Additions to and removals from the S&P 500",
    key=("ticker", "date", "action"),
    dated="date",
    since="date",
    late=31,
    columns=(
        _date("date", "Day of the action", Need.FILLED),
        _text("action", "current, historical, added or removed", Need.FILLED),
        _TICKER,
        _text("name", "Name of the issuer", Need.USED),
        _text("contraticker", "Symbol on the other side of the change", Need.USED),
        _text("contraname", "Name on the other side of the change", Need.USED),
        _text("note", "Remark of the vendor", Need.USED),
    ),
)

TABLES: tuple[VendorTable, ...] = (SEP, TICKERS, DAILY, SF1, SF2, SF3, ACTIONS, METRICS, SP500)
"""Every vendor table, in the order in which they are loaded."""


def table(name: str) -> VendorTable:
    """Give the declaration of a vendor table by its name in the store.

    Raises
    ------
    KeyError
        When there is no such table.

    Examples
    --------
    >>> table("sep").key
    ('ticker', 'date')
    """
    return {declared.name: declared for declared in TABLES}[name]
