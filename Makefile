# Everything works from a fresh clone with nothing but Python 3.11 or newer and pip.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.ready
# One thread a process: more than there are free cores makes every step many times slower.
export OMP_NUM_THREADS ?= 1
export FLWR_TELEMETRY_ENABLED := 0
export FLWR_DISABLE_UPDATE_CHECK := 1

.PHONY: setup demo test check lint docs protos release containers study clean
.PHONY: help hooks release-check
.DELETE_ON_ERROR:

# This list.
help:
	@awk '/^# /{if (!said) said = substr($$0, 3); next} \
	  /^[a-z][a-z%-]*:/{if (said) {split($$1, name, ":"); printf "make %-14s %s\n", name[1], said}} {said = ""}' Makefile

# Sets up .venv with everything, from constraints.txt.
setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt "torch==2.13.0"
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $@

# The main job on the embedded base, over loopback; leaves demo/grid.png.
demo: setup
	$(BIN)/fedshow demo --out demo

# Each of these in a process of its own, two at a time, the longest first.
SUITES := benchmarks client browser server docs end_to_end shared integrations distribution

# Every test.
test: setup
	$(MAKE) --no-print-directory --keep-going --jobs=2 --output-sync=target $(SUITES:%=test-%)

# One suite, e.g. `make test-client`.
test-%: setup
	$(BIN)/python -m pytest tests/$*

# The one check command, fastest step first: format, lint, types, layers, images, generated code, tests.
check: lint test

# Everything of `make check` but the tests.
lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check --output-format concise .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint docker/*.Dockerfile
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker/compose.yaml
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m tests.generated_code

# The docs as a site, in build/site. Nothing is fetched for it.
docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

# Generates shared/fedshow/v1 anew after a change in protos/.
protos: setup
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m grpc_tools.protoc -Iprotos --python_out=shared \
	  --grpc_python_out=shared --mypy_out=shared --mypy_grpc_out=shared protos/fedshow/v1/*.proto

# Wheel, sdist, bill of materials and sums in dist/, of what is committed: built twice, looked through,
# installed in a clean environment and tried there. Ten minutes.
release: setup
	$(BIN)/python -m distribution

# The steps of docker/*.Dockerfile in new root file systems, without a container engine, and a server and a
# client of what they make. As root, with debootstrap; a quarter of an hour.
containers: setup
	$(BIN)/python -m distribution.images

# Measures, prints a table and writes benchmarks/results/NAME.json, e.g. `make bench-demo`.
bench-%: setup
	$(BIN)/python -m benchmarks.$*

# The claims of Mix-of-Show repeated: writes docs/study.md; with IMAGES=, BASE= and ENCODER= on your own pictures.
study: setup
	$(BIN)/python -m benchmarks.study \
	  $(if $(IMAGES),--images "$(IMAGES)" --base "$(BASE)" --encoder "$(ENCODER)")

# The list before a release, item by item, each with what to do; tags nothing.
release-check: setup
	$(BIN)/python -m distribution.checklist

# Runs the quick checks at every commit and the slow ones at every push, by pre-commit.
hooks: setup
	$(BIN)/pre-commit install --hook-type pre-commit --hook-type pre-push

# Takes away everything that was made here.
clean:
	rm -rf .venv build dist demo .mypy_cache .ruff_cache .pytest_cache
