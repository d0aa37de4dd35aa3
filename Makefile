# make run     start the daemon on http://127.0.0.1:8080 with feeds.yaml
# make test    all tests
# make check   ruff, mypy, import-linter
# make fuzz    the compiled kernel against its pure twins, under sanitizers, for a minute
# make bench   figures beside nginx, Redis, iprange, pytricia, py-radix and maxminddb, those that are installed
# make interop the union of lists compared with Debian's iprange (needs it installed)

PYTHON ?= python3
BIN := .venv/bin

.PHONY: run test check fuzz bench interop clean

run: .venv/installed
	$(BIN)/blocklistd serve --config feeds.yaml --data data

test: .venv/installed-dev
	$(BIN)/pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

check: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fuzz: .venv/installed-dev
	$(BIN)/python -m fuzz

bench: .venv/installed-dev
	$(BIN)/python -m bench

interop: .venv/installed-dev
	BLOCKLISTD_INTEROP=1 $(BIN)/pytest tests/interop

clean:
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit("blocklistd needs Python 3.11 or newer") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv .venv

KERNEL := setup.py $(wildcard blocklistd/kernel/*.[ch])

.venv/installed: .venv/bin/python pyproject.toml $(KERNEL)
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

.venv/installed-dev: .venv/bin/python pyproject.toml $(KERNEL)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@ .venv/installed
