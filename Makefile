# flagrelease: the commands of a checkout. `make` alone says what there is.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEMO_HOME := $(CURDIR)/.flagrelease/demo
SOURCES := flagrelease_assets container_scripts tests benchmarks scripts

# Tests at the same time; those with vLLM run one after the other, each takes the whole machine.
PARALLEL ?= --numprocesses logical --maxprocesses 4

# Tests start hundreds of programs: let Python keep the bytecode of what they import.
unexport PYTHONDONTWRITEBYTECODE

# Seconds one test may take; an end-to-end test installs vLLM and starts servers.
UNIT_TIMEOUT := 60
INTEGRATION_TIMEOUT := 300
FAULTS_TIMEOUT := 300
E2E_TIMEOUT := 1800

# Seconds for which `make fuzz` mutates the input of each parser.
FUZZ_SECONDS ?= 20

.DEFAULT_GOAL := help
.PHONY: help venv demo demo-ui ui test test-unit test-integration test-faults test-e2e lint typecheck audit fuzz bench soak clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

venv: $(STAMP) ## install flagrelease and its development tools into .venv

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, $(PYTHON) is " + sys.version.split()[0] + "; set PYTHON=")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: venv ## release a small real model on this machine's CPU, from nothing to the report
	@$(BIN)/flagrelease demo || test $$? -eq 1  # 1 is PARTIAL, the best that a CPU can get: it has no Run B

demo-ui: venv ## open the Dagster UI on the demo's runs and results
	DAGSTER_HOME=$(DEMO_HOME)/dagster $(BIN)/flagrelease ui --deployment $(DEMO_HOME)/flagrelease.yaml

ui: venv ## open the Dagster UI on your own deployment (flagrelease.yaml)
	$(BIN)/flagrelease ui

test: lint typecheck audit ## run every check: lint, typecheck, audit, unit, integration, faults, end-to-end
	$(MAKE) --no-print-directory test-unit
	$(MAKE) --no-print-directory test-integration
	$(MAKE) --no-print-directory test-faults
	$(MAKE) --no-print-directory test-e2e

test-unit: venv ## run the unit tests and those of what SECURITY.md promises (seconds)
	$(BIN)/pytest tests/unit tests/security tests/fuzz $(PARALLEL) --timeout $(UNIT_TIMEOUT)

test-integration: venv ## run the tests with a Dagster instance (minutes)
	$(BIN)/pytest tests/integration $(PARALLEL) --timeout $(INTEGRATION_TIMEOUT)

test-faults: venv ## break engines, containers, processes, disks and connections, and look what is left (minutes)
	$(BIN)/pytest tests/faults $(PARALLEL) --timeout $(FAULTS_TIMEOUT)

test-e2e: venv ## run the tests with a Docker engine and real vLLM (longer)
	$(BIN)/pytest tests/e2e --timeout $(E2E_TIMEOUT)

lint: venv ## check style and format
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)

typecheck: venv ## check types
	$(BIN)/mypy $(SOURCES)

audit: venv ## ask for known vulnerabilities of everything that constraints.txt pins
	$(BIN)/python scripts/audit_dependencies.py

fuzz: venv ## throw mutated input at the parsers, FUZZ_SECONDS (20) each; needs atheris: pip install -e '.[fuzz]'
	$(BIN)/python -m tests.fuzz --seconds $(FUZZ_SECONDS)

bench: venv ## measure flagrelease itself
	$(BIN)/python -m benchmarks

soak: venv ## make 200 releases with random faults, and count what is left (up to 20 minutes)
	$(BIN)/python -m benchmarks.soak

clean: ## remove what was installed and generated; the demo's models and results (.flagrelease) stay
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
