# make sandbox   a ticket in a minute, with no account: sets everything up first
# make test      everything that must hold: lint, types, imports, tests
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
SCENARIO ?= normal

PROVIDERS := tests/providers

# hundreds of processes are started here: where nothing compiled may be kept, each compiles all of broker/ anew
unexport PYTHONDONTWRITEBYTECODE

.PHONY: sandbox providers test slow system lint unit all-tests soak system-257 bench bench-table peers drill-figure drill-months clean

sandbox: $(VENV)/.installed
	@$(BIN)/eliot-broker sandbox --once --scenario $(SCENARIO)

# slow and system run side by side: a systemd in a lab mostly waits, and goes first where it does not
test: $(VENV)/.developing providers lint unit
	@echo "the slow tests and those in a real systemd, side by side: some minutes" >&2
	@$(MAKE) --no-print-directory -j2 -Otarget slow system
	@$(BIN)/pytest -q -m "alone and not soak"

slow: $(VENV)/.developing providers
	@nice -n 5 $(BIN)/pytest -q -n 4 --dist worksteal -m "slow and not system and not alone and not soak"

system: $(VENV)/.developing
	@$(BIN)/pytest -q -m "system and not alone and not soak"

lint: $(VENV)/.developing
	@$(BIN)/ruff format --check -q .
	@$(BIN)/ruff check -q .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

unit: $(VENV)/.developing
	@$(BIN)/pytest -q -n 2 -m "not slow and not system and not alone and not soak"

bench: $(VENV)/.developing peers
	@$(BIN)/python -m tests.benchmarks $(PART)

# the same, and its chapter of the README written anew
bench-table: $(VENV)/.developing peers
	@$(BIN)/python -m tests.benchmarks --readme README.md

# what the benchmarks are measured beside; what is missing, and cannot be installed, is left out of the table
peers:
	@missing=; for need in cc:gcc git:git curl:curl taskset:util-linux oidc-agent:oidc-agent-cli; do \
	  command -v $${need%%:*} >/dev/null || missing="$$missing $${need##*:}"; done; \
	[ -e /usr/include/oidc-agent/api.h ] || missing="$$missing liboidc-agent-dev"; \
	if [ -n "$$missing" ] && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  apt-get update -qq && apt-get install -qq -y --no-install-recommends $$missing >/dev/null && missing=; fi; \
	[ -z "$$missing" ] || { echo "note: not installed:$$missing"; echo "hint: apt-get install$$missing"; }

# the tables of the README's "Simulated", printed and written there: five minutes, always the same figures
plan-table: $(VENV)/.developing
	@$(BIN)/python -m tests.benchmarks.planning README.md

# a hundred simulated years for three seeds into the README, and ten years of tickets of five minutes for one; broken off,
# it goes on where it was (YEARS=10 for less)
YEARS ?= 100
drill-figure: $(VENV)/.installed
	@$(BIN)/python -m broker.drill.figure --years $(YEARS) --into README.md
	@$(BIN)/python -m broker.drill.figure --years 10 --ticket-seconds 300 --life-years 1 --seeds 1 --into README.md

# A thousand hostile months; can be broken off and gone on with. `soak` plays them beside its tests
MONTHS ?= 6000 7000
drill-months: $(VENV)/.installed
	@$(BIN)/python -m broker.drill.months $(MONTHS)

soak: $(VENV)/.developing providers drill-months
	@$(BIN)/pytest -q -m soak

# The system tests under Debian 13's systemd and Python; as root, with mmdebstrap (15 s and 210 MB for its files, once)
ROOT_257 ?= /var/cache/eliot-broker-lab/trixie
system-257: $(VENV)/.developing
	@tests/system/make-root $(ROOT_257)
	@ELIOT_LAB_ROOT=$(ROOT_257) $(BIN)/pytest -q tests/system

# OpenID providers that others wrote, which the login is tested against; without npm those tests are skipped
providers: $(PROVIDERS)/node_modules/.installed $(PROVIDERS)/.venv/.installed

$(PROVIDERS)/node_modules/.installed: $(PROVIDERS)/package.json $(PROVIDERS)/package-lock.json
	@if command -v npm >/dev/null; then cd $(PROVIDERS) && npm ci --silent --no-progress && touch node_modules/.installed; \
	  else echo "note: there is no npm; the tests against npm's providers cannot run"; fi

$(PROVIDERS)/.venv/.installed: $(PROVIDERS)/requirements.txt
	@$(PYTHON) -m venv $(PROVIDERS)/.venv
	@$(PROVIDERS)/.venv/bin/pip install -q --disable-pip-version-check -r $(PROVIDERS)/requirements.txt
	@touch $@

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: Python 3.11 or later is needed, $(PYTHON) is `$(PYTHON) -V`"; echo "hint: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
	  { echo "error: this Python has no venv module"; echo "hint: on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml .ci/constraints.txt | $(VENV)/bin/python
	@echo "installing into $(VENV), once; half a minute or so" >&2
	@$(BIN)/pip install -q --disable-pip-version-check -c .ci/constraints.txt -e '.[qr]'
	@touch $@

$(VENV)/.developing: pyproject.toml .ci/constraints.txt | $(VENV)/bin/python
	@$(BIN)/pip install -q --disable-pip-version-check -c .ci/constraints.txt -e '.[dev]'
	@touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build *.egg-info $(PROVIDERS)/.venv $(PROVIDERS)/node_modules
