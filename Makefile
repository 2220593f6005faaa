# What people and CI run. Every target does the set-up by itself when it is missing or out of date.
#
#   VENV=folder          the environment (default .venv)
#   VENV_DEPLOY=folder   the environment of test-deploy (default .venv-deploy)
#   VENV_DOCS=folder     the environment of docs (default .venv-docs)
#   VENV_NAPARI=folder   the environment of test-napari (default .venv-napari)
#   VENV_PEERS=folder    the environment of other people's segmentation, for bench (default .venv-peers)
#   PYTHON=command       what makes it: Python 3.11 to 3.13 (default python3)
#   TORCH=cpu            PyTorch without CUDA, from its own index (default: from the package index)
#   LOCK=none            the newest versions that pyproject.toml allows (default requirements.lock, what was tested)
#   INSTALLER=pip        leave uv out (default auto: uv where it can be had)
#   DETECTRON2=skip      leave Detectron2 out; also source, wheel (default auto: source where possible, else wheel)
#   PYTEST_ARGS="-k iou" further arguments of the tests; "-n 0" runs them one after the other
#   BUNDLE, RAW, ...     of reproduce: see tools/reproduce.sh
#   BENCH="decode step_*"   the rows of bench (default all); "--list" names them

VENV ?= .venv
VENV_DEPLOY ?= .venv-deploy
VENV_DOCS ?= .venv-docs
VENV_NAPARI ?= .venv-napari
VENV_PEERS ?= .venv-peers
PYTHON ?= python3
LOCK ?= requirements.lock
PYTEST_ARGS ?=
BIN := $(VENV)/bin
# A process a core, up to four, as each comes to hold 5 to 7 GB; a file's tests stay in one, as they share what they made. In the order of
# tests/conftest.py: the files that take longest come first.
TEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder
CODE := benchmarks data_scripts docs medseg_ext setup.py tests tools
# setup.sh puts it there last, so that an interrupted set-up is done again.
STAMP := $(VENV)/.medseg-setup-done
STAMP_DEPLOY := $(VENV_DEPLOY)/.medseg-setup-done
STAMP_DOCS := $(VENV_DOCS)/.medseg-setup-done
STAMP_NAPARI := $(VENV_NAPARI)/.medseg-setup-done
STAMP_PEERS := $(VENV_PEERS)/.medseg-setup-done

SETUP := pyproject.toml setup.py $(wildcard $(LOCK)) tools/setup.sh tools/install_packages.sh tools/uv_settings.py \
	tools/install_detectron2.sh tools/detectron2.txt

export VENV VENV_DEPLOY VENV_DOCS VENV_NAPARI VENV_PEERS PYTHON LOCK TORCH INSTALLER DETECTRON2 BUNDLE RAW GROUPS_CSV TRAIN_ARGS
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# A log has no use for progress bars (2: errors only); a person who waits for gigabytes has.
export PIP_QUIET ?= $(if $(CI),2,0)

.DEFAULT_GOAL := help
.PHONY: help setup lock detectron2 demo test test-all faults test-without-detectron2 test-spawned test-deploy test-napari check audit fix render reproduce table cards docs calibration bench bench-peers bench-docs clean

help:  ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):[^#]*## /\1\t/p' Makefile | while IFS="$$(printf '\t')" read -r target what; do \
		printf '  make %-24s %s\n' "$$target" "$$what"; done

setup: $(STAMP)  ## make the environment: dependencies and Detectron2 (minutes, 7 GB; TORCH=cpu 3 GB)

$(STAMP): $(SETUP)
	@bash tools/setup.sh

# Keeps what is locked already, as far as pyproject.toml allows it.
lock: $(STAMP)  ## write requirements.lock anew, with what pyproject.toml asks for; the newest of all: LOCK_ARGS=--upgrade
	bash tools/lock.sh "$(BIN)/python" $(LOCK_ARGS)

detectron2: $(STAMP)  ## try again to install Detectron2, after a set-up that went on without it
	@bash tools/install_detectron2.sh "$(BIN)/python"

demo: $(STAMP)  ## from a synthetic sample to a trained network and its report, in minutes
	$(BIN)/medseg demo

test: $(STAMP)  ## run the tests, without those that take minutes
	$(TEST) $(PYTEST_ARGS)

test-all: $(STAMP)  ## run all tests
	$(TEST) -m 'not faults' $(PYTEST_ARGS)

faults: $(STAMP)  ## kill, starve and refuse commands, and give them hostile files: make faults KILLS=50 SEED=0 (long)
	KILLS=$(or $(KILLS),50) SEED=$(or $(SEED),0) $(TEST) -n 0 -m faults $(PYTEST_ARGS) tests/faults
	$(TEST) --hypothesis-profile faults $(PYTEST_ARGS) tests/properties

test-without-detectron2: $(STAMP)  ## run the tests as if Detectron2 were not installed
	PYTHONPATH=tests/blocked $(TEST) $(PYTEST_ARGS)

test-spawned: $(STAMP)  ## run the tests of bundles with processes spawned, as on macOS and Windows (long)
	PYTHONPATH=$(CURDIR)/tests/spawned $(TEST) $(PYTEST_ARGS) tests/bundles tests/unit/datasets

$(STAMP_DEPLOY): $(SETUP) tools/setup_deploy.sh
	@bash tools/setup_deploy.sh

# Holoscan, on which the SDK stands, asks for a stack of 32 MiB.
test-deploy: $(STAMP_DEPLOY)  ## run the tests of the MONAI Deploy application, in an environment of its own (8 GB)
	ulimit -S -s 32768; $(VENV_DEPLOY)/bin/python -m pytest $(PYTEST_ARGS) tests/deploy

$(STAMP_NAPARI): $(SETUP) tools/setup_napari.sh
	@bash tools/setup_napari.sh

# On Linux in a window of Xvfb, which nobody sees; docs/napari.md names the packages. Without a display the tests are
# skipped.
test-napari: $(STAMP_NAPARI)  ## run the tests of the plugin of napari, in an environment of its own (8 GB)
	$(if $(shell command -v xvfb-run),xvfb-run --auto-servernum --server-args "-screen 0 1600x1100x24") $(VENV_NAPARI)/bin/python -m pytest $(PYTEST_ARGS) tests/viewer

check: $(STAMP)  ## style, types, which room imports which, what is unsafe, and that the bundles are what the fragments give; changes nothing
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/bandit --quiet --recursive --configfile pyproject.toml medseg_ext tools data_scripts benchmarks
	$(BIN)/medseg render --check

audit: $(STAMP)  ## look up known faults of the packages that are installed; needs the network
	$(BIN)/python tools/audit.py

# What bandit finds is mended by hand, or excused where it stands: `# nosec B123 # reason`.
fix: $(STAMP)  ## repair what `make check` complains about, as far as tools can
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)
	$(BIN)/medseg render

render: $(STAMP)  ## write the bundles' configs from the fragments in bundles/_base
	$(BIN)/medseg render

reproduce:  ## prepare, train and evaluate as for a published figure: BUNDLE=dsb2018_unet RAW=stage1_train.zip
	@bash tools/reproduce.sh "$(MAKE) --no-print-directory setup"

table: $(STAMP)  ## evaluate the shipped checkpoints on the data sets under data/, and compare them
	@bash tools/table.sh

cards: $(STAMP)  ## bring the figures and pictures of the cards and of docs/results.md up to date from `make table`'s runs
	$(BIN)/python tools/publish.py

# The API's pages are read from the sources, not imported: this environment has no PyTorch.
docs: $(STAMP_DOCS)  ## build the documentation into site/, and check its links (170 MB)
	NO_MKDOCS_2_WARNING=1 $(VENV_DOCS)/bin/mkdocs build --strict

$(STAMP_DOCS): pyproject.toml $(wildcard $(LOCK))
	test -x $(VENV_DOCS)/bin/python || $(PYTHON) -m venv $(VENV_DOCS)
	$(VENV_DOCS)/bin/python -m pip install --upgrade 'pip>=25.1'
	$(VENV_DOCS)/bin/python -m pip install $(if $(filter none,$(LOCK)),,--constraint $(LOCK)) --group docs
	touch $@

calibration: $(STAMP)  ## fit the scores of the shipped checkpoints to validation images, and tell of it: docs/calibration.md
	@bash tools/calibration.sh

bench: $(STAMP)  ## measure speed, each beside another way to do the same: BENCH="decode metrics" (25 minutes)
	$(BIN)/python -m benchmarks $(BENCH)

bench-peers: $(STAMP_PEERS)  ## make the environment of StarDist, Cellpose and InstanSeg, which bench then measures, too (8 GB)

$(STAMP_PEERS): benchmarks/requirements-peers.txt
	test -x $(VENV_PEERS)/bin/python || $(PYTHON) -m venv $(VENV_PEERS)
	$(VENV_PEERS)/bin/python -m pip install --requirement benchmarks/requirements-peers.txt
	touch $@

bench-docs: $(STAMP)  ## put the last run of bench into docs/performance.md
	$(BIN)/python -m benchmarks.publish

# Not the environment, and neither data/ nor runs/: those cost hours.
clean:  ## remove caches, builds and the demo's output
	rm -rf build dist demo site .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	find benchmarks bundles data_scripts medseg_ext tests tools -name __pycache__ -type d -prune -exec rm -rf {} +
