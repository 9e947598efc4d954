"""Every malformed input is refused in plain words, and leaves everything as it was."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import corpus_adr_cases
import corpus_cases
import pytest
from corpus_cases import Case
from corpus_desk import copy, kairos, state

EQUITY = [*corpus_cases.CELLS, *corpus_cases.FORMS, *corpus_cases.USERS, *corpus_cases.CONFIGURATION]
ADR = corpus_adr_cases.CASES


def test_names_are_unique() -> None:
    names = Counter(case.id for case in [*EQUITY, *ADR])
    assert not [name for name, count in names.items() if count > 1]


def refused(case: Case, **places: Path) -> None:
    """The command leaves with the code and the words of the case."""
    ended = kairos(*(word.format(**places) for word in case.words))
    assert ended.code == case.code, ended
    assert re.search(case.says, ended.err, re.DOTALL), ended.err
    assert "Traceback" not in ended.err + ended.out
    assert len(ended.err) < 6000, "a message is for reading"


@pytest.mark.parametrize("case", EQUITY, ids=lambda case: case.id)
def test_the_equity_desk_refuses(case: Case, equity: Path, tmp_path: Path) -> None:
    case.make(tmp_path)
    before, there = state(equity.parent), state(tmp_path)
    refused(case, bad=tmp_path, db=equity)
    assert state(equity.parent) == before
    assert state(tmp_path) == there


@pytest.mark.parametrize("case", ADR, ids=lambda case: case.id)
def test_the_adr_desk_refuses(case: Case, adr: Path, tmp_path: Path) -> None:
    desk = copy(adr, tmp_path / "desk")
    case.make(desk)
    there = state(desk)
    refused(case, desk=desk)
    assert state(desk) == there
