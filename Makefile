# make help lists the targets. Every target that needs Python makes .venv first, once.

PYTHON ?= python3
# --gpu N, or --cpu
DEVICE ?= --gpu 0
SOLVE = .venv/bin/python solvers/solve.py

.DEFAULT_GOAL := help
.PHONY: help install demo test test-slow fidelity bench bench-quick data-voc data-nyud \
	data-siftflow data-context vgg16 caffenet googlenet check-voc \
	voc-fcn32s voc-fcn16s voc-fcn8s voc-fcn8s-atonce clean

help:  ## list the targets
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-18s %s\n", $$1, $$2 }' Makefile

.venv/done: pyproject.toml constraints.txt
	@echo "Making .venv and installing pinned dependencies (PyTorch is large; once only)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed: make PYTHON=python3.12 ...")'
	@$(PYTHON) -m venv .venv
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch setuptools
	@echo "Installing the project and what it needs besides"
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-build-isolation -e '.[test]'
	@touch $@

install: .venv/done  ## make .venv, and nothing else

demo: .venv/done  ## the paper in miniature on generated data, about 10 minutes on 2 cores
	@echo "Training the demo: classifier, surgery, FCN-32s, FCN-16s, FCN-8s (results in build/demo)"
	@.venv/bin/python solvers/demo.py

test: .venv/done  ## run the tests
	@echo "Running the tests"
	@.venv/bin/python -m pytest

test-slow: .venv/done  ## run the tests that train for minutes
	@echo "Running the slow tests (the demo over three seeds, about half an hour)"
	@.venv/bin/python -m pytest -m slow

fidelity: .venv/done  ## measure the distance to the original, into docs/fidelity.md
	@PYTHONPATH=tests/caffe .venv/bin/python tests/caffe/fidelity.py

bench: .venv/done  ## the engine beside its peers, about half an hour on 2 cores
	@.venv/bin/python benchmarks/bench.py

bench-quick: .venv/done  ## the same, fewer rows, one round
	@.venv/bin/python benchmarks/bench.py --quick

data-voc: .venv/done  ## download SBD and PASCAL VOC 2011 (3 GB), compute seg11valid
	@.venv/bin/python data/download.py voc

data-nyud: .venv/done  ## download NYUDv2 (3 GB) and prepare it
	@.venv/bin/python data/download.py nyud

data-siftflow: .venv/done  ## download SIFT Flow (140 MB), write its splits
	@.venv/bin/python data/download.py siftflow

data-context: .venv/done  ## download PASCAL-Context and PASCAL VOC 2010 (1.4 GB)
	@.venv/bin/python data/download.py context

vgg16: .venv/done  ## download the ILSVRC VGG-16 weights (553 MB)
	@.venv/bin/python data/download.py $@

caffenet: .venv/done  ## download the ILSVRC CaffeNet weights (244 MB)
	@.venv/bin/python data/download.py $@

googlenet: .venv/done  ## download the ILSVRC GoogLeNet weights (54 MB)
	@.venv/bin/python data/download.py $@

# Before anything is installed: say what is missing.
check-voc:
	@$(PYTHON) data/catalog.py vgg16 sbd voc2011

voc-fcn32s: check-voc .venv/done  ## train FCN-32s on VOC from VGG-16 (DEVICE="--gpu 0" or --cpu)
	@$(SOLVE) $@ $(DEVICE)

voc-fcn16s: voc-fcn32s  ## train FCN-16s, after FCN-32s
	@$(SOLVE) $@ $(DEVICE)

voc-fcn8s: voc-fcn16s  ## train FCN-8s, after FCN-32s and FCN-16s
	@$(SOLVE) $@ $(DEVICE)

voc-fcn8s-atonce: check-voc .venv/done  ## train FCN-8s in one stage from VGG-16
	@$(SOLVE) $@ $(DEVICE)

clean:  ## remove .venv and build
	rm -rf .venv build
