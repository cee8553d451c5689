PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
export PATH := $(abspath $(VENV))/bin:$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
.DELETE_ON_ERROR:
.PHONY: help report lab test prepare hooks notebooks docs clean

help:       ## show this list
	@sed -n 's/^\([a-z]*\): .*## /make \1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 18

report: $(VENV)/.user   ## evaluate the bundled model: runs/eval.ipynb and runs/eval.html
	$(BIN)/upgradeability eval

lab: $(VENV)/.dev       ## JupyterLab with the tutorials, to read and to run
	$(BIN)/jupyter lab --ServerApp.root_dir=nbs nbs/tutorials/first_report.ipynb

test: export UPGRADEABILITY_CACHE ?= $(CURDIR)/.cache
test: $(VENV)/.dev      ## what CI runs: notebooks in sync and clean, lessons, docs without a warning, tests
	$(BIN)/python nbs/_sphinx/build.py check
	OMP_NUM_THREADS=1 $(BIN)/nbdev_test --n_workers 3 --skip_file_re '^(_|eval|compare|curve|rank|shift|improve|house|coverage)'
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 3 --dist loadfile --no-loadscope-reorder --durations 20 tests

prepare: $(VENV)/.dev   ## after editing a notebook: export the modules, clean, write README.md
	$(BIN)/python nbs/_sphinx/build.py sync

hooks: $(VENV)/.dev     ## once per clone: check each commit as CI does (pre-commit)
	$(BIN)/pre-commit install

notebooks: $(VENV)/.dev ## run the notebooks and store their outputs (NAMES="00_core eval" for some)
	$(BIN)/python nbs/_sphinx/build.py execute $(NAMES)
	$(BIN)/python nbs/_sphinx/build.py sync

docs: $(VENV)/.dev      ## the site, in _docs/
	$(BIN)/python nbs/_sphinx/build.py html

clean:      ## remove what can be made again, but for .venv and runs/
	rm -rf _docs .cache .pytest_cache build dist *.egg-info

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed; name one with: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --upgrade pip

$(VENV)/.user: settings.ini setup.py | $(BIN)/python
	@echo "Installing the package and PyTorch into $(VENV) (some minutes, some GB)"
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install -q -e '.[fast]'
	@touch $@

$(VENV)/.dev: settings.ini setup.py | $(BIN)/python
	@echo "Installing the package, PyTorch and the developers' tools into $(VENV) (some minutes, some GB)"
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install -q -e '.[dev]'
	@touch $(VENV)/.user $@
