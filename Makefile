# The two commands of the README are `make demo` and `make test`.
# Needed: make, Python 3.11 or newer, and a package index. Everything is installed into .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 2

# Modules are compiled when they are first imported: most of what is installed never is.
LOCKED_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes --requirement
SELF_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-annotate --no-header

.DEFAULT_GOAL := help
.PHONY: help demo test lint docs bench test-slow soak fuzz test-cloud test-real audit-deps lock clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' Makefile | awk -F ':.*## ' '{ printf "  make %-10s %s\n", $$1, $$2 }'

# The environment: first what a user needs, then what the checks need; each is installed once per lock.

$(VENV)/python-is-new-enough:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Kairos needs Python 3.11 or newer, and '$(PYTHON)' is not. Try: make PYTHON=python3.12" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/installed: requirements.lock pyproject.toml | $(VENV)/python-is-new-enough
	$(LOCKED_INSTALL) requirements.lock
	$(SELF_INSTALL)
	@touch $@

$(VENV)/installed-dev: requirements-dev.lock $(VENV)/installed
	$(LOCKED_INSTALL) requirements-dev.lock
	@touch $@

demo: $(VENV)/installed ## simulated market → tables → backtest → report
	$(BIN)/kairos demo --out demo

test: lint docs ## every check: style, types, documentation, tests
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile -m "not realdata and not bench and not slow and not soak and not fuzz"

lint: $(VENV)/installed-dev ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/installed-dev ## the documentation, into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

bench: $(VENV)/installed-dev ## speed and memory at scale
	$(BIN)/python -m pytest -q -s -m bench

test-slow: $(VENV)/installed-dev ## tests that need minutes
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile -m slow

soak: $(VENV)/installed-dev ## intervals and tests of both desks against a known truth
	$(BIN)/python -m pytest -q -rP -n $(WORKERS) --dist loadfile -m soak

fuzz: $(VENV)/installed-dev ## readers meet any bytes (KAIROS_FUZZ_EXAMPLES of each)
	$(BIN)/python -m pytest -q -n $(WORKERS) -m fuzz

test-cloud: $(VENV)/installed-dev ## tests on a local S3-compatible server and on Ray, which are installed for them
	$(BIN)/python -m pip install --quiet --disable-pip-version-check s3fs 'moto[server]' ray
	$(BIN)/python -m pytest -q -m "slow or not slow" tests/remote tests/executor

test-real: $(VENV)/installed-dev ## tests on real market data (KAIROS_REAL_DATA names the folder)
	$(BIN)/python -m pytest -q -m realdata

audit-deps: $(VENV)/installed-dev ## known vulnerabilities of the locked packages
	@$(BIN)/python .ci/audit.py

lock: $(VENV)/installed-dev ## resolve the dependencies anew
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	printf 'hatchling>=1.27\neditables>=0.5\n' | $(COMPILE) --upgrade --extra adr pyproject.toml - --output-file requirements.lock
	$(COMPILE) --upgrade --extra adr --extra dev pyproject.toml --constraint requirements.lock --output-file requirements-dev.lock

clean: ## remove what the targets made, except the environment and data/
	rm -rf site demo bench-out build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find src tests docs -type d -name __pycache__ -prune -exec rm -rf {} +
