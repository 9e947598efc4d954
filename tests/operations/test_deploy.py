"""Files that operate Kairos: container, cron, systemd, the nightly script, shell completion."""

from __future__ import annotations

import configparser
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from kairos.cli import app

REPOSITORY = Path(__file__).parents[2]
DEPLOY = REPOSITORY / "deploy"
GUIDE = REPOSITORY / "docs" / "guides" / "nightly.md"
SCRIPT = "/srv/kairos/nightly.sh"

UNIT = {"Description", "Documentation", "Wants", "After"}
SECTIONS = {
    "kairos-nightly.service": {
        "Unit": UNIT,
        "Service": {
            *("Type", "User", "ExecStart", "TimeoutStartSec", "Nice", "NoNewPrivileges", "PrivateTmp"),
            *("ProtectSystem", "ReadWritePaths"),
        },
    },
    "kairos-nightly.timer": {
        "Unit": UNIT,
        "Timer": {"OnCalendar", "Persistent"},
        "Install": {"WantedBy"},
    },
}
"""What systemd.unit(5), .service(5), .exec(5) and .timer(5) know, as far as it is used."""

INSTRUCTIONS = {"FROM", "WORKDIR", "RUN", "COPY", "ENV", "USER", "VOLUME", "HEALTHCHECK", "ENTRYPOINT", "CMD"}


def need(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed")
    return found


def unit(name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string((DEPLOY / name).read_text(encoding="utf-8"))
    return parser


def assert_command(words: list[str]) -> None:
    """Find the command and each of its options in the application."""
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    known = {name for param in command.params for name in param.opts}
    assert {word for word in words if word.startswith("--")} <= known


def test_the_guide_quotes_the_files() -> None:
    page = GUIDE.read_text(encoding="utf-8")
    names = sorted(path.name for path in DEPLOY.iterdir())
    assert names == ["crontab", "kairos-nightly.service", "kairos-nightly.timer", "nightly.sh"]
    for name in names:
        assert f"\n{(DEPLOY / name).read_text(encoding='utf-8')}```" in page, name


def test_the_nightly_script_is_sound_and_its_commands_exist() -> None:
    script = DEPLOY / "nightly.sh"
    assert os.access(script, os.X_OK)
    subprocess.run(["sh", "-n", str(script)], check=True)
    lines = [line for line in script.read_text(encoding="utf-8").splitlines() if line.startswith("kairos ")]
    assert len(lines) == 4
    for line in lines:
        assert_command(shlex.split(line, comments=True)[1:])


def test_the_nightly_script_stops_at_the_first_failure(tmp_path: Path) -> None:
    """With a `kairos` that notes how it is called: in order, with the key, and not past a failure."""
    place = tmp_path / "srv"
    (place / ".venv/bin").mkdir(parents=True)
    (place / ".venv/bin/activate").write_text(f"PATH={place}/.venv/bin:$PATH\n")
    (place / "nightly.env").write_text("NASDAQ_DATA_LINK_API_KEY=abc\n")
    fake = place / ".venv/bin/kairos"
    fake.write_text(
        f'#!/bin/sh\necho "$NASDAQ_DATA_LINK_API_KEY $1 $2" >> {place}/calls\n'
        'case "$2" in update) exit "${FAIL:-0}";; esac\n'
    )
    fake.chmod(0o755)
    script = (DEPLOY / "nightly.sh").read_text(encoding="utf-8").replace("/srv/kairos", str(place))
    calls = ["abc doctor --db", "abc equity download", "abc equity update", "abc equity status"]
    assert subprocess.run(["sh", "-c", script], check=False).returncode == 0
    assert (place / "calls").read_text().splitlines() == calls
    (place / "calls").unlink()
    assert subprocess.run(["sh", "-c", script], env={**os.environ, "FAIL": "1"}, check=False).returncode == 1
    assert (place / "calls").read_text().splitlines() == calls[:3]


@pytest.mark.parametrize("name", SECTIONS)
def test_units_have_known_sections_and_keys(name: str) -> None:
    found = unit(name)
    assert found.sections() == list(SECTIONS[name])
    for section, known in SECTIONS[name].items():
        assert set(found[section]) <= known


def test_the_service_runs_the_script_and_the_timer_the_service() -> None:
    service = unit("kairos-nightly.service")["Service"]
    assert service["ExecStart"] == SCRIPT
    assert (DEPLOY / "nightly.sh").read_text(encoding="utf-8").splitlines()[1] == f"# {SCRIPT}"
    assert service["ReadWritePaths"] == str(Path(SCRIPT).parent)
    assert unit("kairos-nightly.timer")["Timer"]["OnCalendar"] == "Tue..Sat 01:30 America/New_York"


def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    analyze = need("systemd-analyze")
    script = shutil.copy(DEPLOY / "nightly.sh", tmp_path)
    for name in SECTIONS:
        text = (DEPLOY / name).read_text(encoding="utf-8").replace(SCRIPT, str(script))
        (tmp_path / name).write_text(text)
    verified = subprocess.run(
        [analyze, "verify", *(str(tmp_path / name) for name in SECTIONS)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (verified.returncode, verified.stderr) == (0, "")
    calendar = unit("kairos-nightly.timer")["Timer"]["OnCalendar"]
    subprocess.run([analyze, "calendar", calendar], check=True, stdout=subprocess.DEVNULL)


FIELDS = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 7)]
"""Bounds of minute, hour, day of the month, month, day of the week: crontab(5)."""


def is_cron_field(text: str, low: int, high: int) -> bool:
    """A list of stars, numbers and ranges, each with an optional step."""
    for part in text.split(","):
        found = re.fullmatch(r"(?:\*|(\d+)(?:-(\d+))?)(?:/([1-9]\d*))?", part)
        if found is None:
            return False
        first, last = (int(number) if number else None for number in found.groups()[:2])
        bounds = [number for number in (first, last) if number is not None]
        if not all(low <= number <= high for number in bounds) or bounds != sorted(bounds):
            return False
    return True


@pytest.mark.parametrize(("text", "valid"), [("*/5", True), ("60", False), ("6-2", False), ("1,2-3", True)])
def test_a_cron_field_is_judged(text: str, valid: bool) -> None:
    assert is_cron_field(text, 0, 59) is valid


def test_cron_lines_are_valid() -> None:
    variable, line = (DEPLOY / "crontab").read_text(encoding="utf-8").splitlines()
    assert variable == "CRON_TZ=America/New_York"
    *fields, command = line.split(maxsplit=5)
    assert len(fields) == 5
    assert all(is_cron_field(text, *bounds) for text, bounds in zip(fields, FIELDS, strict=True))
    assert shlex.split(command)[0] == SCRIPT
    assert "%" not in command  # cron would make it a line break


# The container


def instructions() -> Iterator[tuple[str, str]]:
    text = (REPOSITORY / "Containerfile").read_text(encoding="utf-8")
    joined = re.sub(r"\\\n\s*", " ", re.sub(r"(?m)^#.*\n", "", text))
    for line in filter(None, joined.splitlines()):
        word, _, rest = line.partition(" ")
        yield word, rest


def test_the_container_file_is_made_of_known_instructions() -> None:
    found = list(instructions())
    assert {word for word, _ in found} == INSTRUCTIONS
    assert found[0][0] == "FROM"


def test_base_images_are_pinned_and_the_same() -> None:
    bases = {rest.split()[0] for word, rest in instructions() if word == "FROM"}
    (base,) = bases
    assert re.fullmatch(r"docker\.io/library/python:3\.\d+\.\d+-slim-[a-z]+", base)
    minor = int(base.split(":3.")[1].split(".")[0])
    assert minor >= 11


def test_what_is_copied_exists_and_is_sent_to_the_builder() -> None:
    listed = (REPOSITORY / ".dockerignore").read_text(encoding="utf-8").splitlines()
    sent = {line[1:] for line in listed if line.startswith("!")}
    copied = [rest.split()[:-1] for word, rest in instructions() if word == "COPY" and "--from" not in rest]
    names = {name for sources in copied for name in sources}
    assert [name for name in names if not (REPOSITORY / name).exists()] == []
    assert names == sent
    assert "*" in listed


def test_the_container_has_no_rights_and_no_secret() -> None:
    found = list(instructions())
    last_user = next(rest for word, rest in reversed(found) if word == "USER")
    after = [word for word, _ in found[found.index(("USER", last_user)) :]]
    assert last_user == "kairos"
    assert "RUN" not in after
    assert not any(re.search(r"KEY|SECRET|TOKEN|PASSWORD", rest) for _, rest in found)
    installs = [rest for word, rest in found if word == "RUN" and "pip install" in rest]
    assert all("--require-hashes" in rest or "--no-deps" in rest for rest in installs)


def test_the_container_runs_existing_commands() -> None:
    found = dict(instructions())
    assert found["ENTRYPOINT"] == '["kairos"]'
    health = re.search(r"CMD \[(.*)\]$", found["HEALTHCHECK"])
    assert health is not None
    program, *words = [word.strip(' "') for word in health[1].split(",")]
    assert program == "kairos"
    assert_command(words)


# Completion


@pytest.fixture(scope="module")
def completion(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """The script for bash, and an environment with a `kairos` on the path."""
    folder = tmp_path_factory.mktemp("completion")
    program = folder / "kairos"
    program.write_text(f"#!{sys.executable}\nfrom kairos.cli import main\nmain()\n")
    program.chmod(0o755)
    environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
    source = {**environment, "_KAIROS_COMPLETE": "source_bash"}
    text = subprocess.run([program], env=source, capture_output=True, text=True, check=True).stdout
    script = folder / "kairos.bash"
    script.write_text(text)
    return script, environment


def test_the_script_of_bash_is_valid(completion: tuple[Path, dict[str, str]]) -> None:
    script, _ = completion
    assert "complete -o default -F" in script.read_text()
    subprocess.run([need("bash"), "-n", str(script)], check=True)


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("kairos equ", ["equity"]),
        ("kairos equity ing", ["ingest"]),
        ("kairos adr evaluate-", ["evaluate-signal"]),
    ],
)
def test_bash_completes_commands(
    completion: tuple[Path, dict[str, str]], typed: str, offered: list[str]
) -> None:
    script, environment = completion
    words = typed.split()
    shell = (
        f"source {script}; COMP_WORDS=({typed}); COMP_CWORD={len(words) - 1}; "
        '_kairos_completion kairos; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    found = subprocess.run(
        [need("bash"), "--norc", "-c", shell], env=environment, capture_output=True, text=True, check=True
    )
    assert found.stdout.split() == offered
