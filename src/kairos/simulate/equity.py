"""A simulated equity market on disk: the vendor's seven tables and the truth behind them."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from kairos.errors import InputError
from kairos.simulate.filings import file_reports
from kairos.simulate.prices import market
from kairos.simulate.truth import CHARACTERISTICS_FILE, FILINGS_FILE, describe
from kairos.simulate.vendor_files import (
    FORMATS,
    Format,
    characteristics_table,
    filings_table,
    vendor_tables,
    write_parquet,
    write_table,
)

if TYPE_CHECKING:
    from kairos.simulate.prices import Market


def simulate(
    out: Path,
    *,
    tickers: int = 500,
    years: int = 5,
    seed: int = 0,
    start: str = "2015-01-02",
    format: Format = "csv",  # noqa: A002 - the word of the command line
) -> Path:
    """Write a simulated market in the vendor's file layout, with its truth beside it.

    Files: SHARADAR_SEP, TICKERS, DAILY, SF1, SF2, SF3, ACTIONS; `truth.json` (premia, true information
    coefficients, exposures, events); `truth_characteristics.parquet` (ticker, permaticker, date, one column a
    characteristic, known after the close of the date); `truth_filings.parquet` (a row for each filed version
    of a report: ticker, permaticker, datekey, reportperiod, calendardate, amendment, late, fiscal_year_end,
    and the accounts of the quarter as drawn, not rounded).

    Parameters
    ----------
    out
        Folder to write, new or empty. It appears complete or not at all.
    tickers, years, seed, start
        See `kairos.simulate.market`.
    format
        csv, zip (one CSV inside, as the vendor's bulk export) or parquet.

    Returns
    -------
    The folder.

    Raises
    ------
    InputError
        The folder has content, or an argument is out of range.
    """
    out = Path(out)
    if format not in FORMATS:
        raise InputError(f"format {format!r} is unknown: choose one of {', '.join(FORMATS)}.")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} exists and is not an empty folder: choose a new one.")
    simulated = market(tickers, years, seed, start)
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.parent / f".{out.name}.partial-{os.getpid()}"
    partial.mkdir()
    try:
        _write(partial, simulated, format)
        partial.replace(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return out


def _write(folder: Path, simulated: Market, form: Format) -> None:
    """Write all files into an existing folder."""
    filings = file_reports(simulated)
    for name, table in vendor_tables(simulated, filings):
        write_table(folder, name, table, form)
    write_parquet(folder / CHARACTERISTICS_FILE, characteristics_table(simulated))
    write_parquet(folder / FILINGS_FILE, filings_table(simulated, filings))
    truth = json.dumps(describe(simulated, filings), indent=1, ensure_ascii=False)
    (folder / "truth.json").write_text(truth + "\n", encoding="utf-8")
