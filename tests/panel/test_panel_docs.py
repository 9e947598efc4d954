from __future__ import annotations

import doctest
import importlib

import pytest

import kairos.panel


@pytest.mark.parametrize("name", ["cross", "lag", "recursive", "rolling", "weights"])
def test_examples_of_the_documentation_run(name: str) -> None:
    result = doctest.testmod(importlib.import_module(f"kairos.panel.{name}"))
    assert result.attempted > 0
    assert result.failed == 0


def test_every_public_name_is_documented() -> None:
    for name in kairos.panel.__all__:
        assert getattr(kairos.panel, name).__doc__, name
