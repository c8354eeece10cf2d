# Two commands on a fresh machine:   make demo   make test
# They need Python 3.11 or newer, make, and a package index; everything else they install into $(VENV).

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

PEERS ?= .venv-peers

# What does not wait for one another is done at once, such as installing packages and a browser.
MAKEFLAGS += --jobs=2

.PHONY: help docs docs-links demo test browser coverage test-fast check pages fuzz bench gpu format release-check clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 18

demo: $(VENV)/.installed-digits,app ## learn to draw digits in about three minutes, into demo/
	$(BIN)/unnoise demo --out demo

TESTS := OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive $(BIN)/python -m pytest -n 2 --dist worksteal
test: check browser ## style, types, layers, and all tests
	$(TESTS)

# Debian's own: Playwright's download is never used. Without Chromium, the tests of pages are skipped.
CHROMIUM := $(shell command -v chromium || command -v chromium-browser || command -v google-chrome)
browser:
ifeq ($(CHROMIUM),)
	-[ "$$(id -u)" = 0 ] && apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium >/dev/null
	@command -v chromium >/dev/null || echo "There is no Chromium, so the tests of pages are skipped: install chromium."
endif

# Measuring takes a third more time, and checking shapes everywhere as much again.
coverage: check browser ## the same tests with their coverage, which is at least 90 %
	CHECK_SHAPES=everywhere $(TESTS) --cov --cov-report=term --cov-fail-under=90

# Mathematics, networks, files: what needs no trained run. Under 90 seconds on two cores, with the check.
FAST := $(addprefix tests/,diffusion networks optim utils pictures data)
test-fast: check ## style, types, layers, and the quick tests: for each save
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive $(BIN)/python -m pytest -q -n 2 --dist worksteal -m "not slow" $(FAST)

fuzz: $(VENV)/.installed-test ## read damaged files of every kind, for SECONDS (60) each, by libFuzzer
	OMP_NUM_THREADS=1 PYTHONPATH=tests $(BIN)/python -m fuzz --seconds $(or $(SECONDS),60)

pages: $(VENV)/.installed-test ## write the pages of docs/ that are made from the code and the tests
	$(BIN)/python tests/architecture.py
	$(BIN)/python tests/map.py
	$(BIN)/python tests/inventory.py
	OMP_NUM_THREADS=1 PYTHONPATH=tests $(BIN)/python -m helpers.reliability

docs: $(VENV)/.installed-docs ## build the documentation, in English and Korean, into build/docs/html
	$(BIN)/python docs/build.py

docs-links: $(VENV)/.installed-docs ## try the links of the documentation to other sites
	$(BIN)/python docs/build.py --links

bench: $(PEERS)/.installed ## measure PARTS (default: all) beside other libraries, in an environment of several GB
	$(PEERS)/bin/python -m benchmarks $(PARTS)

gpu: $(VENV)/.installed-test ## measure everything that needs a CUDA device, for docs/gpu.md; REHEARSE=1 tries it without
	$(BIN)/python -W ignore -m benchmarks.gpu $(if $(REHEARSE),--rehearse)

check: $(VENV)/.installed-test ## style, types and layers only
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

release-check: $(VENV)/.installed-release ## build the sdist and the wheel, and try the wheel in a fresh environment
	$(BIN)/python tests/release_check.py

format: $(VENV)/.installed-test ## put the style right
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# They need torchvision, which needs a build of torch of its own release.
$(PEERS)/.installed: pyproject.toml Makefile
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check torch==2.14.1 torchvision==0.29.1 \
	  diffusers==0.42.1 denoising-diffusion-pytorch==1.9.4 smalldiffusion==0.5.0 datasets==5.2.0 --editable '.[digits]'
	touch $@

clean: ## remove what was installed and made
	rm -rf $(VENV) $(PEERS) demo .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .coverage build dist

# torch comes first and alone: as another package's requirement, pip may choose a build of several GB instead.
$(VENV)/.installed-torch: constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("unnoise needs Python 3.11 or newer." if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(PIP) torch
	touch $@

$(VENV)/.installed-%: $(VENV)/.installed-torch pyproject.toml
	$(PIP) --editable '.[$*]'
	touch $@
