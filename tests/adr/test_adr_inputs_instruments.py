"""The map of instruments: joins, scope, and what is refused."""

import os
import shutil
from pathlib import Path

import pytest
from adr_inputs_desk import FILES, make_desk, write

from kairos.adr.desk import (
    ADR_INFO,
    CLOSE_OFFSETS,
    FUTURES_SYMBOLS,
    INDEX_CLOSES,
    ORDINARY_CLOSES,
    US_SECTORS,
)
from kairos.adr.instruments import Instrument, Skipped, read_instruments, read_us_sectors
from kairos.errors import InputError

REAL = Path(os.environ.get("KAIROS_REAL_DATA", Path(__file__).parents[2].parent / "shared" / "data"))


def test_joins_units_and_scope(tmp_path):
    found = read_instruments(make_desk(tmp_path))
    assert list(found.by_adr) == ["BP", "NVO", "SAP"]
    assert found.by_adr["BP"] == Instrument(
        adr="BP",
        ordinary="BP/ LN Equity",
        name="BP PLC",
        exchange="XLON",
        currency="GBP",
        unit=0.01,
        sh_per_adr=6.0,
        future="Z",
        symbol="FTUK",
        index="UKX",
        index_currency="GBP",
        hedge="EWU",
        close_offset=360,
        close_offset_early=None,
    )
    novo = found.by_adr["NVO"]
    assert (novo.currency, novo.unit, novo.index, novo.index_currency) == ("DKK", 1.0, "SXXP", "EUR")
    assert novo.close_offset == 0
    assert found.skipped == (
        Skipped("SONY", "6758 JP Equity", "XTKS", "exchange XTKS is not in scope (adr.exchanges)"),
        Skipped("", "UNA NA Equity", "XAMS", f"no ADR is given for the ordinary ({ADR_INFO}, row 6)"),
    )
    assert list(found.exchanges) == ["XCSE", "XETR", "XLON"]


def test_offsets_of_half_days_are_optional(tmp_path):
    write(
        tmp_path, CLOSE_OFFSETS, "exchange_mic,offset,offset_early\nXLON,6min,90s\nXETR,1h,\nXCSE,0min,NaN\n"
    )
    found = read_instruments(make_desk(tmp_path)).by_adr
    assert (found["BP"].close_offset, found["BP"].close_offset_early) == (360, 90)
    assert (found["SAP"].close_offset, found["SAP"].close_offset_early) == (3600, None)
    assert found["NVO"].close_offset_early is None


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        (ADR_INFO, "XLON", "XFOO", "row 2: exchange is 'XFOO'; expected a market code"),
        (ADR_INFO, "XTKS", "", "row 5: exchange is ''"),
        (
            ADR_INFO,
            "SAP US Equity",
            "BP US Equity",
            "row 3: adr is 'BP US Equity'; BP US Equity stands in row 2",
        ),
        (ADR_INFO, "SAP GR Equity", "BP/ LN Equity", "row 3: id is 'BP/ LN Equity'"),
        (ADR_INFO, "SAP US Equity", "SAP GR Equity", "row 3: adr is 'SAP GR Equity'; expected a US line"),
        (ADR_INFO, "VG,FEZ\nNOVOB", ",FEZ\nNOVOB", "row 3: index_future_bbg is ''; SAP US Equity needs it"),
        (
            ADR_INFO,
            "VG,FEZ\nNOVOB",
            "GX,FEZ\nNOVOB",
            "index_future_bbg is 'GX'; data/raw/futures_symbols.csv has no",
        ),
        (ADR_INFO, "GBp", "pence", "row 2: currency is 'pence'"),
        (ADR_INFO, "6.0", "six", "row 2: sh_per_adr is 'six'; expected a number above 0"),
        (ADR_INFO, "sh_per_adr", "shares", "no column sh_per_adr"),
        (FUTURES_SYMBOLS, "Z,Z ,FTUK", "Z,Y,FTUK", "row 2: index_future_bbg is 'Z'"),
        (FUTURES_SYMBOLS, "UKX", "", "no index for the future of BP US Equity"),
        (FUTURES_SYMBOLS, "FESX,VG", "FESX,Z", "futures_symbols.csv has more than one row"),
        (
            CLOSE_OFFSETS,
            "XETR,6min\n",
            "",
            "row 3: exchange is 'XETR'; data/raw/close_time_offsets.csv has no row",
        ),
        (CLOSE_OFFSETS, "6min", "6 minutes", "row 2: offset is '6 minutes'; expected a length of time"),
        (CLOSE_OFFSETS, "XCSE,0min", "XCSE,-5min", "row 4: offset is '-5min'"),
        (ORDINARY_CLOSES, "NOVOB DC", "NOVO DC", "no column NOVOB DC Equity (NVO)"),
        (INDEX_CLOSES, "SXXP", "SXXE", "no column SXXP (NVO)"),
    ],
)
def test_what_the_scope_needs_must_be_right(tmp_path, name, old, new, said):
    text = FILES[name].replace(old, new, 1)
    assert text != FILES[name]
    path = write(tmp_path, name, text)
    with pytest.raises(InputError) as caught:
        read_instruments(make_desk(tmp_path))
    assert said in str(caught.value)
    assert path.name in str(caught.value) or "futures" in said


@pytest.mark.parametrize("name", [ADR_INFO, FUTURES_SYMBOLS, CLOSE_OFFSETS, ORDINARY_CLOSES, INDEX_CLOSES])
def test_a_missing_file_is_named(tmp_path, name):
    desk = make_desk(tmp_path)
    desk.path(name).unlink()
    with pytest.raises(InputError, match=rf"{Path(name).name}: the file is missing; it holds"):
        read_instruments(desk)


@pytest.mark.parametrize(
    ("old", "new"),
    [("SONY US Equity", "BP US Equity"), ("JPY,SONY", "yen,SONY"), ("XTKS,1.0", "XTKS,many"), ("NH", "??")],
)
def test_defects_outside_the_scope_disturb_nothing(tmp_path, old, new):
    assert old in FILES[ADR_INFO]
    write(tmp_path, ADR_INFO, FILES[ADR_INFO].replace(old, new))
    assert list(read_instruments(make_desk(tmp_path)).by_adr) == ["BP", "NVO", "SAP"]


def test_the_scope_is_a_setting(tmp_path):
    found = read_instruments(make_desk(tmp_path, 'adr.exchanges=["XLON"]'))
    assert list(found.by_adr) == ["BP"]
    assert [one.adr for one in found.skipped] == ["SAP", "NVO", "SONY", ""]
    with pytest.raises(InputError, match=r"adr.exchanges: 'London' is not a known market code"):
        read_instruments(make_desk(tmp_path, 'adr.exchanges=["London"]'))
    with pytest.raises(InputError, match="no ADR of the exchanges XSWX"):
        read_instruments(make_desk(tmp_path, 'adr.exchanges=["XSWX"]'))


def test_us_sectors_are_optional(tmp_path):
    desk = make_desk(tmp_path)
    assert read_us_sectors(desk) == {}
    write(
        tmp_path, US_SECTORS, "ticker,sector,issuer\nAAPL US Equity,Technology,Apple\nGOOG,Media,Alphabet\n"
    )
    found = read_us_sectors(desk)
    assert (found["AAPL"].sector, found["GOOG"].issuer) == ("Technology", "Alphabet")
    write(tmp_path, US_SECTORS, "ticker,sector\nAAPL,Technology\nAAPL US Equity,Media\n")
    with pytest.raises(InputError, match="row 3: ticker is 'AAPL US Equity'; expected each US ticker once"):
        read_us_sectors(desk)


@pytest.mark.realdata
@pytest.mark.skipif(not REAL.is_dir(), reason="the real metadata are not here")
def test_the_real_map(tmp_path):
    for name in (ADR_INFO, FUTURES_SYMBOLS, CLOSE_OFFSETS):
        write(tmp_path, name, "")
        shutil.copyfile(REAL / "adr_metadata" / Path(name).name, tmp_path / name)
    rows = [line.split(",") for line in (tmp_path / ADR_INFO).read_text().splitlines()[1:]]
    ordinaries = ",".join(row[0] for row in rows)
    write(tmp_path, ORDINARY_CLOSES, f"date,{ordinaries}\n")
    write(tmp_path, INDEX_CLOSES, "date,UKX,SX5E,SXXP\n")
    desk = make_desk(tmp_path)
    found = read_instruments(desk)
    assert (len(found.instruments), len(found.skipped)) == (47, 29)
    assert {one.exchange for one in found.skipped} == {"XTKS", "XASX", "XHKG"}
    assert {one.index for one in found.instruments} == {"UKX", "SX5E", "SXXP"}
    assert {one.adr for one in found.instruments if one.index == "SXXP"} == {
        "EQNR", "ERIC", "GMAB", "NVO", "NVS", "UBS",
    }  # fmt: skip
    offsets = {one.exchange: one.close_offset for one in found.instruments}
    assert (offsets["XLON"], offsets["XOSL"], offsets["XSWX"], offsets["XCSE"]) == (360, 300, 60, 0)
    assert {one.currency for one in found.instruments if one.unit == 0.01} == {"GBP"}
