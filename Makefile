# `make` lists the targets. The first that needs it creates .venv; PYTHON=python3.12 chooses another interpreter.

PYTHON ?= python3
BIN := .venv/bin
OFFLINE := HF_HUB_OFFLINE=1 WANDB_MODE=offline
BACKBONE := runs/microworld-bert
QUICKSTART := runs/quickstart
EXAMPLES ?= 200

.DEFAULT_GOAL := help
.PHONY: help quickstart test test-all fuzz kill-test mutate reports lint docs

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' Makefile

quickstart: .venv/.package $(BACKBONE)/config.json ## pretrain a small backbone, compare six strategies on it: about 3 minutes
	$(OFFLINE) $(BIN)/lm-lab bench run benchmarks/quickstart.yaml --out $(QUICKSTART) --measure-time
	@echo "Open $(QUICKSTART)/report/index.html: the same results as figures, in any browser, without a network."
	@echo "Next: README.md, 'What to do next'. The same command again runs nothing that has a result."

test: .venv/.dev ## run the tests (LM_LAB_DATA=FOLDER adds those on real data)
	$(OFFLINE) $(BIN)/python -m pytest -n auto

test-all: .venv/.dev ## run the slow tests too
	$(OFFLINE) $(BIN)/python -m pytest -m ''

fuzz: .venv/.dev ## search for inputs that end in a traceback (EXAMPLES=1000 new ones a test)
	$(OFFLINE) LM_LAB_FUZZ_EXAMPLES=$(EXAMPLES) $(BIN)/python -m pytest -n auto tests/fuzz

kill-test: .venv/.dev ## kill 100 runs at random moments and in writes; each must end as an undisturbed one: half an hour
	$(OFFLINE) OMP_NUM_THREADS=1 PYTHONPATH=tests $(BIN)/python tests/killing/kills.py --out benchmarks/results/kills.json

mutate: .venv/.dev ## change the objectives one thing at a time, list what no test notices (MODULES="masking noise"): an hour and a half
	$(OFFLINE) $(BIN)/python tests/mutation/mutate.py $(MODULES)

reports: .venv/.package ## write the pages of the committed results: a few minutes
	for run in benchmarks/results/*/records.parquet; do $(BIN)/lm-lab bench report $$(dirname $$run) || exit 1; done

lint: .venv/.dev ## check style and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

docs: .venv/.docs ## build the documentation in site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

$(BACKBONE)/config.json: | .venv/.package
	$(OFFLINE) $(BIN)/lm-lab pretrain fit --config configs/pretraining/microworld_quickstart.yaml

# What is installed, as stamps that age with the two files that say what it should be.
.venv/.package: EXTRAS :=
.venv/.dev: EXTRAS := [dev]
.venv/.docs: EXTRAS := [docs]
.venv/.package .venv/.dev .venv/.docs: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("lm_lab needs Python 3.11 or newer: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.$(EXTRAS)'
	@touch $@
