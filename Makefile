# Each target makes .venv first, if it is not there yet or the requirements have changed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt

# The tests of a file share its fixtures, so they stay in one process.
PYTEST := $(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder
BACKENDS := jax torch
PORTABLE := tests

.DEFAULT_GOAL := help
.PHONY: help run check test backends gpu lint notebooks site constraints clean

help:  ## print this
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

$(VENV)/installed: requirements.txt constraints.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PIP) -e .
	touch $@

$(VENV)/installed-test: $(VENV)/installed requirements-test.txt
	$(PIP) -r requirements-test.txt
	touch $@

$(VENV)/installed-backends: $(VENV)/installed-test requirements-backends.txt
	$(PIP) -r requirements-backends.txt
	touch $@

$(VENV)/installed-site: $(VENV)/installed requirements-site.txt
	$(PIP) -r requirements-site.txt
	touch $@

run: $(VENV)/installed  ## train AlexNet on the embedded pictures and write a report under runs/
	$(BIN)/alexnet-keras train

check: $(VENV)/installed-test  ## lint, and run the fast tests: about a minute
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(PYTEST) -m "not slow" tests

test: $(VENV)/installed-test  ## lint, and run all the tests, notebooks included
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(PYTEST)

backends: $(VENV)/installed-backends  ## run the tests that fit every backend on JAX and on PyTorch
	for each in $(BACKENDS); do KERAS_BACKEND=$$each $(PYTEST) -m portable $(PORTABLE) || exit 1; done

gpu: $(VENV)/installed-test  ## ask a GPU all that benchmarks/ has for one: OPTIONS="--out F --data-dir F"
	$(BIN)/python -m benchmarks.gpu $(OPTIONS)

lint: $(VENV)/installed-test  ## format and lint, notebooks included
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

notebooks: $(VENV)/installed-test  ## run the notebooks again and keep their outputs
	$(BIN)/python notebooks/links.py
	$(BIN)/python notebooks/refresh.py
	$(BIN)/python -m notebooks.translate

site: $(VENV)/installed-site  ## write the web edition, of the outputs that are kept, into site/
	rm -rf site
	TF_CPP_MIN_LOG_LEVEL=3 $(BIN)/python -m sphinx -W --keep-going -E -q -c docs -d build/doctrees . site

constraints:  ## resolve the exact versions anew (needs uv)
	grep -v '^torch' requirements-backends.txt | uv pip compile --universal --python-version 3.11 --upgrade \
		--no-annotate --no-header --no-emit-find-links \
		requirements.txt requirements-test.txt requirements-site.txt - -o constraints.txt

clean:  ## remove .venv
	rm -rf $(VENV)
