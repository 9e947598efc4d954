"""``kairos config``: what the settings are and where each one comes from."""

import json
import re
from collections import Counter
from typing import Annotated, Any

import typer

from kairos.cli import console
from kairos.cli.options import ConfigOption, JsonOption, SetOption

app = typer.Typer(help="Show or check the configuration.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def show(
    section: Annotated[
        str, typer.Argument(help="A section or a key, e.g. equity.universe; without it everything.")
    ] = "",
    config: ConfigOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print every setting with its origin, in a form that is itself a valid kairos.toml.

    Example: kairos config show equity.universe --set equity.universe.min_price=5
    """
    from kairos.settings import resolve

    resolved = resolve(config, overrides or ())
    if section:
        resolved.settings.part(section)
    keys = [key for key in resolved.origins if f"{key}.".startswith(f"{section}." if section else "")]
    values = {key: resolved.settings.part(key) for key in keys}
    if as_json:
        console.emit_json({key: {"value": values[key], "origin": resolved.origins[key]} for key in keys})
        return
    lines = {key: f"{key} = {_toml(values[key])}" for key in keys}
    width = max((len(line) for line in lines.values()), default=0)
    for key, line in lines.items():
        console.say(f"{line:<{width}}  # {resolved.origins[key]}")


@app.command()
def check(config: ConfigOption = None, overrides: SetOption = None, as_json: JsonOption = False) -> None:
    """Check the configuration: keys, types, bounds, the bases of strategies, the parameters of tables.

    Example: kairos config check --config kairos.toml
    """
    from kairos.equity import registry
    from kairos.settings import resolve

    resolved = resolve(config, overrides or ())
    registry.check(resolved.settings)
    changed = {key: origin for key, origin in resolved.origins.items() if origin != "default"}
    if as_json:
        console.emit_json(
            {"config": resolved.config, "digest": resolved.settings.digest(), "changed": changed}
        )
        return
    counts = [f"{count} from {origin}" for origin, count in Counter(changed.values()).items()]
    console.say(f"The configuration is valid: {', '.join(counts) or 'all defaults'}.")


def _key(name: str) -> str:
    """Write a key as TOML, quoted where it must be."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name)


def _toml(value: Any) -> str:
    """Write a value as TOML."""
    if value is None:
        return '""'
    if isinstance(value, dict):
        return (
            "{ " + ", ".join(f"{_key(key)} = {_toml(inside)}" for key, inside in value.items()) + " }"
            if value
            else "{}"
        )
    if isinstance(value, list):
        return "[" + ", ".join(_toml(inside) for inside in value) + "]"
    return json.dumps(value, ensure_ascii=False)
