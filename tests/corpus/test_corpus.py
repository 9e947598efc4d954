"""Every malformed input is refused in plain words, and leaves everything as it was."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import corpus_adr_cases
import corpus_cases
import pytest
from _pytest.mark import ParameterSet
from corpus_cases import Case
from corpus_desk import copy, kairos, state

from kairos.adr.desk import LEDGER, MADE_OF

EQUITY = [*corpus_cases.CELLS, *corpus_cases.FORMS, *corpus_cases.USERS, *corpus_cases.CONFIGURATION]
ADR = corpus_adr_cases.CASES
FEW = 2
"""Cases of a reader that every run of the tests looks at; the others are among the slow ones."""


def few(cases: list[Case]) -> list[ParameterSet]:
    """Cases as parameters: those beyond the first few of a reader are slow."""
    seen: Counter[str] = Counter()
    params = []
    for case in cases:
        marks = [pytest.mark.slow] if seen[case.reader] >= FEW else []
        seen[case.reader] += 1
        params.append(pytest.param(case, id=case.id, marks=marks))
    return params


def test_names_are_unique_and_there_are_enough() -> None:
    assert len(EQUITY) + len(ADR) >= 120
    names = Counter(case.id for case in [*EQUITY, *ADR])
    assert not [name for name, count in names.items() if count > 1]


def refused(case: Case, **places: Path) -> None:
    """The command leaves with the code and the words of the case."""
    ended = kairos(*(word.format(**places) for word in case.words))
    assert ended.code == case.code, ended
    assert re.search(case.says, ended.err, re.DOTALL), ended.err
    assert "Traceback" not in ended.err + ended.out
    assert len(ended.err) < 6000, "a message is for reading"


@pytest.mark.parametrize("case", few(EQUITY))
def test_the_equity_desk_refuses(case: Case, equity: Path, tmp_path: Path) -> None:
    case.make(tmp_path)
    before, there = state(equity.parent), state(tmp_path)
    refused(case, bad=tmp_path, db=equity)
    assert state(equity.parent) == before
    assert state(tmp_path) == there


@pytest.mark.parametrize("case", few(ADR))
def test_the_adr_desk_refuses(case: Case, adr: Path, tmp_path: Path) -> None:
    desk = copy(adr, tmp_path / "desk")
    case.make(desk)
    there = results(desk)
    refused(case, desk=desk)
    assert results(desk) == there


def results(desk: Path) -> dict[str, str]:
    """The files of a data directory without what a step keeps to go on from, and the list of such files."""
    return {
        name: content
        for name, content in state(desk).items()
        if "_signal_terms/" not in name and name not in (LEDGER, MADE_OF)
    }
