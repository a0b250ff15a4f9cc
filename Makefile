# Everything a developer or a CI machine runs. `make` alone lists the targets.
PYTHON ?= python3
WORKERS ?= 2
PYTEST_ARGS ?=
# The versions that are installed; constraints-lowest.txt has the lowest of each range.
CONSTRAINTS ?= constraints.txt
# What a change most often breaks, at little cost: the shape of the tree, the units that need no training, threads or server,
# and every method against the oracle and the invariants.
QUICK := tests/architecture $(addprefix tests/unit/,config reduce kernels model data words explain runtime/test_engine.py) \
	$(addprefix tests/contract/,test_oracle.py test_invariants.py test_really_gone.py test_protected.py test_checkpoint.py)

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Lies beside the environment while one is being made; found at the start of a run, the last run was cut off.
HALF_MADE := .venv.incomplete

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# Models come from folders and packages; nothing is fetched from a hub.
export HF_HUB_OFFLINE := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Scripts of the environment are run by path; what the caller has on PYTHONPATH must not shadow what was installed.
unexport PYTHONPATH

# A stamp beside an interpreter that no longer starts, or beside a half-made environment, is worth nothing.
ifneq ($(shell $(BIN)/python -c 'print("ok")' 2>/dev/null)$(wildcard $(HALF_MADE)),ok)
.PHONY: $(STAMP)
endif

.PHONY: help
help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-11s %s\n", $$1, $$2}'

.PHONY: setup
setup: $(STAMP)  ## make .venv with the package and all it needs (PYTHON=python3.12 picks the interpreter)
	@echo "$(VENV) is ready"

# torch comes first and alone, so that pip takes the CPU build wherever one is offered under the pinned version.
$(STAMP): pyproject.toml $(CONSTRAINTS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "tokensieve needs Python 3.11 or newer; $(PYTHON) is " + sys.version.split()[0] + ": make setup PYTHON=python3.11")'
	@if [ -e $(HALF_MADE) ] || ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
		touch $(HALF_MADE); \
		echo "making $(VENV)"; \
		$(PYTHON) -m venv --clear $(VENV); \
	fi
	@touch $(HALF_MADE)
	$(BIN)/python -m pip install -c $(CONSTRAINTS) torch
	$(BIN)/python -m pip install -c $(CONSTRAINTS) -e '.[all,dev]'
	@touch $@
	@rm -f $(HALF_MADE)

.PHONY: check
check: $(STAMP)  ## lint, format, types and import order
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

# One thread a worker: with more, the workers fight over the cores. Slow files go first (see tests/conftest.py).
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS)

.PHONY: quick
quick: $(STAMP)  ## the tests to run before each commit, in under two minutes
	$(PYTEST) -m "not slow and not variant" $(QUICK) $(PYTEST_ARGS)

.PHONY: coverage
coverage: $(STAMP)  ## lines and branches that unit and contract tests run; fails below fail_under in pyproject.toml
	$(PYTEST) -m "not variant" --cov --cov-report term:skip-covered tests/unit tests/contract $(PYTEST_ARGS)

.PHONY: test
test: check  ## set-up, checks and all tests (PYTEST_ARGS='-k ragged' picks some)
	$(PYTEST) --dist loadfile --no-loadscope-reorder --durations 15 $(PYTEST_ARGS)

.PHONY: test-all
test-all:  ## as test, and every family of backbones with every variant of the settings
	$(MAKE) test PYTEST_ARGS="--all $(PYTEST_ARGS)"

.PHONY: demo
demo: $(STAMP)  ## train a dense classifier, a cascade and a bag of words on the embedded corpus, and compare them
	$(BIN)/tokensieve demo

# Nitpicky, and warnings are errors: a link that leads nowhere, a page that is in no list. Nothing is downloaded.
.PHONY: docs
docs: $(STAMP)  ## build the site into build/docs
	$(BIN)/python -m sphinx -q -W --keep-going -n docs build/docs
	@echo "build/docs/index.html"

.PHONY: leaderboard
leaderboard: $(STAMP)  ## make the tables that compare the methods, of the records in results/methods
	$(BIN)/python -m tokensieve_bench.report --leaderboard

.PHONY: wheel
wheel: $(STAMP)  ## build the wheel into dist/
	$(BIN)/python -m build --wheel

.PHONY: format
format: $(STAMP)  ## rewrite the code as the linters want it
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: clean
clean:  ## remove build products and caches
	rm -rf build dist .coverage .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find src benchmarks tests -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: distclean
distclean: clean  ## remove .venv too
	rm -rf $(VENV) $(HALF_MADE)
