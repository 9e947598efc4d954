from dataclasses import replace

import numpy as np
import pytest

from kairos.errors import InputError
from kairos.report import AdrForecast, AdrGate, AdrMonth, AdrRow, AdrSheet, Estimate, adr_page, charts

MONTHS = ["2025-01", "2025-02", "2025-03"]


def row(ticker, value, low, high, **changes):
    return replace(
        AdrRow(
            ticker=ticker, exchange="XLON", index="UKX",
            improvement=Estimate(ticker, value, low, high, 1.87, 3),
            baseline_ic=0.6111, model_ic=0.6432, baseline_rank_ic=0.5811, model_rank_ic=0.6011,
            baseline_r2=0.3311, model_r2=0.3622, baseline_hit_rate=0.7011, model_hit_rate=0.7122,
            stepwise_p=0.0411, holm_p=0.0622, zero_months=1, n_nonzero=4.3, passes=False,
        ),
        **changes,
    )  # fmt: skip


@pytest.fixture
def sheet():
    rows = [
        row("ABC", 0.0123, -0.0111, 0.0333),
        row("DEF", 0.0567, 0.0222, 0.0999, passes=True),
        row("NUL", 0.0, np.nan, np.nan, stepwise_p=np.nan),
        row("NEW", np.nan, np.nan, np.nan),
    ]
    return AdrSheet(
        model="lasso",
        facts=[("Data", "desk")],
        warnings=["Skipped, exchange XTKS is not in scope: SONY."],
        reading=["None of the 4 improvements can be told from luck."],
        level=0.9,
        overall=Estimate("All ADRs", 0.0229, -0.0051, 0.0512, 1.33, 3),
        baseline_ic=0.6055,
        model_ic=0.6284,
        adrs=rows,
        months=[
            AdrMonth(
                month=month, adrs=3, baseline_ic=0.6, model_ic=0.62, improvement=0.0201, better=0.6667,
                unchanged=0.3333,
            )
            for month in MONTHS
        ],
        improvements=np.array([[0.1, -0.05, np.nan], [0.2, 0.0, 0.01], [0.0] * 3, [np.nan] * 3]),
        selections=[
            AdrForecast(
                improvement=Estimate("mse_1se", 0.0229, -0.0051, 0.0512, 1.33, 3), month_t=1.11, adrs=4,
                told=0, zero_models=0.4444, n_nonzero=5.5,
            )
        ],
        nulls=[AdrForecast(improvement=Estimate("Zero", 0.0), month_t=np.nan, adrs=4, told=0)],
        selection="mse_1se",
        gate=[
            AdrGate(mode="Full sample", passing=1, share_used=0.5, improvement_used=0.0666, gain=0.0333),
            AdrGate(mode="Expanding", passing=0, share_used=0.0, improvement_used=np.nan, gain=0.0),
        ],
        gate_threshold=0.04,
        noise_share=0.0777,
        nonzero=[0.0, 3.0, 7.0, 4.0],
        alphas=[Estimate("0.0043", 2.0), Estimate("0.0034", 1.0)],
        stocks=[("AAPL", 7, 2), ("XOM", 5, 1)],
        suspicious=[("ABC", "ABCX", 0.97)],
        assumptions=[("Intervals", "from 2,000 resampled calendars")],
    )  # fmt: skip


def test_the_page_reads_from_warning_to_detail(sheet, parse):
    text = parse(adr_page(sheet)).text
    order = [
        "SONY",
        "None of the 4 improvements",
        "0.0229",
        "−0.005 to 0.051",
        "month by month",
        "Mean over the ADRs that count",
        "Each forecast of the residual",
        "The model is used for",
        "AAPL",
        "ABCX",
        "2,000 resampled calendars",
    ]
    places = [text.index(part) for part in order]
    assert places == sorted(places)


def test_it_says_what_noise_alone_would_pass(sheet, parse):
    text = parse(adr_page(sheet)).text
    assert "Over 3 test months it would let 8% of the ADRs pass whose true improvement is zero" in text
    assert "7.8%" in text


def test_adrs_stand_from_the_best_to_those_without_a_month(sheet, parse):
    (table,) = [
        block for section in adr_page(sheet).sections for block in section.blocks
        if getattr(block, "title", "") == "Each ADR"
    ]  # fmt: skip
    cells = table.cells
    assert [line[0].text for line in cells] == ["DEF", "ABC", "NUL", "NEW"]
    assert [line[4].text for line in cells] == ["0.022 to 0.100", "−0.011 to 0.033", "–", "–"]
    assert [line[8].text for line in cells] == ["passes", "–", "–", "–"]
    assert cells[2][3].text == "0.0000"
    assert cells[3][3].text == "–"


def test_models_are_told_of_rules_and_not_of_nulls(sheet, parse):
    tables = {
        block.title: block for section in adr_page(sheet).sections for block in section.blocks
        if getattr(block, "title", "") in ("Forecasts without a model", "Selection rules")
    }  # fmt: skip
    assert [cell.text for cell in tables["Forecasts without a model"].cells[0]][1:4] == ["0.0000", "–", "–"]
    assert [cell.text for cell in tables["Selection rules"].cells[0]][-2:] == ["44.4%", "5.5"]


def test_a_page_without_suspicious_stocks_has_no_such_table(sheet, parse):
    assert "Suspicious" in parse(adr_page(sheet)).text
    assert "Suspicious" not in parse(adr_page(replace(sheet, suspicious=[]))).text


def test_data_stays_text(sheet, hostile, parse):
    bad = replace(
        sheet, adrs=[row(hostile, 0.01, 0.0, 0.02), *sheet.adrs[1:]], stocks=[(hostile, 1, 1)],
        reading=[hostile], warnings=[hostile],
    )  # fmt: skip
    clean, page = parse(adr_page(sheet)), parse(adr_page(bad))
    assert len(page.scripts) == len(clean.scripts)
    assert not [tag for tag, _, _ in page.attributes if tag == "img"]


def test_a_heatmap_has_a_cell_for_each_pair():
    figure = charts.heatmap(["ABC", "DEF"], MONTHS, [[0.1, -0.05, np.nan], [0.2, 0.0, 1 / 3]], limit=0.2)
    (trace,) = figure.data
    assert [list(line) for line in trace.z] == [[0.1, -0.05, None], [0.2, 0.0, 0.33333]]
    assert (list(trace.x), list(trace.y)) == (MONTHS, ["ABC", "DEF"])
    assert (trace.zmin, trace.zmax) == (-0.2, 0.2)
    assert figure.layout.yaxis.autorange == "reversed"
    colours = [colour for _, colour in trace.colorscale]
    assert colours == [charts.ORANGE, charts.PAPER, charts.BLUE]
    assert set(colours) <= set(charts.DARK)


def test_a_heatmap_of_another_shape_is_refused():
    with pytest.raises(InputError, match=r"shape \(1, 3\) for 2 rows and 3 columns"):
        charts.heatmap(["ABC", "DEF"], MONTHS, [[0.1, 0.2, 0.3]], limit=0.2)


def test_the_labels_of_a_heatmap_can_not_become_markup(hostile):
    assert "<" not in "".join(charts.heatmap([hostile], [hostile], [[1.0]], limit=1.0).data[0].y)


def test_basis_points_of_a_heatmap_are_scaled_with_their_limit():
    (trace,) = charts.heatmap(["a"], ["b"], [[0.0003]], kind="basis_points", limit=0.001).data
    assert (trace.z[0][0], trace.zmax) == (3.0, 10.0)
