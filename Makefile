# make sandbox   a ticket in a minute, with no account: sets everything up first
# make test      everything that must hold: lint, types, imports, tests
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
SCENARIO ?= normal

.PHONY: sandbox test lint unit all-tests soak bench clean

sandbox: $(VENV)/.installed
	@$(BIN)/eliot-broker sandbox --once --scenario $(SCENARIO)

test: $(VENV)/.developing lint
	@$(BIN)/pytest -q -n 2 -m "not slow and not system and not soak"
	@$(BIN)/pytest -q -n 4 -m "slow and not system and not soak"
	@$(BIN)/pytest -q -m "system and not soak"

lint: $(VENV)/.developing
	@$(BIN)/ruff format --check -q .
	@$(BIN)/ruff check -q .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

unit: $(VENV)/.developing
	@$(BIN)/pytest -q -n 2 -m "not slow and not system and not soak"

soak: $(VENV)/.developing
	@$(BIN)/pytest -q -m soak

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: Python 3.11 or later is needed, $(PYTHON) is `$(PYTHON) -V`"; echo "hint: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
	  { echo "error: this Python has no venv module"; echo "hint: on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml .ci/constraints.txt | $(VENV)/bin/python
	@$(BIN)/pip install -q --disable-pip-version-check -c .ci/constraints.txt -e .
	@touch $@

$(VENV)/.developing: pyproject.toml .ci/constraints.txt | $(VENV)/bin/python
	@$(BIN)/pip install -q --disable-pip-version-check -c .ci/constraints.txt -e '.[dev]'
	@touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build *.egg-info
