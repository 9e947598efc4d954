"""Ask the index for known vulnerabilities of the locked packages, and say plainly what could not be asked.

It needs pip-audit and a package index; without them nothing is checked, which is said and is no failure.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

LOCK = Path(__file__).parents[1] / "requirements.lock"


def main() -> int:
    """Install pip-audit, run it, and say what it found: 1 with a known vulnerability, else 0."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries", "0"]
    if subprocess.run([*pip, "--timeout", "5", "pip-audit"], capture_output=True, check=False).returncode:
        return told("no package index can be reached, so pip-audit can't be installed")
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder) / "audit.json"
        audit = [sys.executable, "-m", "pip_audit", "--requirement", str(LOCK), "--disable-pip"]
        options = ["--require-hashes", "--progress-spinner", "off", "--timeout", "10", "--format", "json"]
        done = subprocess.run(
            [*audit, *options, "--output", str(found)], capture_output=True, text=True, check=False
        )
        if not found.is_file():
            return told(f"the service can't be reached: {done.stderr.strip()[-300:]}")
        packages = json.loads(found.read_text(encoding="utf-8"))["dependencies"]
    asked = [package for package in packages if "vulns" in package]
    if not asked:
        return told(f"the index knows nothing of vulnerabilities of any of the {len(packages)} packages")
    bad = [(package, known) for package in asked for known in package["vulns"]]
    for package, known in bad:
        mended = ", ".join(known["fix_versions"]) or "no version yet"
        say(f"{package['name']} {package['version']}: {known['id']}, mended in {mended}")
    say(f"{len(asked)} of {len(packages)} packages were checked: {len(bad)} known vulnerabilities")
    return 1 if bad else 0


def told(why: str) -> int:
    """Say that nothing was checked."""
    say(f"nothing was checked: {why}")
    return 0


def say(text: str) -> None:
    """Print a line of this check."""
    sys.stdout.write(f"audit-deps: {text}\n")


if __name__ == "__main__":
    sys.exit(main())
