# Everything runs inside .venv, which is made once from requirements.lock and again only when that file or pyproject.toml changes.
.DEFAULT_GOAL := help
PORT ?= 8501
WORKERS ?= 2
SANITIZER ?= compute-sanitizer
PY := .venv/bin/python
STAMP := .venv/.stamp
LINK := build/links/striate
# One file stays in one process: the detector that test_detector.py trains is trained once.
PYTEST := OMP_NUM_THREADS=1 $(PY) -m pytest --dist loadfile

.PHONY: help app compare test check test-gpu sanitize bench lock clean

help:  ## show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

app: $(STAMP)  ## the demo at http://localhost:8501 (another port: make app PORT=8600)
	.venv/bin/striate app --port $(PORT)

compare: $(STAMP)  ## bags of words against networks on a rendered set: runs/compare/small/report.html
	.venv/bin/striate compare --out runs/compare/small

test: $(STAMP)  ## the tests that need no GPU: CPU and compile tiers, then kernels under Triton's interpreter
	$(PYTEST) -n $(WORKERS) -m "not kernel and not gpu"
	TRITON_INTERPRET=1 $(PYTEST) -n $(WORKERS) -m kernel

check: $(STAMP) $(LINK)  ## lint, format, types, and the rooms
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	cd build/links && ../../$(PY) -m mypy --config-file ../../pyproject.toml -p striate
	$(PYTEST) -q tests/test_rooms.py

test-gpu: $(STAMP)  ## the tests that need an NVIDIA GPU
	$(PY) -m pytest -m "gpu or kernel"

# Without torch's cache of memory every tensor is a block of its own, beyond whose end the sanitizer can see.
sanitize: $(STAMP)  ## the kernels' GPU tests under compute-sanitizer: stray reads and writes, then races
	@command -v $(SANITIZER) >/dev/null || { echo "expected $(SANITIZER) on PATH; got none; install NVIDIA's CUDA toolkit or run make sanitize SANITIZER=/path/to/compute-sanitizer"; exit 1; }
	for tool in memcheck racecheck; do \
	  PYTORCH_NO_CUDA_MEMORY_CACHING=1 $(SANITIZER) --tool $$tool --error-exitcode 1 \
	    $(PY) -m pytest -q -m gpu tests/gpu/test_every_case.py || exit 1; done

bench: $(STAMP)  ## measure what this machine can (a GPU's kernels, or the CPU); keeps the rows, renders benchmarks/README.md
	$(PY) benchmarks/detector_cpu.py
	$(PY) -m striate.benchmarks

lock: $(STAMP)  ## write requirements.lock from what .venv holds
	$(PY) .ci/lock.py requirements.lock

clean:  ## remove what the build and the checks wrote (.venv and runs/ stay)
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
	find . -path ./.venv -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

# mypy wants a folder whose name is an identifier, which a clone's name need not be.
$(LINK):
	@mkdir -p $(@D) && ln -sfn ../.. $@

# `python3` where it is new enough, else a newer one by name.
$(STAMP): requirements.lock pyproject.toml
	@if ! [ -x $(PY) ]; then \
	  for p in $(PYTHON) python3 python3.12 python3.11 python3.13; do \
	    if $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	      echo "Making .venv with $$($$p --version)"; $$p -m venv .venv || exit 1; break; fi; done; fi
	@[ -x $(PY) ] || { echo "expected Python 3.11 or newer; got none on PATH; install it or run make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "Installing what requirements.lock names, 2 GB with torch: some minutes"
	$(PY) -m pip install --disable-pip-version-check --quiet -r requirements.lock
	$(PY) -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation -e .
	@touch $@
