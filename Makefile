# Everything a person or CI calls; `make help` lists it.

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
INSTALLED := .venv/.installed
WORKERS ?= 2

.PHONY: help setup demo test test-slow check wrappers bench kafka kafka-jars official-clients clean

help: ## Show what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

$(INSTALLED): pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; name it: make PYTHON=/path/to/python3" >&2; exit 78; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[local,aws,dev]'
	@touch $@

setup: $(INSTALLED) wrappers ## Virtual environment, packages, generated wrappers

wrappers: $(INSTALLED) ## Generate the CLI wrappers and the reference
	@$(BIN)/python generate_cli_wrappers.py

demo: setup ## The main job on a local instance, printing every command
	@PATH="$(CURDIR)/$(BIN):$$PATH" bash examples/first_steps/demo.sh

test: setup ## The suite, under five minutes on two cores
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup -q -m "not slow"

test-slow: setup ## The slow tests with real servers: kills, brokers that die, MongoDB's own clients
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup -q -m slow

# Writes wrappers only, so that the committed pages are compared as they are.
check: $(INSTALLED) ## Lint, format, types, generated files up to date
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@$(BIN)/python generate_cli_wrappers.py --out temp/cli_wrappers
	$(BIN)/python generate_cli_wrappers.py --check

bench: setup ## Benchmarks beside their peers (installs the peers)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python -m benchmarks.stream
	$(BIN)/python -m benchmarks.kafka
	$(BIN)/python -m benchmarks.latency
	$(BIN)/python -m benchmarks.limits
	$(BIN)/python -m benchmarks.operate

kafka-jars: $(INSTALLED) ## Fetch Apache Kafka, so that the tests run against a real broker
	@$(BIN)/python -m tests.kafka.apache --fetch

kafka: $(INSTALLED) ## An Apache Kafka on loopback, from Maven Central (mvn, java), until Ctrl-C
	@$(BIN)/python -m tests.kafka.apache

official-clients: $(INSTALLED) ## Fetch MongoDB's MCP server and mongosh (npm), so that tests run them
	@$(BIN)/python -m tests.official.npm --fetch

clean: ## Remove the virtual environment and everything generated (sessions stay)
	rm -rf .venv temp/cli_wrappers .mypy_cache .ruff_cache .pytest_cache .hypothesis
