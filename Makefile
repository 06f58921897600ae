# Everything runs in .venv, made with PYTHON: make test PYTHON=python3.12
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
LOWEST := $(VENV)-lowest
EXAMPLE := examples/landscape

.PHONY: help demo test test-fast test-app test-lowest coverage check bench fuzz faults lock
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/installed  ## restyle an example photo, from nothing to demo/landscape.png
	@mkdir -p demo
	$(RUN) deep_photostyle.py --style_option 2 \
		--content_image_path $(EXAMPLE)/content.jpg --content_seg_path $(EXAMPLE)/content_seg.png \
		--style_image_path $(EXAMPLE)/style.jpg --style_seg_path $(EXAMPLE)/style_seg.png \
		--output_image demo/landscape.png
	@echo "content $(EXAMPLE)/content.jpg, style $(EXAMPLE)/style.jpg, result $(CURDIR)/demo/landscape.png"

test: $(VENV)/installed-dev  ## run every test
	$(RUN) -m pytest

test-fast: $(VENV)/installed-dev  ## run the tests that take no more than two seconds each
	$(RUN) -m pytest -m "not slow"

test-app: $(VENV)/installed-dev  ## run the tests of the page, in Chromium
	@command -v chromedriver >/dev/null || \
		{ echo "error: chromedriver is missing; on Debian: apt-get install chromium chromium-driver" >&2; exit 1; }
	$(RUN) -m pytest tests/page

test-lowest: $(LOWEST)/installed  ## run every test with the lowest versions allowed, in an environment of their own
	$(LOWEST)/bin/python -m pytest

coverage: $(VENV)/installed-dev  ## run every test, and list the lines and branches that none takes
	$(RUN) -m coverage erase
	$(RUN) -m coverage run -m pytest
	$(RUN) -m coverage combine --quiet
	$(RUN) -m coverage report

check: $(VENV)/installed-dev  ## lint, formatting, types and the order of imports
	$(RUN) -m ruff check
	$(RUN) -m ruff format --check
	$(RUN) -m mypy .
	PYTHONPATH=. $(VENV)/bin/lint-imports

bench: $(VENV)/installed-dev  ## run every benchmark
	@set -e; for benchmark in benchmarks/*.py; do echo "== $$benchmark"; $(RUN) $$benchmark; done

MINUTES ?= 30
fuzz: $(VENV)/installed-dev  ## try hostile files on every reader for MINUTES=30, and save what breaks one
	PYTHONPATH=.:tools $(RUN) -m hostile --minutes $(MINUTES)

KILLS ?= 10
faults: $(VENV)/installed-dev  ## kill a batch KILLS=10 times in each phase by each signal, and start it again
	PYTHONPATH=.:tools $(RUN) -m faults --kills $(KILLS)

lock: $(VENV)/installed-dev  ## choose the versions of requirements.lock anew, for all Pythons and systems
	$(RUN) -m uv pip compile requirements.txt --universal --python-version 3.10 --upgrade --generate-hashes --no-annotate \
		--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" --quiet --output-file requirements.lock

# Empty files remember what is installed, so that pip runs when a list of requirements changes and not before.
$(VENV)/installed: requirements.txt | $(RUN)
	$(RUN) -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

$(VENV)/installed-dev: requirements-dev.txt requirements-page.txt requirements-video.txt $(VENV)/installed
	$(RUN) -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

# With PYTHON=python3.10: the lowest NumPy and TensorFlow have no wheels for Python 3.13.
$(LOWEST)/installed: requirements.txt requirements-ray.txt requirements-page.txt requirements-video.txt requirements-dev.txt | $(LOWEST)/bin/python
	$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check uv
	$(LOWEST)/bin/python -m uv pip install --quiet --python $(LOWEST)/bin/python --resolution lowest-direct \
		$(addprefix -r ,$^)
	@touch $@

$(RUN) $(LOWEST)/bin/python: %/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14) and \
		"error: Python %d.%d is not supported; use 3.10 to 3.13, for example make PYTHON=python3.12" % sys.version_info[:2])'
	$(PYTHON) -m venv $*
