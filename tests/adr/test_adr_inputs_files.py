"""Wide files and records: what is read, and how each defect is named."""

import numpy as np
import pandas as pd
import pytest

from kairos.adr.files import read_betas, read_names, read_prices, read_records, write_prices
from kairos.errors import InputError


@pytest.fixture
def read(tmp_path):
    """Write a file and read it back."""

    def go(text, names=None, reader=read_prices, encoding="utf-8"):
        path = tmp_path / "prices.csv"
        path.write_bytes(text.encode(encoding))
        return reader(path, names, what="closes")

    return go


def test_values_as_pandas_reads_them(read):
    text = "date,A,B\n2024-01-02,1.1,3e2\n2024-01-03,0.1,7\n2024-01-05,123456.789012345,1e-7\n"
    prices = read(text)
    frame = pd.read_csv(prices.path, index_col=0, parse_dates=True)
    assert prices.names == ("A", "B")
    assert prices.dates.dtype == np.dtype("datetime64[D]")
    np.testing.assert_array_equal(prices.dates, frame.index.to_numpy().astype("datetime64[D]"))
    np.testing.assert_array_equal(prices.values, frame.to_numpy())


@pytest.mark.parametrize("missing", ["", " ", "NaN", "nan", "NA", "#N/A", "#N/A N/A", '""'])
def test_missing_values(read, missing):
    values = read(f"date,A,B\n2024-01-02,{missing},1\n2024-01-03,2,{missing}\n").values
    np.testing.assert_array_equal(values, [[np.nan, 1], [2, np.nan]])


def test_spaces_marks_and_line_ends(read):
    text = '\ufeffDate , "BP/ LN Equity" ,AAPL US Equity\r\n2024-01-02 , 1.5 ,2\r\n\r\n2024-01-03,\t3,4\r\n'
    prices = read(text)
    assert prices.names == ("BP/ LN Equity", "AAPL")
    np.testing.assert_array_equal(prices.values, [[1.5, 2], [3, 4]])
    assert read_names(prices.path, what="closes") == prices.names


def test_names_in_the_order_asked_for(read):
    prices = read("date,A,B,C\n2024-01-02,1,2,3\n", ["C", "A"])
    assert prices.names == ("C", "A")
    assert prices.values.tolist() == [[3, 1]]
    assert prices.column("A").tolist() == [1]
    assert prices.select(["A", "C"]).values.tolist() == [[1, 3]]
    with pytest.raises(InputError, match="no column B"):
        prices.select(["B"])


def test_a_bad_column_that_nobody_asked_for_disturbs_nothing(read):
    text = "date,A,B\n2024-01-02,1,oops\n2024-01-03,2,-5\n"
    assert read(text, ["A"]).values.tolist() == [[1], [2]]
    with pytest.raises(InputError, match="oops"):
        read(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the file is empty"),
        ("date,A\n", "no rows below the header"),
        ("date,A,B\n2024-01-02,1,2\n2024-01-03,x,2\n", "row 3, column A: 'x' is not a number"),
        ('date,A\n2024-01-02,"1,000"\n', "row 2, column A: '1,000' is not a number"),
        ("date,A,B\n2024-01-02,1,2\n2024-01-03,1\n", "row 3: 2 cells, the header has 3"),
        ("date,A\n\n2024-01-02,1\n2024-01-03,0\n", "row 4, column A: 0.0 is not a price"),
        ("date,A\n2024-01-02,-1\n", "row 2, column A: -1.0 is not a price"),
        ("date,A\n2024-01-02,inf\n", "row 2, column A: inf is not a price"),
        ("date,A\n2024-01-03,1\n2024-01-02,1\n", "row 3: the date 2024-01-02 stands after 2024-01-03"),
        ("date,A\n2024-01-03,1\n2024-01-03,1\n", "row 3: the date 2024-01-03 is there twice"),
        ("date,A\n2024-01-02 00:00:00,1\n", "row 2: '2024-01-02 00:00:00' is not a date"),
        ("date,A\n2024-01-02,1\n03/01/2024,1\n", "row 3: '03/01/2024' is not a date"),
        ("date,A\n2024-1-2,1\n", "'2024-1-2' is not a date"),
        ("date,A\n2023-02-29,1\n", "'2023-02-29' is not a date"),
        ("date,A\n,1\n", "row 2: '' is not a date"),
        ("date,A,A \n2024-01-02,1,1\n", "the column A appears twice"),
        ("date,AAPL,AAPL US Equity\n2024-01-02,1,1\n", "the column AAPL appears twice"),
        ("date,A,\n2024-01-02,1,1\n", "column 3 has no name"),
    ],
)
def test_defects_are_named(read, text, said):
    with pytest.raises(InputError) as caught:
        read(text)
    assert said in str(caught.value)
    assert "prices.csv" in str(caught.value)
    assert caught.value.exit_code == 2


def test_other_encodings_are_refused(read):
    for text in ("date,Börse\n2024-01-02,1\n", "date,A\n2024-01-02,é\n"):
        with pytest.raises(InputError, match="not UTF-8"):
            read(text, encoding="latin-1")


def test_names_that_are_absent_or_empty(read, tmp_path):
    with pytest.raises(InputError, match="no column B, C; the file holds closes"):
        read("date,A\n2024-01-02,1\n", ["A", "B", "C"])
    for names in (["A", "B"], None):
        assert np.isnan(read("date,A,B\n2024-01-02,1,\n", names).column("B")).all()
    with pytest.raises(InputError, match=r"nowhere.csv: the file is missing; it holds closes"):
        read_prices(tmp_path / "nowhere.csv", what="closes")


def test_betas_may_be_negative_and_absent(read):
    betas = read("date,BP US Equity,SAP\n2024-01-02,-0.5,\n", ["BP", "SAP"], reader=read_betas)
    np.testing.assert_array_equal(betas.values, [[-0.5, np.nan]])
    with pytest.raises(InputError, match="row 2, column BP: infinite"):
        read("date,BP\n2024-01-02,-inf\n", reader=read_betas)


def test_written_prices_come_back_to_the_last_bit(tmp_path):
    rng = np.random.default_rng(0)
    values = np.exp(rng.normal(0, 9, (40, 7)))
    values[rng.random(values.shape) < 0.2] = np.nan
    dates = np.arange("2024-01-01", "2024-02-10", dtype="datetime64[D]")
    path = tmp_path / "written.csv"
    write_prices(path, dates, [*"ABCDEF", "BRK/B"], values)
    assert path.read_text(encoding="utf-8").startswith("date,A,B,C,D,E,F,BRK/B\n2024-01-01,")
    frame = pd.read_csv(path, index_col=0)
    assert frame.index.tolist() == dates.astype(str).tolist()
    np.testing.assert_array_equal(frame.to_numpy(), values)
    np.testing.assert_array_equal(read_prices(path, what="closes").values, values)


def test_records(tmp_path):
    path = tmp_path / "list.csv"
    path.write_text("a , b\n x,#N/A\n\ny , 2.5 \n", encoding="utf-8")
    first, second = read_records(path, ["a", "b"], what="a list")
    assert (first["a"], first["b"], first.row) == ("x", "", 2)
    assert (second.positive("b"), second.row) == (2.5, 4)
    with pytest.raises(InputError, match="row 2: b is ''; expected a number above 0"):
        first.positive("b")
    with pytest.raises(InputError, match="row 4: a is 'y'; expected a date"):
        second.day("a")
    with pytest.raises(InputError, match="no column c; it has a, b"):
        read_records(path, ["a", "c"], what="a list")
    path.write_text("a,b\n1,2,3\n", encoding="utf-8")
    with pytest.raises(InputError, match="row 2: 3 cells, the header has 2"):
        read_records(path, ["a"], what="a list")
