# Every target does its own set-up: a machine needs Python 3.11 or newer and make, nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SETUP := $(VENV)/.installed
ARGS ?=
MINUTES ?= 30

# Where the machine forbids bytecode, each of the hundred processes of a test run would compile everything anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup run serve test test-fast test-long test-chaos test-browser test-node test-real-data screenshots notebook notebooks docs lint format lock clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

setup: $(SETUP) ## create .venv with the locked packages

# uv is several times faster than pip; where the machine's registry settings are readable by pip alone, pip does it.
$(SETUP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Bonitas needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.9' || true
	$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --require-hashes -r requirements.lock \
	  || $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(SETUP)

run: $(SETUP) ## the main job: simulate, validate, load, train, serve, decide sample orders (ARGS=--once stops after the table)
	$(BIN)/bonitas run $(ARGS)

serve: $(SETUP) ## only the service, on what `make run` prepared
	$(BIN)/bonitas serve $(ARGS)

test: $(SETUP) ## everything the gate runs: lint, types, tests
	$(MAKE) --no-print-directory lint
	$(BIN)/python -m pytest -m "not real_data and not browser and not node" -n 2 --dist loadfile $(ARGS)

test-fast: $(SETUP) ## the tests that take seconds
	$(BIN)/python -m pytest -m "not real_data and not browser and not node and not slow and not postgresql" $(ARGS)

test-long: $(SETUP) ## the large proofs, whole and with fixed seeds (at most 90 minutes)
	BONITAS_LONG_PROOFS=1 $(BIN)/python -m pytest -m "long_proof" -n 2 --dist load $(ARGS)

test-chaos: $(SETUP) ## every fault under load (a quarter of an hour), then half an hour of mixed load (MINUTES=30)
	BONITAS_LONG_PROOFS=1 BONITAS_SOAK_MINUTES=$(MINUTES) $(BIN)/python -m pytest tests/serving/chaos $(ARGS)

test-browser: $(SETUP) ## the console and the merchant's form in a real Chromium (apt-get install chromium)
	$(BIN)/python -m pytest -m browser $(ARGS)

test-node: $(SETUP) ## a TypeScript client of the published contract (needs node; npm fetches four packages)
	$(BIN)/python -m pytest -m node $(ARGS)

screenshots: $(SETUP) ## the pictures in docs/, taken anew
	mkdir -p docs
	BONITAS_SCREENSHOTS=$(CURDIR)/docs $(BIN)/python -m pytest -m browser tests/browser/test_reviewers_day.py $(ARGS)

test-real-data: $(SETUP) ## the tests on public data: UCI (5 MB, fetched); gmsc and IEEE-CIS where they were fetched
	$(BIN)/python -m pytest -m real_data $(ARGS)

notebook: $(SETUP) ## open the notebooks in JupyterLab; their data lie in a temporary folder
	$(BIN)/jupyter lab --notebook-dir=notebooks $(ARGS)

# The order matters to readers only: each makes its own book in a temporary folder and removes it.
notebooks: $(SETUP) ## run all notebooks and store their outputs in notebooks/, nothing else in the tree
	$(BIN)/jupyter nbconvert --to notebook --execute --inplace --ExecutePreprocessor.record_timing=False $(ARGS) \
	  notebooks/*.ipynb

docs: $(SETUP) ## write the pages below docs/ that the code states
	$(BIN)/python -c 'import data_contracts.documentation as d; print(d.rules_between_rows_page(), end="")' > docs/rules_between_rows.md
	$(BIN)/python -c 'import serving.route_table as r; print(r.routes_page(), end="")' > docs/routes.md
	$(BIN)/python -c 'import serving.process.settings as s; print(s.settings_page(), end="")' > docs/settings.md
	$(BIN)/python -c 'import serving.events.event_permissions as p; print(p.event_permissions_page(), end="")' > docs/who_may_write_what.md

lint: $(SETUP) ## ruff (format and rules) and mypy --strict
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(SETUP) ## rewrite the code in the house format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: $(SETUP) ## resolve the dependencies anew into requirements.lock
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-header --no-annotate --output-file requirements.lock

clean: ## remove the virtual environment and what `make run` made
	rm -rf $(VENV) .bonitas
