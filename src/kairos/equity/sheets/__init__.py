"""What the reports show: results of this desk as the report room's sheets. Numbers only, no layout."""

from kairos.equity.sheets.signals import signal_sheet
from kairos.equity.sheets.tearsheet import tear_sheet
from kairos.equity.sheets.words import universe_text

__all__ = ["signal_sheet", "tear_sheet", "universe_text"]
