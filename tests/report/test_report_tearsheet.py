from dataclasses import replace

from kairos.report import tearsheet


def test_sections_come_in_reading_order(sheet, parse):
    page = tearsheet(sheet)
    assert [section.title for section in page.sections] == [
        "Headline",
        "Growth and drawdown",
        "Risk over time",
        "Calendar",
        "Turnover and cost",
        "The book",
        "What was assumed",
    ]
    text = parse(page).text
    charts = ["Growth of 1", "Drawdown", "Rolling Sharpe ratio, 126", "Rolling volatility, 126", "Daily net"]
    charts += [
        "Monthly net",
        "Yearly returns",
        "Turnover per rebalance",
        "Cost per rebalance",
        "Number of names",
    ]
    charts += ["Exposure", "filled at the close of t + 1"]
    places = [text.index(title, text.index("Whole period")) for title in charts]
    assert places == sorted(places)


def test_facts_and_warnings_stand_before_any_number(sheet, parse):
    text = parse(tearsheet(sheet)).text
    first = text.index("12.3%")
    for words in ("run-0001", "snapshot-0002", "looks ahead", "survivorship"):
        assert text.index(words) < first


def test_every_headline_number_is_shown(sheet, parse):
    text = parse(tearsheet(sheet)).text
    for row in (
        "Annual return 12.3% 9.9% 2.5%",
        "Sharpe ratio 0.87 0.66 0.51",
        "Volatility 14.8% 16.1% 4.3%",
        "Maximum drawdown −33.4% −35.1% −8.9%",
        "Turnover a year 8.42 – –",
        "Cost a year 1.13% – –",
        "Deflated Sharpe ratio – – –",
        "Capital 10,000,000 – –",
    ):
        assert row in text


def test_the_first_rows_are_tiles_with_their_benchmark(sheet, parse):
    text = parse(tearsheet(sheet)).text
    tiles = text[: text.index("Whole period")]
    assert "Annual return 12.3% benchmark 9.9%" in tiles
    assert "Cost a year 1.13%" in tiles
    assert "Deflated" not in tiles


def test_samples_are_separate(sheet, parse):
    text = parse(tearsheet(sheet)).text
    inside, outside = text.index("In sample"), text.index("Out of sample")
    assert "Sharpe ratio 0.87" in text[inside:outside]
    assert "Maximum drawdown −33.4%" in text[outside : text.index("Growth of 1", outside)]
    assert "In sample" not in parse(tearsheet(replace(sheet, samples={}))).text


def test_the_calendar_has_every_month_and_year(sheet, parse):
    text = parse(tearsheet(sheet)).text
    month = "1.2% "
    assert f"2019 – {month * 11}11.1%" in text
    assert f"2020 {month * 12}−22.2%" in text
    assert f"2021 {month * 11}−4.6% 33.3%" in text
    assert "2019 11.1% 4.4% 6.7%" in text
    assert "2020 −22.2% – –" in text


def test_every_chart_has_a_title_a_reading_aid_and_a_description(sheet, parse):
    document = parse(tearsheet(sheet))
    descriptions = [
        value for tag, name, value in document.attributes if tag == "div" and name == "aria-label"
    ]
    assert len([value for value in descriptions if value.startswith(("Line", "Hist"))]) == 9
    assert all(descriptions)


def test_it_does_not_change_what_it_is_given(sheet):
    before = sheet.cost.copy()
    assert tearsheet(sheet).render() == tearsheet(sheet).render()
    assert (sheet.cost == before).all()
