# `make` alone prints the verbs. Set-up is part of every verb that needs it and costs nothing
# when it is current.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
BIN := .venv/bin
STACK := $(BIN)/python -m local_stack
SOURCES := $(wildcard */src)
SETUP_STAMP := .tools/setup.stamp
SETUP_INPUTS := requirements.lock pyproject.toml $(wildcard */pyproject.toml) \
	$(wildcard local-stack/scripts/*) $(wildcard local-stack/src/local_stack/jars/*.lock)

# Passed on to the benchmarks: QUICK=1 shortens them.
export QUICK

.PHONY: help
help: ## Print the verbs
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' Makefile

## --- set-up

.PHONY: setup
setup: $(SETUP_STAMP) ## Install everything: packages, Java if there is none, jars (once)

$(SETUP_STAMP): $(SETUP_INPUTS)
	@PYTHON="$(PYTHON)" local-stack/scripts/setup.sh
	@touch $@

.PHONY: lock
lock: $(SETUP_STAMP) ## Write requirements.lock anew from the pyproject files
	@local-stack/scripts/lock.sh
	@echo "requirements.lock is current"

## --- code

.PHONY: format
format: $(SETUP_STAMP) ## Format the code and sort imports
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

.PHONY: check
check: $(SETUP_STAMP) ## Check everything that can be checked without running the system
	@BIN="$(BIN)" local-stack/scripts/check.sh $(SOURCES)

.PHONY: audit
audit: $(SETUP_STAMP) ## Ask for known weaknesses of the pinned packages (needs PyPI's advisories)
	@BIN="$(BIN)" local-stack/scripts/audit.sh

.PHONY: sbom
sbom: $(SETUP_STAMP) ## Write sbom.json: every pinned package with its hashes (CycloneDX)
	@$(BIN)/cyclonedx-py requirements requirements.lock --pyproject pyproject.toml --output-reproducible -o sbom.json
	@echo "wrote sbom.json"

.PHONY: wheels
wheels: $(SETUP_STAMP) ## Build every member's wheel into dist/, and try the command from them
	@local-stack/scripts/wheels.sh

.PHONY: test
test: $(SETUP_STAMP) ## Run the tests (args="speed-layer -k replay" narrows them)
	$(BIN)/pytest $(or $(args),-n 2 --dist loadscope --no-loadscope-reorder)

.PHONY: dashboards
dashboards: $(SETUP_STAMP) ## Write the Grafana dashboards from their code
	@$(BIN)/python -m streamguard_dashboards

.PHONY: test-cluster
test-cluster: $(SETUP_STAMP) ## Compare runs on a Spark cluster of processes with local mode
	@CLUSTER=1 $(BIN)/pytest -q batch-layer/tests/transactions/test_cluster.py

.PHONY: test-faults
test-faults: $(SETUP_STAMP) ## Kill the speed layer 200 times and compare what is left (about half an hour)
	@report="$$(mktemp)"; status=0; \
	FAULTS_REPORT="$$report" $(BIN)/pytest -q speed-layer/tests/test_commit_steps.py \
		speed-layer/tests/test_faults.py || status=$$?; \
	cat "$$report"; rm -f "$$report"; exit $$status

## --- the stack

.PHONY: up
up: $(SETUP_STAMP) ## Start everything; returns when every service is ready
	@$(STACK) up

.PHONY: down
down: ## Stop everything
	@if [[ -x $(BIN)/python ]]; then $(STACK) down; fi

.PHONY: status
status: $(SETUP_STAMP) ## Show each service: state, process, port, memory
	@$(STACK) status

.PHONY: doctor
doctor: ## Check Python, Java, ports, disk, memory, broker and stores; say what to do
	@$(STACK) doctor

.PHONY: backup
backup: $(SETUP_STAMP) ## Write everything the stack keeps into one file (file=backup.tar.gz); make down first
	@$(STACK) backup "$(or $(file),streamguard-backup.tar.gz)"

.PHONY: restore
restore: $(SETUP_STAMP) ## Put a backup in the place of the data, which is moved aside (file=backup.tar.gz)
	@$(STACK) restore "$(or $(file),streamguard-backup.tar.gz)"

.PHONY: logs
logs: $(SETUP_STAMP) ## Show the last log lines (service=speed-layer for one, follow=1 to go on)
	@$(STACK) logs $(service) $(if $(follow),--follow)

.PHONY: demo
demo: $(SETUP_STAMP) ## From nothing to a cited answer: 50,000 events through every layer
	@$(STACK) demo

.PHONY: e2e
e2e: $(SETUP_STAMP) ## Check the journeys of the running system
	@tests-e2e/run.sh

.PHONY: site
site: $(SETUP_STAMP) ## Build the documentation as a site into site/
	@BIN="$(BIN)" local-stack/scripts/site.sh
	@echo "wrote site/index.html"

.PHONY: screenshots
screenshots: $(SETUP_STAMP) ## Photograph the dashboard of the running stack for the docs (url=... for another one)
	@$(BIN)/python docs/screenshots.py $(url)

## --- figures (QUICK=1 for a short run)

.PHONY: bench-speed
bench-speed: $(SETUP_STAMP) ## Speed layer: events per second, beside Bytewax, Quix Streams, the bare client
	@benchmarks/peers/install.sh
	@$(BIN)/python benchmarks/bench_speed.py

.PHONY: bench-latency
bench-latency: $(SETUP_STAMP) ## Speed layer: from produced to queryable
	@$(BIN)/python benchmarks/bench_latency.py

.PHONY: bench-memory
bench-memory: $(SETUP_STAMP) ## Speed layer: bytes per user and event, restart with many users
	@$(BIN)/python benchmarks/bench_memory.py

.PHONY: bench-detection
bench-detection: $(SETUP_STAMP) ## Detection: precision, recall and false alarms beside the reference
	@$(BIN)/python benchmarks/bench_detection.py

.PHONY: bench-batch
bench-batch: $(SETUP_STAMP) ## Batch layer: security runs over 1, 5 and 10 million events, beside a bare Spark
	@$(BIN)/python benchmarks/bench_batch.py

.PHONY: chaos
chaos: $(SETUP_STAMP) ## Faults against a whole stack under load: missing, double, time to recover
	@$(BIN)/python benchmarks/chaos.py

.PHONY: drill
drill: $(SETUP_STAMP) ## Bring alerts about and follow the runbook (ALERTS=ServiceDown: one)
	@$(BIN)/python benchmarks/drill.py

.PHONY: soak
soak: $(SETUP_STAMP) ## An hour (HOURS=8: longer) of load: does memory or do file handles grow?
	@$(BIN)/python benchmarks/soak.py

.PHONY: bench-models
bench-models: $(SETUP_STAMP) ## Batch layer: AUC of the forest, beside scikit-learn's plain use
	@$(BIN)/python benchmarks/bench_models.py

.PHONY: bench-fraud
bench-fraud: $(SETUP_STAMP) ## Batch layer: precision and recall of the fraud scoring, beside the largest amounts
	@$(BIN)/python benchmarks/bench_fraud.py

.PHONY: bench-transactions
bench-transactions: $(SETUP_STAMP) ## Batch layer: seeding, the last page of a million rows, the stream beside batches
	@$(BIN)/python benchmarks/bench_transactions.py

.PHONY: bench-serving
bench-serving: $(SETUP_STAMP) ## Serving layer: answers over 10 million merged events, beside DuckDB and SQLite
	@$(BIN)/python benchmarks/bench_serving.py

.PHONY: bench-assistant
bench-assistant: $(SETUP_STAMP) ## Assistant: answers without a model
	@$(BIN)/python benchmarks/bench_assistant.py

.PHONY: eval-assistant
eval-assistant: $(SETUP_STAMP) ## Assistant: answers on cases with known truth, in three modes
	@$(BIN)/python benchmarks/bench_answers.py

.PHONY: eval-injection
eval-injection: $(SETUP_STAMP) ## Assistant: hostile texts in every field, against three kinds of model
	@$(BIN)/python benchmarks/bench_injection.py

.PHONY: bench-retrieval
bench-retrieval: $(SETUP_STAMP) ## Assistant: recall of the threat corpus on labelled questions
	@genai-assistant/scripts/get-sentence-model.sh || echo "no sentence model: measuring without it" >&2
	@$(BIN)/python benchmarks/bench_retrieval.py

.PHONY: sentence-model
sentence-model: $(SETUP_STAMP) ## Assistant: fetch the optional sentence model for retrieval (84 MB, once)
	@genai-assistant/scripts/get-sentence-model.sh

## --- tidying

.PHONY: clean
clean: down ## Stop the stack and delete its data and every cache (keeps .venv and jars)
	rm -rf .stack .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.venv/*' -not -path './.tools/*' -prune -exec rm -rf {} +
