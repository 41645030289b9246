# Each target does one thing and sets up what it needs first; `make help` lists them.
.DEFAULT_GOAL := test
.NOTPARALLEL:
.PHONY: setup demo test test-all figures coverage lint bench fuzz newest-tvm clean help

bin := .venv/bin
FUZZ_SECONDS = 60

setup: .venv/demo.stamp .venv/test.stamp ## everything that the other targets need

demo: .venv/demo.stamp ## train a small network on an emulated Cortex-M7
	$(bin)/python tutorials/01_train_on_a_microcontroller.py

test: .venv/test.stamp ## all tests but the slow ones (the default)
	$(bin)/python -m pytest -n 2 -m "not slow"

test-all: .venv/test.stamp ## all tests
	$(bin)/python -m pytest -n 2

figures: .venv/test.stamp ## whether committed figures of the benchmarks are what the code gives
	$(bin)/python -m pytest tests/test_benchmarks.py tests/simulator/test_learning_benchmark.py

coverage: .venv/test.stamp ## how much of the passes their own tests run; at least 95 %, by branches
	$(bin)/python -m pytest -q -n 2 -m "not slow" tests/passes tests/tvm --cov=relay_passes --cov-branch \
		--cov-report=term-missing:skip-covered --cov-fail-under=95

lint: .venv/lint.stamp ## ruff's checks and its format, mypy's types
	$(bin)/ruff check
	$(bin)/ruff format --check
	$(bin)/mypy

bench: .venv/test.stamp ## every benchmark
	set -e; for script in $(sort $(wildcard benchmarks/*.py)); do $(bin)/python $$script; done

fuzz: .venv/test.stamp ## protocol, store and model files against hostile bytes, FUZZ_SECONDS=60 each
	PYTHONPATH=tests:tests/end_to_end $(bin)/python tests/fuzz/fuzzing.py $(FUZZ_SECONDS) build/fuzz
	PYTHONPATH=tests:tests/frontend $(bin)/python tests/fuzz/fuzz_models.py $(FUZZ_SECONDS) build/fuzz
	PYTHONPATH=tests:tests/frontend $(bin)/python tests/fuzz/fuzz_models.py $(FUZZ_SECONDS) build/fuzz compile

newest-tvm: .venv/test.stamp ## whether the newest TVM works, in one line; no part of test, blocks nothing
	@$(bin)/python scripts/newest_tvm.py build/newest-tvm

clean: ## remove what building and testing left; .venv stays
	rm -rf build dist *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -path ./.venv -prune -o -name __pycache__ -exec rm -rf {} +

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1: /p' Makefile

.venv/%.stamp: setup.py scripts/setup.sh
	scripts/setup.sh $*
	touch $@
