"""Each script of the owner's manual stands on the page, with a command that exists, flags included."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer.main

from kairos.cli import app
from kairos.equity import registry
from kairos.errors import InputError
from kairos.settings import load

PAGE = (Path(__file__).parents[1] / "docs" / "guides" / "coming-from-scripts.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `([^`]+)` \| (.+) \|$", PAGE, re.MULTILINE)
SCRIPTS = [(script, text) for script, text in ROWS if re.search(r"\.(py|sh)$", script)]
FLAGS = [(flag, text) for flag, text in ROWS if flag.startswith("--")]
STRATEGY_COMMANDS = ("backtest", "picks")

MANUAL = """
    daily_download.py daily_update_pipeline.sh setup_cron.sh run_full_refresh.sh merge_daily_download_duck.py
    create_option_b_universe.py create_academic_base.py price_action_features.py trend_features.py
    statistical_features.py price_shape_features.py volume_volatility_features.py adv_features.py
    vol_sizing_features.py beta_features.py generate_targets.py build_value_factors_v2.py
    build_quality_factors_v2.py build_growth_factors.py build_momentum_factors_v2.py build_insider_factors.py
    build_composite_long_v2.py regime_detector_academic.py build_alpha_composite_v5.py
    build_alpha_composite_v6.py build_alpha_composite_v7.py build_alpha_composite_v8.py
    build_alpha_composite_v32.py build_alpha_composite_v33_regime.py build_full_feature_matrix.py
    build_feature_matrix_v2.py backtest_academic_strategy.py backtest_academic_strategy_risk.py
    backtest_academic_strategy_risk2.py backtest_academic_strategy_risk3.py
    backtest_academic_strategy_risk4.py backtest_academic_strategy_risk4_save.py
    backtest_academic_strategy_ls.py backtest_academic_strategy_ls_opt.py
    backtest_academic_strategy_ls_opt_save.py backtest_regime_switching.py
    initialize_universe_and_base.sh build_sentiment_factor.py factor_utils.py performance_metrics.py
""".split()  # noqa: SIM905 - as in the manual
MANUAL_FLAGS = """
    --alpha-column --target-column --beta-column --start-date --end-date --top-n --top-n-long --top-n-short
    --rebalance-every --target-vol --regime-filter --long-short --min-adv --min-price --universe-csv
    --universe --date --v33-weight --save-to --db
""".split()  # noqa: SIM905 - as in the manual


def command_of(text: str) -> list[str]:
    """The first command in a cell of the table, as words behind `kairos`."""
    found = re.search(r"`kairos ([^`]+)`", text)
    assert found, text
    return shlex.split(found[1])


def check(words: list[str]) -> None:
    """Find the command and each of its options, settings, tables and strategies."""
    command: Any = typer.main.get_command(app)
    words = list(words)
    name = ""
    while hasattr(command, "commands"):
        name = words.pop(0)
        command = command.commands[name]
    options = {spelling: param for param in command.params for spelling in param.opts if spelling[:2] == "--"}
    plain, settings = [], []
    while words:
        word = words.pop(0)
        if not word.startswith("--"):
            plain.append(word)
            continue
        assert word in options, f"{name} has no option {word}"
        value = None if options[word].is_flag else words.pop(0)
        if word == "--set":
            settings.append(value)
    load(overrides=settings, strategies=plain if name in STRATEGY_COMMANDS else [])
    if name == "build":
        assert set(plain) <= {table.name for table in registry.tables(load())}, plain
    if name in STRATEGY_COMMANDS:
        assert set(plain) <= set(load().equity.strategies), plain


def test_every_script_and_flag_of_the_manual_is_on_the_page() -> None:
    assert [script for script in MANUAL if f"`{script}`" not in PAGE] == []
    assert [flag for flag in MANUAL_FLAGS if not re.search(rf"`{flag}[ `]|{flag} ", PAGE)] == []
    assert len(SCRIPTS) > 40


@pytest.mark.parametrize(("script", "text"), SCRIPTS, ids=[script for script, _ in SCRIPTS])
def test_the_command_instead_of_a_script_exists(script: str, text: str) -> None:
    check(command_of(text))


@pytest.mark.parametrize(("flag", "text"), FLAGS, ids=[flag for flag, _ in FLAGS])
def test_what_stands_for_a_flag_is_an_option_of_backtest(flag: str, text: str) -> None:
    words = shlex.split(text.strip("`"))
    alpha = [] if "--alpha" in words else ["--alpha", "alpha_composite_v8"]
    check(["equity", "backtest", "ls_opt", *words, *alpha])


def test_commands_and_settings_in_the_text_exist() -> None:
    told = re.findall(r"`(kairos equity [^`]+)`", PAGE)
    assert len(told) > len(SCRIPTS)
    for text in told:
        check(shlex.split(text)[1:])
    for setting in re.findall(r"`--set (equity[^`]+)`", PAGE):
        load(overrides=[setting])


@pytest.mark.parametrize(
    "words",
    [
        "equity backtest risk4 --alpha-column x",
        "equity backtest risk9 --alpha x",
        "equity build feat_nothing",
        "equity backtest risk4 --alpha x --set topn=3",
    ],
)
def test_a_wrong_command_is_found(words: str) -> None:
    with pytest.raises((AssertionError, InputError)):
        check(words.split())
