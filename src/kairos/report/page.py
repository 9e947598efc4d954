"""A page: a title, facts, warnings and sections of blocks, rendered as one self-contained HTML file.

The file loads nothing: plotly.js, the style and the data are inside, and a content security policy forbids
the browser any request. Everything that comes from data is escaped.
"""

from __future__ import annotations

import contextlib
import functools
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from jinja2 import Environment, PackageLoader, StrictUndefined
from plotly.io.json import to_json_plotly
from plotly.offline import get_plotlyjs

from kairos.disk import writing
from kairos.errors import InputError
from kairos.report.charts import DARK
from kairos.report.format import Kind, Value, is_number, show

if TYPE_CHECKING:
    from collections.abc import Sequence

    import plotly.graph_objects as go


@dataclass(frozen=True)
class Quantity:
    """A number with its own kind, for a table cell that differs from its column, or for a tile."""

    value: Value
    kind: Kind = "number"
    digits: int | None = None

    @property
    def text(self) -> str:
        """The number as a reader sees it."""
        return show(self.value, self.kind, self.digits)


@dataclass(frozen=True)
class Figure:
    """One headline tile: what it is, how much, and a hint in small print."""

    label: str
    value: Quantity
    hint: str = ""


@dataclass(frozen=True)
class Figures:
    """A row of headline tiles; wraps on a narrow screen."""

    template: ClassVar[str] = "figures.html.j2"
    figures: Sequence[Figure]


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Parameters
    ----------
    label : str
        The heading.
    kind, digits
        How the numbers of the column are written; text is aligned left, everything else right.
    shade : float, optional
        The size at which the background of a cell has its full colour (blue above zero, orange below);
        without it cells are plain.
    hint : str
        A tooltip that explains the heading.
    """

    label: str
    kind: Kind = "text"
    digits: int | None = None
    shade: float | None = None
    hint: str = ""


@dataclass(frozen=True)
class Cell:
    """A table cell ready to be laid out; `heat` is the strength of the background in [−1, 1]."""

    text: str
    numeric: bool
    heat: float | None


@dataclass(frozen=True)
class Table:
    """A table. The first column names the row and stays in view when a wide table scrolls in its box.

    Parameters
    ----------
    columns : Sequence[Column]
        The headings and formats.
    rows : Sequence[Sequence[Value | Quantity]]
        One raw value per column; a Quantity overrides the column's format.
    title, caption : str
        A heading above and a reading aid below.
    """

    template: ClassVar[str] = "table.html.j2"
    columns: Sequence[Column]
    rows: Sequence[Sequence[Value | Quantity]]
    title: str = ""
    caption: str = ""

    @property
    def cells(self) -> list[list[Cell]]:
        """The rows, formatted."""
        return [[_cell(*pair) for pair in zip(row, self.columns, strict=True)] for row in self.rows]


@dataclass(frozen=True)
class Chart:
    """A Plotly figure with a title, a one-line reading aid, and a description for those who can't see it."""

    template: ClassVar[str] = "chart.html.j2"
    title: str
    figure: go.Figure
    caption: str
    description: str

    @property
    def data(self) -> str:
        """The figure as JSON for a script element; dates that series share are written once.

        Plotly writes <, > and / as escapes, so no text of a figure can end the element.
        """
        spec = self.figure.to_plotly_json()
        shared = spec["data"][0].get("x") if spec["data"] else None
        for trace in spec["data"][1:]:
            if isinstance(shared, list) and isinstance(trace.get("x"), list) and trace["x"] == shared:
                del trace["x"]
        text: str = to_json_plotly(spec, engine="json")
        return text

    @property
    def height(self) -> int:
        """Pixels, reserved before the chart is drawn so that the page doesn't jump."""
        return int(self.figure.layout.height)


@dataclass(frozen=True)
class Note:
    """A paragraph of small print."""

    template: ClassVar[str] = "note.html.j2"
    text: str


@dataclass(frozen=True)
class Facts:
    """Labels with their text: what was run, what was assumed."""

    template: ClassVar[str] = "facts.html.j2"
    facts: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Link:
    """A way to another file: its label, its path relative to the page, and a sentence on what is there.

    Raises
    ------
    InputError
        If the target is not a relative path: a page points to what lies beside it, never elsewhere.
    """

    label: str
    target: str
    text: str = ""

    def __post_init__(self) -> None:
        if ":" in self.target or self.target.startswith(("/", "\\")):
            raise InputError(f"link {self.target!r}: name a file beside the page, relative to it")


@dataclass(frozen=True)
class Links:
    """Ways to other reports, one a line."""

    template: ClassVar[str] = "links.html.j2"
    links: Sequence[Link]


@dataclass(frozen=True)
class Grid:
    """Blocks side by side where the screen is wide enough, below each other where it isn't."""

    template: ClassVar[str] = "grid.html.j2"
    blocks: Sequence[Block]


Block = Figures | Table | Chart | Note | Facts | Links | Grid


@dataclass(frozen=True)
class Section:
    """A heading, a sentence or two, and blocks."""

    title: str
    text: str = ""
    blocks: Sequence[Block] = ()


@dataclass(frozen=True)
class Page:
    """A report: what it is about, what to beware of, and its sections in reading order.

    Parameters
    ----------
    title, subtitle : str
        What the page is about.
    facts : Sequence[tuple[str, str]]
        Labels and values that let the result be traced: run, snapshot, command, period.
    warnings : Sequence[str]
        Shown before any number.
    sections : Sequence[Section]
        In reading order; each has an entry in the page's navigation.
    """

    title: str
    subtitle: str = ""
    facts: Sequence[tuple[str, str]] = ()
    warnings: Sequence[str] = ()
    sections: Sequence[Section] = field(default=())

    def render(self) -> str:
        """Return the page as HTML. Same content, same text: nothing of the day or the machine is added."""
        template = _environment().get_template("page.html.j2")
        return template.render(page=self, plotlyjs=get_plotlyjs(), dark=DARK)

    def write(self, path: Path | str) -> Path:
        """Write the page; a reader sees the old file or the new one, never half of one.

        Parameters
        ----------
        path : Path or str
            The file; missing folders are made, an existing file is replaced.

        Returns
        -------
        Path
            The file's absolute path.

        Raises
        ------
        InputError
            If the path is a folder.
        WorkError
            If the file can't be written.
        """
        path = Path(path).resolve()
        if path.is_dir():
            raise InputError(f"{path}: is a folder; name a file, for example {path / 'report.html'}")
        html = self.render()
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        with writing(path, "choose another file for the report"):
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                temporary.write_text(html, encoding="utf-8")
                temporary.replace(path)
            finally:
                with contextlib.suppress(OSError):
                    temporary.unlink()
        return path


def _cell(value: Value | Quantity, column: Column) -> Cell:
    quantity = value if isinstance(value, Quantity) else Quantity(value, column.kind, column.digits)
    heat = None
    if column.shade and is_number(quantity.value):
        heat = max(-1.0, min(1.0, float(quantity.value) / column.shade))
    return Cell(quantity.text, column.kind != "text", heat)


@functools.cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("kairos.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
