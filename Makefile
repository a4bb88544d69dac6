# `make demo` and `make test` need Python >= 3.11, git and make; all else is set up here, in .venv.

SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt
DATA := examples/ecommerce/data/online-retail-2010-12.csv.gz
# What pytest is to do otherwise: make test PYTEST_ARGS="-m 'not cluster'"
PYTEST_ARGS ?=

.PHONY: demo test lint soak setup reference constraints clean

demo: $(VENV)/installed-all  ## Replay a month of shop data through event streams and their read side on a real Cassandra
	$(BIN)/cassorm node run -- $(BIN)/python -m examples.ecommerce replay --data $(DATA) --from both

test: setup  ## Every test, on a real Cassandra that it starts itself: one for each of two processes
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

lint: setup  ## Style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

soak: setup  ## The fault tests in their long form, an hour of crashes, races and cancellations; a stream of a million
	CASSORM_SOAK=1 $(BIN)/python -m pytest tests/faults tests/flows/test_shop_on_a_node.py $(PYTEST_ARGS)
	$(BIN)/cassorm bench soak --minutes 15
	$(BIN)/cassorm bench soak --minutes 15 --nodes 3
	$(BIN)/cassorm bench load --local

setup: $(VENV)/installed-dev  ## A virtual environment with everything that development needs

$(VENV)/installed-%: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) -e '.[$*]'
	@touch $@

$(BIN)/python:
	@for python in $(PYTHON) python3.13 python3.12 python3.11 python3 python; do \
	  "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
	  found=$$python; \
	  "$$python" -m venv --clear $(VENV) && echo "$(VENV) with $$($(BIN)/python --version)" && exit; \
	  rm -rf $(VENV); \
	done; \
	if [ "$$found" ]; then \
	  echo "cassorm: $$found cannot make a virtual environment; on Debian and Ubuntu: apt install python3-venv" >&2; \
	else \
	  echo "cassorm: no Python >= 3.11 here; install one, or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python" >&2; \
	fi; \
	exit 1

reference: setup  ## Write docs/reference/names.md from the docstrings
	$(BIN)/python -m tests.docs.reference

constraints:  ## Take the newest versions of everything into constraints.txt
	rm -rf build/constraints && python3 -m venv build/constraints
	build/constraints/bin/pip install --quiet --disable-pip-version-check '.[dev]'
	{ sed '/^[^#]/,$$d' constraints.txt; build/constraints/bin/pip freeze --exclude cassorm; } > build/constraints.txt
	mv build/constraints.txt constraints.txt

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
