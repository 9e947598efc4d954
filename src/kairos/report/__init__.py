"""One self-contained HTML file per result: numbers and series in, a page out. No formulas here."""

from kairos.report.adr import AdrForecast, AdrGate, AdrMonth, AdrRow, AdrSheet, adr_page
from kairos.report.charts import Estimate
from kairos.report.page import Page
from kairos.report.signals import Information, Signal, SignalSheet, signal_page
from kairos.report.tearsheet import Headline, TearSheet, tearsheet

__all__ = [
    "AdrForecast",
    "AdrGate",
    "AdrMonth",
    "AdrRow",
    "AdrSheet",
    "Estimate",
    "Headline",
    "Information",
    "Page",
    "Signal",
    "SignalSheet",
    "TearSheet",
    "adr_page",
    "signal_page",
    "tearsheet",
]
