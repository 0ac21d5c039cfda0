# Everything runs in .venv, which the first target that needs it makes from requirements.lock.
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=
# Tests share the cores: one thread each, at most four at a time. A process takes neighbours, so
# that what a file trains for all of its tests is trained once.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n logical --maxprocesses 4 --dist worksteal

.PHONY: train test test-all lint types docs lock clean

train: .venv/installed  ## Trains the default experiment; more overrides in ARGS="..."
	$(BIN)/seqfuse-train experiment=japanese_vowels $(ARGS)

test: .venv/installed  ## Tests of a second at most
	$(PYTEST) -m "not long and not slow" $(ARGS)

test-all: .venv/installed  ## All tests
	$(PYTEST) $(ARGS)

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/installed
	$(BIN)/pyright --pythonpath $(BIN)/python

docs: .venv/installed  ## Pages with search: site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet -f .github/mkdocs.yml

.venv/installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(not (3, 11) <= v <= (3, 13))' \
		|| { echo "seqfuse needs Python 3.11 to 3.13: type make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --require-hashes --no-deps --progress-bar off -r requirements.lock
	$(BIN)/python -m pip install --no-deps --no-build-isolation --quiet --editable .
	touch $@

lock:  ## Writes requirements.lock anew (needs uv): hashes, no addresses
	uv pip compile --universal --generate-hashes --no-header --no-annotate --python-version 3.11 \
		--extra all --extra dev --extra docs --upgrade pyproject.toml -o requirements.lock

clean:
	rm -rf .venv site .pytest_cache .ruff_cache .hypothesis
