# Everything a person or a machine does here, by name. `make` alone prints the list.
# Needs Python 3.11+, pip, make and git; all else goes into .venv, from lock files with hashes.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --no-input
# Twice quiet: errors only. The hashes make the source of a package irrelevant.
INSTALL := $(PIP) install -q -q --require-hashes --prefer-binary -r
# The editable install needs no build isolation: the build back end is in the lock files.
SELF   := $(PIP) install -q -q --no-deps --no-build-isolation -e .
ARGS   ?=
# One file's tests stay in one process, so a server started for a file is started once. In the order
# of the tree: by their number, files of few tests that are long would come last, one after another.
# Three on two cores, since half of the time they wait for processes they started.
PYTEST := $(BIN)/python -m pytest -n $(or $(WORKERS),3) --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help run install demo test test-long check format bench vectors errors-doc lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/.runtime ## start the service on SQLite (var/settlement.db) and print its addresses
	@$(BIN)/settlement serve $(ARGS)

install: $(VENV)/.runtime ## only the program and what it needs, in .venv: for a deployment

demo: $(VENV)/.runtime ## one deal from registration to a verified proof, told step by step
	@$(BIN)/settlement demo $(ARGS)

test: check ## lint, types, layers, then the whole suite on SQLite and PostgreSQL
	@echo "==> pytest"
	@$(PYTEST) $(ARGS)

test-long: $(VENV)/.dev ## the evidence that takes minutes: long races, kills, big state machines
	@$(PYTEST) -m long $(ARGS)

check: $(VENV)/.dev ## ruff, mypy, import-linter
	@echo "==> ruff"
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet . || { echo "Run 'make format'."; exit 1; }
	@echo "==> mypy"
	@$(BIN)/mypy --no-error-summary
	@echo "==> import-linter"
	@said=$$($(BIN)/lint-imports 2>&1) || { echo "$$said"; exit 1; }

format: $(VENV)/.dev ## let ruff fix and format the tree
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format .

bench: $(VENV)/.dev ## every performance figure (ARGS="NAME ..." for some of them)
	@$(BIN)/python -m bench $(ARGS)

vectors: $(VENV)/.runtime ## write the published conformance vectors anew (schemas/, data/)
	@$(BIN)/settlement vectors $(ARGS)

errors-doc: $(VENV)/.runtime ## write docs/errors.md anew from the error classes
	@$(BIN)/python scripts/generate_errors_doc.py

# PIP_CONFIG_FILE and PIP_FIND_LINKS: a private mirror's hashes must not get into the lock files.
COMPILE := env -u PIP_FIND_LINKS -u PIP_EXTRA_INDEX_URL PIP_CONFIG_FILE=/dev/null \
	$(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe --no-header --no-annotate \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host --extra build
lock: $(VENV)/.dev ## resolve the dependencies anew and write both lock files (ARGS=--upgrade)
	@$(COMPILE) $(ARGS) --strip-extras -o requirements.lock pyproject.toml
	@$(COMPILE) $(ARGS) --no-strip-extras --extra dev -c requirements.lock -o requirements-dev.lock pyproject.toml
	@sed -i.bak '/^#/d;/^$$/d' requirements.lock requirements-dev.lock
	@rm -f requirements.lock.bak requirements-dev.lock.bak

clean: ## remove the environment and the caches (never var/, where the data is)
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

# ------------------------------------------------------------------------------- the environment

$(BIN)/python:
	@echo "==> $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; name one with PYTHON=..."; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: requirements.lock pyproject.toml | $(BIN)/python
	@echo "==> $$(grep -c == requirements.lock) packages of requirements.lock (once, then never again)"
	@$(INSTALL) requirements.lock
	@$(SELF)
	@touch $@

$(VENV)/.dev: requirements-dev.lock requirements.lock pyproject.toml | $(BIN)/python
	@echo "==> $$(grep -c == requirements-dev.lock) packages of requirements-dev.lock (once, a minute or so)"
	@$(INSTALL) requirements-dev.lock
	@$(SELF)
	@touch $@ $(VENV)/.runtime
