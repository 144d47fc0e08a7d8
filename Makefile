# Everything a developer does with Landfall. `make` alone lists it.

SHELL := /bin/bash
VENV := .venv
RUN := $(VENV)/bin/python
READY := $(VENV)/landfall-stamp
COMMA := ,

# The interpreter: what PYTHON= asks for and nothing else, or the one that made .venv, or the newest usual name.
PYTHON ?=
MADE_BY := $(shell sed -n 's/^executable = //p' $(VENV)/pyvenv.cfg 2>/dev/null)
FIND_PYTHON = for candidate in $(if $(PYTHON),"$(PYTHON)","$(MADE_BY)" python3 python3.13 python3.12 python3.11 python3.14); do \
	"$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$candidate" && break; done

# What stands in for AWS locally (embedded, localstack, minio), and which stage goes to the cloud.
STACK ?=
STAGE ?= dev
# As they were written, through the environment: a password in them may hold anything, and the shell must not read it.
export LANDFALL_STAGE_NAME := $(value STAGE)
export LANDFALL_PARAMETERS := $(value PARAMETERS)
export LANDFALL_AUDIT_PREFIX := $(value PREFIX)
export LANDFALL_AUDIT_INVENTORY := $(value INVENTORY)
export LANDFALL_ADOPTED_BUCKET := $(value BUCKET)

# The tests that take seconds.
QUICK := tests/catalog tests/store/test_content.py tests/store/test_hostile_content.py tests/store/test_database_token.py \
	tests/project tests/property tests/db/test_certificates.py

.DEFAULT_GOAL := help
.PHONY: help run services audit repair adopt package deploy destroy test check bench chaos sbom audit-dependencies format clean

help: ## Show what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(READY) ## Start everything: database, AWS emulator, event delivery, API. Ctrl-C stops it
	@LANDFALL_STACK="$(STACK)" $(RUN) -m dev run

services: $(READY) ## The same without the API, to run `chalice local --stage local` by hand
	@LANDFALL_STACK="$(STACK)" $(RUN) -m dev services

audit: $(READY) ## Compare the running stack's bucket with its catalogue (PREFIX=, INVENTORY=, JSON=1)
	@$(RUN) -m dev audit --prefix "$$LANDFALL_AUDIT_PREFIX" --inventory "$$LANDFALL_AUDIT_INVENTORY" \
		$(if $(BUCKET),--bucket $(BUCKET)) $(if $(JSON),--json)

repair: $(READY) ## The same, and record what differs (PREFIX=, INVENTORY=, BRAKE=0.05; DRY=1 records nothing)
	@$(RUN) -m dev audit --prefix "$$LANDFALL_AUDIT_PREFIX" --inventory "$$LANDFALL_AUDIT_INVENTORY" \
		$(if $(BUCKET),--bucket $(BUCKET)) $(if $(JSON),--json) \
		$(if $(BRAKE),--brake $(BRAKE)) $(if $(DRY),,--repair)

adopt: $(READY) ## Take in a bucket that was there before, and its events from now on (BUCKET=, JSON=1)
	@$(RUN) -m dev adopt "$$LANDFALL_ADOPTED_BUCKET" $(if $(JSON),--json)

package: $(READY) ## Package a stage (STAGE=dev) into out/, as `make deploy` would
	@$(RUN) -m deploy package --stage "$$LANDFALL_STAGE_NAME"

deploy: $(READY) ## Put a stage (STAGE=dev) into the cloud: package, migrate, deploy, try it
	@$(RUN) -m deploy up --stage "$$LANDFALL_STAGE_NAME" $(if $(YES),--yes) \
		$(if $(filter lose,$(DATA)),--lose-data) --parameters "$$LANDFALL_PARAMETERS"

destroy: $(READY) ## Delete a stage (STAGE=dev) from the cloud; with its data only if DATA=delete
	@$(RUN) -m deploy down --stage "$$LANDFALL_STAGE_NAME" $(if $(YES),--yes) $(if $(filter delete,$(DATA)),--delete-data)

test: $(READY) ## All tests, in PROCESSES=auto at once, or TESTS="tests/api tests/db" one after the other
	@$(RUN) -m pytest --numprocesses=$(or $(PROCESSES),$(if $(TESTS),0,auto)) $(TESTS)

check: $(READY) ## What is quick: lint, format, types, import rules, quick tests
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(RUN) -m pytest $(QUICK) -q

bench: $(READY) ## Measure, and draw the plots
	@$(RUN) -m bench

chaos: $(READY) ## Everything goes wrong for MINUTES=10, as SEED= decides; then the catalogue must be the bucket (FAULTS=, REPAIR=0)
	@PYTHONPATH=.:vendor MINUTES="$(MINUTES)" SEED="$(SEED)" FAULTS="$(FAULTS)" REPAIR="$(REPAIR)" $(RUN) -m chaos

sbom: $(READY) ## Write what a package is made of into out/sbom.json, as CycloneDX
	@$(RUN) -m deploy sbom

audit-dependencies: $(READY) ## Ask what is known against what is packaged; deploy/accepted-advisories.json has what was looked at
	@$(RUN) -m deploy advisories

format: $(READY) ## Format the code, and repair what lint can
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

clean: ## Remove what can be made again. The data in .landfall/ stays
	rm -rf $(VENV) .landfall/*-venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache out build
	find . -name __pycache__ -not -path './.landfall/*' -prune -exec rm -rf {} +

# Made anew when the requirements change, when PYTHON= names another interpreter, and when its own is gone. The stamp comes last,
# so that a failed pip is tried again.
BASE_OF = $(shell "$(1)" -c 'import os, sys; print(os.path.realpath(sys._base_executable))' 2>/dev/null)
ifneq ($(wildcard $(READY)),)
NOW := $(call BASE_OF,$(RUN))
ifneq ($(if $(PYTHON),$(call BASE_OF,$(PYTHON)),$(or $(NOW),gone)),$(NOW))
.PHONY: $(READY)
endif
endif
$(READY): requirements.txt requirements-dev.txt
	@python="$$($(FIND_PYTHON))"; \
	if [ -z "$$python" ]; then \
		echo "landfall: Python 3.11 or newer is needed$(if $(PYTHON),$(COMMA) and PYTHON=$(PYTHON) is none)." \
			"Install it, or name one with PYTHON=/path/to/python3." >&2; exit 1; fi; \
	echo "Installing Python packages into $(VENV); this takes a minute, once."; \
	"$$python" -m venv --clear $(VENV) \
		|| { echo "landfall: $$python could not make a virtual environment (Debian and Ubuntu: apt install python3-venv)." >&2; exit 1; }; \
	$(RUN) -m pip install -qq --disable-pip-version-check --requirement requirements-dev.txt \
		|| { echo "landfall: pip could not install requirements-dev.txt; its reason stands above." >&2; exit 1; }
	@touch $@
