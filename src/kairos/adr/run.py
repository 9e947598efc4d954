"""The steps of the desk in their order, each with what it reads and writes.

One declaration a step serves the command that runs them all, and the pipeline file for DVC.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from kairos.adr import desk as at
from kairos.adr.align import align, made_here, us_closes_name
from kairos.adr.baseline import baseline
from kairos.adr.betas import betas
from kairos.adr.convert import convert, converted_here, raw_texts
from kairos.adr.evaluate import evaluate
from kairos.adr.evaluate_signal import evaluate_signal, evaluation_folder
from kairos.adr.features import features
from kairos.adr.gate import MODES
from kairos.adr.instruments import read_instruments
from kairos.adr.notebook import notebook, signal_notebook
from kairos.adr.signal import calibration_file, days_file, signal, signal_folder, terms_folder
from kairos.adr.sources import quoted
from kairos.adr.train import evaluation_output, output, train

if TYPE_CHECKING:
    from kairos.adr.desk import Desk

MAP = (at.ADR_INFO, at.FUTURES_SYMBOLS, at.CLOSE_OFFSETS)
"""The files of the instrument map."""

CLOSES = (*MAP, at.ORDINARY_CLOSES, at.INDEX_CLOSES)
MAP_SETTINGS = ("adr.start", "adr.end", "adr.exchanges")
MINUTE_SETTINGS = ("adr.bar_label", "adr.max_age")


Progress = Callable[[int, int], object]
"""Called with what is done and what there is to do."""


class Report(Protocol):
    """What a step found."""

    def table(self) -> tuple[list[str], list[list[object]]]:
        """Headings and rows."""

    def remarks(self) -> list[str]:
        """What the user should know, a sentence each."""


@dataclass(frozen=True)
class Step:
    """One step.

    Attributes
    ----------
    name, what
        The command, and what it does.
    run
        The step itself.
    reads, writes : Desk → names
        Files and folders relative to the root; a step that writes nothing has nothing to do, for the user has
        its files.
    maybe : names
        What is read where it exists.
    settings
        Keys on which the result depends.
    """

    name: str
    what: str
    run: Callable[[Desk, Progress], Report]
    reads: Callable[[Desk], list[str]]
    writes: Callable[[Desk], list[str]]
    settings: tuple[str, ...]
    maybe: tuple[str, ...] = ()


def _us_closes(desk: Desk) -> list[str]:
    return [us_closes_name(exchange) for exchange in read_instruments(desk).exchanges]


def _aligned(desk: Desk) -> list[str]:
    return [us_closes_name(exchange) for exchange in made_here(desk)]


def _baseline_out(desk: Desk) -> list[str]:
    """The folder, unless there is nothing to make, or it is the user's."""
    build = desk.settings.adr.baseline.source == "build"
    return [at.BASELINE] if build and quoted(desk) else []


def _signal_out(desk: Desk) -> list[str]:
    """Folders and files of both modes of the gate."""
    if not quoted(desk):
        return []
    names = [name for mode in MODES for name in (signal_folder(desk, mode), days_file(desk, mode))]
    calibrated = desk.settings.adr.signal.calibration != "none"
    return [*names, terms_folder(desk), *([calibration_file(desk)] if calibrated else [])]


STEPS = (
    Step(
        "convert",
        "futures in USD and mids of the ADRs, from raw minutes",
        lambda desk, _: convert(desk),
        lambda desk: [*CLOSES, *raw_texts(desk)],
        converted_here,
        (*MAP_SETTINGS, *MINUTE_SETTINGS, "adr.multipliers"),
    ),
    Step(
        "align",
        "US stocks at each exchange's close",
        lambda desk, _: align(desk),
        lambda _: [*CLOSES, at.US_MINUTES, at.US_FACTORS],
        _aligned,
        (*MAP_SETTINGS, *MINUTE_SETTINGS),
    ),
    Step(
        "betas",
        "betas of the ordinaries on their indices",
        lambda desk, _: betas(desk),
        lambda _: [*CLOSES],
        lambda desk: [] if desk.is_users(at.BETAS) and not desk.force else [at.BETAS],
        (*MAP_SETTINGS, *MINUTE_SETTINGS, "adr.index", "adr.betas"),
        (at.FX_MINUTES, at.FUTURES),
    ),
    Step(
        "features",
        "residual returns of ordinaries and US stocks",
        lambda desk, _: features(desk),
        lambda desk: [*CLOSES, *_us_closes(desk), at.BETAS],
        lambda _: [at.FEATURES, at.TARGETS, at.US_BETAS],
        (
            *MAP_SETTINGS,
            *MINUTE_SETTINGS,
            "adr.index",
            "adr.betas",
            "adr.us_betas",
            "adr.grid",
            "adr.features",
        ),
        (at.FX_MINUTES, at.FUTURES, at.US_SECTORS),
    ),
    Step(
        "train",
        "a model for every ADR and month",
        train,
        lambda _: [at.FEATURES, at.TARGETS],
        lambda desk: [output(desk)],
        ("adr.end", "adr.windows", "adr.model"),
    ),
    Step(
        "evaluate",
        "the models against the index baseline",
        evaluate,
        lambda desk: [at.FEATURES, at.TARGETS, output(desk)],
        lambda desk: [evaluation_output(desk)],
        ("adr.end", "adr.windows", "adr.model", "adr.evaluation", "adr.gate"),
        (at.US_SECTORS,),
    ),
    Step(
        "notebook",
        "the analysis, executed",
        lambda desk, _: notebook(desk),
        lambda desk: [at.TARGETS, output(desk), evaluation_output(desk)],
        lambda _: [at.NOTEBOOK],
        ("adr.model",),
    ),
    Step(
        "baseline",
        "the signal of every ADR and minute from the index future alone",
        baseline,
        lambda _: [*MAP, at.BETAS, at.FUTURES, at.ADR_QUOTES],
        _baseline_out,
        (*MAP_SETTINGS, *MINUTE_SETTINGS, "adr.betas", "adr.baseline", "adr.signal"),
        (at.ADR_MIDS, at.FX_MINUTES, at.ORDINARY_UNADJUSTED),
    ),
    Step(
        "signal",
        "with the US stocks, where they have improved on the index",
        signal,
        lambda desk: [*MAP, at.BASELINE, at.FUTURES, at.US_BETAS, output(desk), evaluation_output(desk)],
        _signal_out,
        (*MAP_SETTINGS, *MINUTE_SETTINGS, "adr.model", "adr.gate", "adr.signal"),
        (at.US_MINUTES,),
    ),
    Step(
        "evaluate-signal",
        "what the signal knows about the returns that follow",
        evaluate_signal,
        lambda desk: [*MAP, at.ORDINARY_CLOSES, at.ADR_QUOTES, at.BASELINE, at.BETAS, *_signal_out(desk)],
        lambda desk: [evaluation_folder(desk)] if quoted(desk) else [],
        (*MAP_SETTINGS, *MINUTE_SETTINGS, "adr.gate", "adr.signal", "adr.signal_evaluation"),
        (at.FX_MINUTES, at.ETF_MINUTES, at.ORDINARY_OPENS, at.ORDINARY_UNADJUSTED),
    ),
    Step(
        "signal-notebook",
        "the analysis of the signal, executed",
        lambda desk, _: signal_notebook(desk),
        lambda desk: [evaluation_folder(desk), *_signal_out(desk)],
        lambda desk: [at.SIGNAL_NOTEBOOK] if quoted(desk) else [],
        ("adr.model", "adr.gate"),
    ),
)
