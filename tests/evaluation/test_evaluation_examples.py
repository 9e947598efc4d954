from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import kairos.evaluation


@pytest.mark.parametrize("name", [module.name for module in pkgutil.iter_modules(kairos.evaluation.__path__)])
def test_examples_run(name):
    module = importlib.import_module(f"kairos.evaluation.{name}")
    assert doctest.testmod(module).failed == 0
