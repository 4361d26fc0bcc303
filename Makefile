# `make devnet` runs a mining node, `make test` runs the tests; each sets up what it needs by itself.
VENV ?= .venv
BIN := $(VENV)/bin
# Twice as many workers as cores: tests of real nodes wait for most of their time.
PYTEST := $(BIN)/python -m pytest -n 4 --dist loadgroup

.PHONY: help venv devnet test lint check bench soak lock wheel clean

help:
	@echo "make devnet  run a development network: one node that mines, with funded accounts"
	@echo "make test    run the tests"
	@echo "make check   ruff, mypy, import contracts, tests"
	@echo "make bench   measure speed and memory; results go to docs/performance.md by hand"
	@echo "make soak    the full-size fault runs (an hour or more)"
	@echo "make lock    resolve the dependencies anew (needs uv)"

venv:
	@sh scripts/venv.sh $(VENV)

devnet: venv
	@$(BIN)/ioex devnet

test: venv
	$(PYTEST)

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint test

bench: venv
	$(BIN)/python -m benchmarks

soak: venv
	IOEX_SOAK=1 $(BIN)/python -m pytest -m soak -p no:cacheprovider --timeout 7200 -s

LOCK := uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header --quiet

lock:
	$(LOCK) --output-file requirements.lock
	$(LOCK) --extra dev --constraint requirements.lock --output-file requirements-dev.lock

wheel: venv
	$(BIN)/python -m hatchling build -t wheel

clean:
	rm -rf dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
