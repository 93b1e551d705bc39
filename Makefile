# Everything works from a fresh clone with nothing but Python 3.11 or newer and pip.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.ready
# One thread a process: more than there are free cores makes every step many times slower.
export OMP_NUM_THREADS ?= 1
export FLWR_TELEMETRY_ENABLED := 0
export FLWR_DISABLE_UPDATE_CHECK := 1

.PHONY: setup demo test check lint docs protos study clean
.DELETE_ON_ERROR:

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt "torch==2.13.0"
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $@

demo: setup
	$(BIN)/fedshow demo --out demo

# Each of these in a process of its own, two at a time, the longest first.
SUITES := benchmarks client browser server docs end_to_end shared integrations

test: setup
	$(MAKE) --no-print-directory --keep-going --jobs=2 --output-sync=target $(SUITES:%=test-%)

test-%: setup
	$(BIN)/python -m pytest tests/$*

# The one check command, fastest step first: format, lint, types, layers, generated code, tests.
check: lint test

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check --output-format concise .
	$(BIN)/mypy
	$(BIN)/lint-imports
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m tests.generated_code

# The docs as a site, in build/site. Nothing is fetched for it.
docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

protos: setup
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m grpc_tools.protoc -Iprotos --python_out=shared \
	  --grpc_python_out=shared --mypy_out=shared --mypy_grpc_out=shared protos/fedshow/v1/*.proto

# Measures, prints a table and writes benchmarks/results/NAME.json, e.g. `make bench-demo`.
bench-%: setup
	$(BIN)/python -m benchmarks.$*

# The claims of Mix-of-Show repeated: writes docs/study.md. It goes on where it was stopped.
study: bench-study

clean:
	rm -rf .venv build dist demo .mypy_cache .ruff_cache .pytest_cache
