# foldlog. `make` alone lists what there is to make.
# Everything is installed into .venv here; the servers for the tests come from the system's packages.

PYTHON ?= python3
JOBS ?= 3
TESTS ?=
ARGS ?=

BIN := .venv/bin
PY := $(BIN)/python -P
RUN := .venv/.ready-to-run
DEV := .venv/.ready-to-develop

.DEFAULT_GOAL := help
.PHONY: help demo test test-radosgw test-long lint format bench bench-servers servers clean

help: ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | while IFS='|' read -r target text; do \
		printf '  make %-14s %s\n' "$$target" "$$text"; done

demo: $(RUN) ## set up foldlog and run its tour on real data
	$(BIN)/foldlog demo

test: $(DEV) servers ## run the tests; TESTS=path to choose, ARGS= for pytest, JOBS=3 processes
	$(PY) -m pytest -n $(JOBS) --dist worksteal $(ARGS) $(TESTS)

# s3fs looks for words in the message of a 412, and radosgw sends none: a large value written anew while it is read
# becomes a TypeError there.
NOT_ON_RADOSGW := --deselect 'tests/test_io_managers.py::test_a_reader_sees_one_whole_value_while_another_is_written[s3-large]'

test-radosgw: $(DEV) ## run the tests of buckets against radosgw instead of moto; TESTS=, ARGS= as for test
	@$(PY) tests/servers/install.py radosgw
	$(PY) tests/servers/instead.py radosgw $(PY) -m pytest -n $(JOBS) --dist worksteal \
		-k 's3 or bucket' $(NOT_ON_RADOSGW) $(ARGS) $(TESTS)

test-long: $(DEV) servers ## run all tests, the long ones too
	$(PY) -m pytest -n $(JOBS) --dist worksteal -m 'not benchmark' --timeout 900 $(ARGS) $(TESTS)

lint: $(DEV) ## check style and types
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

format: $(DEV) ## put the code into the style
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

bench: $(RUN) ## measure foldlog against the raw drivers
	$(BIN)/foldlog bench $(ARGS)

bench-servers: $(DEV) servers ## measure it on throwaway servers; ARGS="append batch --rounds 9" or ARGS=objects to choose
	$(PY) tests/servers/lend.py $(BIN)/foldlog bench $(or $(ARGS),servers)

servers: $(DEV) ## install what servers the tests need and this system lacks
	@$(PY) tests/servers/install.py

clean: ## remove all that these targets have made
	rm -rf .venv .dev build dist demo-home *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The root is the package `foldlog`: the link .dev/foldlog -> .. gives it that name, and a .pth file in .venv puts .dev
# on the path of every process, those that tests spawn too. No editable install: its import hook costs every start of
# Python some milliseconds, and it has to be made anew for each new package. The .pth path is relative to
# site-packages, so that the folder may be moved or renamed.
define SITE
import pathlib, sysconfig, os
site = pathlib.Path(sysconfig.get_paths()["purelib"])
(site / "foldlog-dev.pth").write_text(os.path.relpath(".dev", site) + "\n")
endef
define REQUIREMENTS
import sys, tomllib
project = tomllib.load(open("pyproject.toml", "rb"))["project"]
wanted = [project["dependencies"], *(project["optional-dependencies"][extra] for extra in sys.argv[1:])]
print(*sum(wanted, []), sep="\n")
endef
define SCRIPT
#!/bin/sh
exec "$$(dirname "$$(readlink -f "$$0")")/python" -P -m foldlog "$$@"
endef
export SITE REQUIREMENTS SCRIPT

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "foldlog needs Python 3.11 or newer, and '$(PYTHON)' is not that." >&2; \
		echo "what to do: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -m venv .venv || { rm -rf .venv; \
		echo "what to do: install your system's package for venv, as python3-venv" >&2; exit 1; }

$(RUN): pyproject.toml Makefile | .venv/bin/python
	mkdir -p .dev && ln -sfn .. .dev/foldlog
	@$(PY) -c "$$SITE"
	@printf '%s\n' "$$SCRIPT" > $(BIN)/foldlog && chmod +x $(BIN)/foldlog
	@$(PY) -c "$$REQUIREMENTS" > .venv/requirements.txt
	$(PY) -m pip install --quiet --disable-pip-version-check -r .venv/requirements.txt
	@touch $@

$(DEV): $(RUN)
	@$(PY) -c "$$REQUIREMENTS" test lint > .venv/requirements.txt
	$(PY) -m pip install --quiet --disable-pip-version-check -r .venv/requirements.txt
	@touch $@
