# Clarion's verbs. Each sets up what it needs by itself; the second time that costs nothing.
#
# Needed: Python 3.11 or newer, pip and make. `make demo PYTHON=/path/to/python3.12` names another Python.

VENV   := .venv
RUN    := $(VENV)/bin
PIP    := $(RUN)/python -m pip install --quiet --disable-pip-version-check --progress-bar off
PYTEST := $(RUN)/python -m pytest
PYTHON ?=
# In so many processes the fast tests run; 0: in one, which shows what they print.
PROCESSES ?= 2
# The newsletter engine listmonk, a program that nobody has by chance: without it that bench is left out.
CLARION_BENCH_LISTMONK ?=
BENCHES := $(filter-out $(if $(CLARION_BENCH_LISTMONK),,bench/listmonk.py),$(sort $(wildcard bench/[a-z]*.py)))

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test check format bench docs test-browser test-slow test-faults test-servers lock clean

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.runtime  ## Run the whole job on sample data, on this machine
	@$(RUN)/clarion demo

test: $(VENV)/.development  ## Run the fast tests, on a real PostgreSQL and a real Valkey
	@$(PYTEST) -q -n $(PROCESSES) --dist loadfile

check: $(VENV)/.development  ## Check format, lint, types, import arrows and the generated reference
	$(RUN)/ruff format --check --quiet .
	$(RUN)/ruff check --quiet .
	$(RUN)/mypy --no-error-summary
	$(RUN)/lint-imports --no-logo
	$(RUN)/python docs/generate.py --check

format: $(VENV)/.development  ## Bring every file into the house's format
	$(RUN)/ruff format .
	$(RUN)/ruff check --fix .

bench: $(VENV)/.development  ## Measure, and print the figures
	@failed=0; for script in $(BENCHES); do \
	  echo "== $$script"; PYTHONPATH=. $(RUN)/python "$$script" || failed=1; \
	done; exit $$failed

docs: $(VENV)/.development  ## Write docs/reference/ from the code
	$(RUN)/python docs/generate.py

test-browser: $(VENV)/.development  ## Open the pages in headless Chromium (must be installed)
	@command -v chromium chromium-browser google-chrome google-chrome-stable >/dev/null || \
	  { echo "make test-browser needs Chromium on PATH (Debian: apt-get install chromium)" >&2; exit 1; }
	@$(PYTEST) -q -m browser

test-slow: $(VENV)/.development  ## Run the load tests (minutes)
	@$(PYTEST) -q -m slow

test-faults: $(VENV)/.development  ## Kill workers, restart databases, cut connections, and count (minutes)
	@$(PYTEST) -q -s -m faults

test-servers: $(VENV)/.development  ## Deliver through a real Postfix, and let SpamAssassin and OpenDKIM judge, fetch from a real Dovecot
	@$(PYTEST) -q -s -rs -m servers

# Only what the package registry serves gets into a lock: local wheel folders would add hashes nobody else has.
COMPILE = PIP_FIND_LINKS= CUSTOM_COMPILE_COMMAND="make lock" $(RUN)/pip-compile --quiet --generate-hashes \
  --allow-unsafe --all-build-deps --strip-extras --no-emit-index-url --no-emit-find-links \
  --no-emit-trusted-host --no-emit-options

lock: $(VENV)/.development  ## Write the lock files anew from pyproject.toml (`make lock UPGRADE=--upgrade`)
	$(COMPILE) $(UPGRADE) --output-file requirements.lock pyproject.toml
	$(COMPILE) $(UPGRADE) --extra dev --constraint requirements.lock --output-file requirements-dev.lock pyproject.toml

clean:  ## Remove the virtual environment and every cache
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- set-up ----------------------------------------------------------------------------------------------

# A virtual environment of a Python that is new enough. Where the system leaves `ensurepip` out (Debian without
# python3-venv), pip is brought in from outside.
$(RUN)/python:
	@for candidate in $(PYTHON) python3 python3.13 python3.12 python3.11; do \
	  if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found=$$candidate; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "Clarion needs Python 3.11 or newer, and found none. Install it, or name it: make $(MAKECMDGOALS) PYTHON=…" >&2; exit 1; \
	fi; \
	echo "Setting up $(VENV) with $$("$$found" --version) …" >&2; \
	"$$found" -m venv --clear $(VENV) >/dev/null 2>&1 || { \
	  "$$found" -m venv --clear --without-pip $(VENV) && \
	  "$$found" -m pip --python $(VENV)/bin/python install --quiet --disable-pip-version-check pip; \
	} || { \
	  rm -rf $(VENV); \
	  echo "$$found can neither make a virtual environment nor run pip; install both (Debian: apt-get install python3-venv)" >&2; exit 1; \
	}

$(VENV)/.runtime: requirements.lock pyproject.toml | $(RUN)/python
	@echo "Installing the packages of requirements.lock …" >&2
	@$(PIP) --require-hashes --requirement requirements.lock
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.development: requirements-dev.lock $(VENV)/.runtime
	@echo "Installing the packages of requirements-dev.lock …" >&2
	@$(PIP) --require-hashes --requirement requirements-dev.lock
	@touch $@
