import json
import re

import numpy as np
import plotly.graph_objects as go
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kairos.errors import InputError, WorkError
from kairos.report import charts
from kairos.report.page import (
    Chart,
    Column,
    Facts,
    Figure,
    Figures,
    Grid,
    Link,
    Links,
    Note,
    Page,
    Quantity,
    Section,
    Table,
)

DAYS = ["2020-01-02", "2020-01-03", "2020-01-06"]


def one_of_each(word="word"):
    figure = charts.lines(DAYS, {word: [1, 2, 3], "other": [3, 2, 1]})
    table = Table([Column(word, hint=word), Column("n", "count")], [[word, 3]], title=word, caption=word)
    return Page(
        title=word,
        subtitle=word,
        facts=[(word, word)],
        warnings=[word],
        sections=[
            Section(word, word, [Figures([Figure(word, Quantity(word, "text"), word)]), table]),
            Section(
                word,
                blocks=[
                    Grid([Chart(word, figure, word, word), Note(word)]),
                    Facts([(word, word)]),
                    Links([Link(word, "a.html", word)]),
                ],
            ),
        ],
    )


def drawn(document):
    return [json.loads(text) for text in document.scripts if text.startswith('{"data"')]


def test_nothing_is_fetched(sheet, parse):
    document = parse(one_of_each())
    links = [
        value for _, name, value in document.attributes if name in {"src", "href", "srcset", "action", "data"}
    ]
    assert links == ["#section-1", "#section-2", "a.html"]  # a link is followed by a person, never fetched
    assert not {"link", "img", "iframe", "object", "embed"} & {tag for tag, _, _ in document.attributes}
    assert not re.search(r"@import|url\s*\(", "".join(document.styles))
    policy = next(v for tag, name, v in document.attributes if name == "content" and "default-src" in v)
    assert "default-src 'none'" in policy
    assert not re.search(r"https?:|\*|'unsafe-eval'", policy)


def test_our_own_script_and_style_name_no_address(parse):
    document = parse(one_of_each())
    ours = [text for text in document.scripts if "plotly.js v" not in text[:200]]
    assert len(ours) == len(document.scripts) - 1
    assert "http" not in "".join(ours + document.styles)


def test_plotly_is_there_once(parse):
    assert parse(one_of_each()).words
    assert one_of_each().render().count("plotly.js v") == 1


def test_tags_are_nested_and_numbered(parse):
    document = parse(one_of_each())
    assert document.open == []
    ids = [value for _, name, value in document.attributes if name == "id"]
    assert len(ids) == len(set(ids)) == 2


def test_hostile_text_is_shown_not_run(hostile, parse):
    document = parse(one_of_each(hostile))
    tame = parse(one_of_each())
    assert [a[:2] for a in document.attributes] == [a[:2] for a in tame.attributes]
    assert len(document.scripts) == len(tame.scripts)
    assert document.text.count("alert(2)") == tame.text.count("word")
    assert "{{ 7 * 7 }}" in document.text
    assert "onerror" not in {name for _, name, _ in document.attributes}


def test_hostile_names_in_charts_come_back_as_text(hostile, parse):
    (spec,) = drawn(parse(one_of_each(hostile)))
    assert "<" not in spec["data"][0]["name"]
    assert "&lt;img" in spec["data"][0]["name"]


PIECES = [*"<>/!-='\"&;{}% \u2028", "script", "<!--", "-->", "]]>", "&lt;"]


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_text_opens_a_tag(parse, text):
    document, tame = parse(one_of_each(text or "word")), parse(one_of_each())
    assert [a[:2] for a in document.attributes] == [a[:2] for a in tame.attributes]
    assert len(document.scripts) == len(tame.scripts)
    assert len(drawn(document)) == len(drawn(tame))


def test_any_figure_is_safe_inside_its_script(hostile, parse):
    figure = go.Figure(layout={"height": 300, "title": {"text": hostile}})
    (spec,) = drawn(parse(Page("x", sections=[Section("y", blocks=[Chart("", figure, "", "")])])))
    assert spec["layout"]["title"]["text"] == hostile


def test_dates_are_written_once_per_chart(parse):
    (spec,) = drawn(parse(one_of_each()))
    assert spec["data"][0]["x"] == DAYS
    assert "x" not in spec["data"][1]
    other = go.Figure([go.Scatter(x=[1, 2], y=[1, 2]), go.Scatter(x=[1, 3], y=[1, 2])], {"height": 300})
    other.add_scatter(y=np.arange(2))
    assert json.loads(Chart("", other, "", "").data)["data"][1]["x"] == [1, 3]


def test_a_chart_without_series_renders(parse):
    assert drawn(parse(Page("x", sections=[Section("y", blocks=[Chart("", charts.lines([], {}), "", "")])])))


def test_sections_follow_in_order_and_warnings_come_first(parse):
    page = Page(
        "Title",
        warnings=["Beware"],
        sections=[Section("Alpha", "aaa"), Section("Beta", "bbb")],
        facts=[("Run", "7")],
    )
    text = parse(page).text
    places = [text.index(word) for word in ("Run", "Beware", "aaa", "bbb")]
    assert places == sorted(places)


def test_a_page_without_warnings_has_no_box(parse):
    assert "Before you read" not in parse(Page("Title", sections=[Section("Alpha")])).text
    assert "Before you read" in parse(Page("Title", warnings=["x"])).text


def test_a_table_formats_aligns_and_shades(parse):
    columns = [Column("Year"), Column("Return", "percent", shade=0.1), Column("Note", "text")]
    rows = [
        ["2020", 0.05, "x"],
        ["2021", -0.3, "y"],
        ["2022", np.nan, None],
        ["2023", Quantity(2.0, "ratio"), 7],
    ]
    cells = Table(columns, rows).cells
    assert [[cell.text for cell in row] for row in cells] == [
        ["2020", "5.0%", "x"],
        ["2021", "−30.0%", "y"],
        ["2022", "–", "–"],
        ["2023", "2.00", "7.0000"],
    ]
    assert [row[1].heat for row in cells] == [0.5, -1.0, None, 1.0]
    assert [cell.numeric for cell in cells[0]] == [False, True, False]
    document = parse(Page("x", sections=[Section("y", blocks=[Table(columns, rows)])]))
    heats = [value for tag, name, value in document.attributes if tag == "td" and name == "style"]
    assert heats == ["--heat: 0.50", "--heat: 1.00", "--heat: 1.00"]


def test_a_row_of_the_wrong_length_is_refused():
    with pytest.raises(ValueError, match="zip"):
        Page("x", sections=[Section("y", blocks=[Table([Column("a")], [["1", "2"]])])]).render()


def test_links_lead_to_files_beside_the_page(parse):
    links = Links([Link("a <b>", "adr/a.html", "what is there")])
    text = Page("x", sections=[Section("s", blocks=[links])]).render()
    assert '<a href="adr/a.html">a &lt;b&gt;</a>' in text


@pytest.mark.parametrize(
    "target", ["https://example.org", "//example.org/x", "/etc/passwd", "javascript:alert(1)"]
)
def test_a_link_elsewhere_is_refused(target):
    with pytest.raises(InputError, match="beside the page"):
        Link("x", target)


def test_the_same_page_is_the_same_text():
    assert one_of_each().render() == one_of_each().render()


def test_a_page_is_written_whole(tmp_path):
    path = tmp_path / "new" / "folder" / "report.html"
    assert one_of_each().write(path) == path
    assert path.read_text(encoding="utf-8") == one_of_each().render()
    Page("Second").write(str(path))
    assert "Second" in path.read_text(encoding="utf-8")
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("old")

    def full(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(
        WorkError, match=r"report\.html: No space left .*; make room on .* choose another file"
    ):
        Page("x").write(path)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_a_path_that_is_no_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="is a folder"):
        Page("x").write(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkError, match=r"cannot write .*another file"):
        Page("x").write(tmp_path / "file" / "report.html")
