# What a person types; `make` alone lists it. Needs Python 3.11 or later, git and make; PYTHON names another interpreter.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: help demo demo-rollback test lint types fmt bench lock clean
.DEFAULT_GOAL := help

help: ## list the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|'

demo: $(READY) ## plan and run a real lifecycle, in a copy, and show its receipt
	@bash .ci/demo

demo-rollback: $(READY) ## the same with a step that fails, and what is undone then
	@bash .ci/demo rollback

test: $(READY) ## every test, on all cores; ARGS='-k retry' picks some
	$(BIN)/python -m pytest -n auto --dist loadfile $(ARGS)

lint: $(READY) ## style, layers, workflows, schemas
	@bash .ci/lint

types: $(READY) ## mypy, strict
	$(BIN)/mypy

fmt: $(READY) ## rewrite what a formatter can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(READY) .cache/bench/.ready ## what it costs, beside other runners; ARGS=--record writes docs/benchmarks.md
	$(BIN)/python -m bench $(ARGS)

lock: ## write requirements/*.lock anew; needs uv
	@bash .ci/lock

clean: ## remove everything that was made here
	rm -rf .venv .cache dist build .shipway .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	find tests -name node_modules -type d -prune -exec rm -rf {} +

$(READY): requirements/dev.lock requirements/install.py
	$(PYTHON) -I requirements/install.py development .venv
	@touch $@

.cache/bench/.ready: bench/requirements.txt
	$(PYTHON) -m venv .cache/bench
	.cache/bench/bin/python -m pip install --quiet --requirement bench/requirements.txt
	@touch $@
