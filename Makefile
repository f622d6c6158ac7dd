# `make run` and `make test` need Python 3.11+ and make, nothing else.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
# Every process would compile what it imports again and again.
export PYTHONDONTWRITEBYTECODE :=
# OpenMP's threads wait asleep: spinning, they take the cores from the other processes.
export OMP_WAIT_POLICY ?= PASSIVE
# A file of tests stays in one process: its servers and workspaces are made once.
# One process more than cores: many tests wait for a server or a process of their own.
PARALLEL := -n $(shell $(PYTHON) -c 'import os; print(min(os.cpu_count(), 3) + 1)') --dist loadfile

# What tests write for a moment, thousands of small files and each flushed, is kept in memory where
# there is much room; of a run that failed it stays until the next one. The name has no blank.
SCRATCH := $(shell test "$$(df -k --output=avail /dev/shm 2>/dev/null | tail -1)" -gt 12000000 2>/dev/null \
  && echo /dev/shm/tidemill-tests-$$(id -u)-$$(pwd | cksum | cut -d' ' -f1))

.PHONY: run test test-all check bench up images lock clean help

help:
	@echo "make run       the whole job on sample data, to a registered model"
	@echo "make up        Prefect and MLflow servers with the deployments, on localhost"
	@echo "make images    the images of docker/, by Docker or buildah; IMAGES=NAME, IMAGE_OPTIONS=... for its build"
	@echo "make test      the tests (some ten minutes on 2 cores); make test-all: the slow ones too"
	@echo "make check     lint, types, layers"
	@echo "make bench     the figures of docs/benchmarks.md"

run: $(VENV)/.core
	@test -n "$$(ls -A data/raw 2>/dev/null)" || tidemill sample --rows 200000
	tidemill run

up: $(VENV)/.core
	tidemill up

images: $(VENV)/.core
	$(BIN)/python docker/build_images.py $(IMAGES) -- $(IMAGE_OPTIONS)

test: $(VENV)/.dev
	$(BIN)/python -m pytest -m "not slow" --ignore=tests/test_layout.py $(PARALLEL) $(SCRATCH:%=--basetemp=%)
	@$(if $(SCRATCH),rm -rf $(SCRATCH))

test-all: $(VENV)/.dev
	$(BIN)/python -m pytest $(PARALLEL) --demand PostgreSQL --demand S3

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest tests/test_layout.py

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks

$(BIN)/uv:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

$(VENV)/.core: requirements.lock pyproject.toml | $(BIN)/uv
	@test -f $(VENV)/.dev || $(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -e .
	@touch $@

$(VENV)/.dev: requirements-dev.lock pyproject.toml | $(BIN)/uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --require-hashes -r requirements-dev.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -e .
	@touch $@ $(VENV)/.core

# Hashes, and no index address.
lock: | $(BIN)/uv
	$(BIN)/uv pip compile --quiet pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header -o requirements.lock
	$(BIN)/uv pip compile --quiet pyproject.toml --extra auth --extra dask --extra postgres --extra s3 -c requirements.lock --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header -o requirements-docker.lock
	$(BIN)/uv pip compile --quiet docker/build.in -c requirements-docker.lock --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header -o docker/build.lock
	$(BIN)/uv pip compile --quiet pyproject.toml --extra auth --extra postgres --extra s3 --extra dev -c requirements-docker.lock --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header -o requirements-dev.lock

clean:
	rm -rf .tidemill data/source.json data/schema.json data/validated data/quarantine data/shards models reports
