# Everything a newcomer types. `make help` lists the targets.
PYTHON ?= python3
BIN := .venv/bin
COMPILE := uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header

.DEFAULT_GOAL := help
.PHONY: help setup demo test check format bench bench-growth audit-growth properties faults lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: .venv/.complete ## make .venv with everything that the commands and tests need

.venv/.complete: pyproject.toml requirements.lock
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup ## a simulated clinic through a real broker: one patient's story, a crash, the proof
	@$(BIN)/pathway demo

test: setup ## all tests, against a real NATS and real databases
	@$(BIN)/python -m pytest -q --numprocesses 2 --dist loadfile

check: setup ## format, lint and types
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy

format: setup ## put the code into shape
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix-only .

bench: setup ## the worker beside the broker client's own ceiling, in one run; keeps the result
	@$(BIN)/python -m bench.run --keep

audit-growth: setup ## a million audit entries: append rate and memory (half an hour)
	@$(BIN)/python -m bench.audit_growth

bench-growth: setup ## the same with 10^6 patients and 10^7 journal rows (40 GB, some ten minutes)
	@$(BIN)/python -m bench.growth

properties: setup ## the property tests in their long form (a quarter of an hour)
	@HYPOTHESIS_PROFILE=long $(BIN)/python -m pytest -q -o timeout=0 tests/properties

faults: setup ## kills, cuts, full disks, poison and floods in their long form (about an hour)
	@FAULTS=long $(BIN)/python -m pytest -q -s -o timeout=0 tests/faults

lock: ## write the lock files anew from the ranges in pyproject.toml (needs uv)
	$(COMPILE) --extra dev pyproject.toml -o requirements.lock
	$(COMPILE) -c requirements.lock pyproject.toml -o requirements.run.lock

clean: ## remove what setup, tests and the demo left behind
	rm -rf .venv .pathway .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info
