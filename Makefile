# Everything a newcomer types. Each target does all the set-up it needs, in .venv.
PYTHON ?= python3
VENV := .venv
READY := $(VENV)/.ready
ARGS ?=

.PHONY: demo test check network-test home-test browser-test engine-test bench dist clean

demo: $(READY)
	@$(VENV)/bin/foryou demo $(ARGS)

# Four at a time, for tests wait often: two cores are busy then. The tests of one file run one after another, and
# tests/conftest.py says which files go first.
test: $(READY)
	@$(VENV)/bin/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder $(ARGS)

check: $(READY)
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/mypy
	@$(MAKE) --no-print-directory test

# The next four fail when nothing of them could run; --must-run is in tests/conftest.py.
# A real PLC directory and PDS on loopback, from npm packages (see tests/network/README.md).
network-test: $(READY)
	@$(VENV)/bin/python -m pytest tests/network --must-run -rs $(ARGS)

# A home and a VPS as network namespaces with real systemd units, Caddy and nginx (see tests/home/README.md).
home-test: $(READY)
	@$(VENV)/bin/python -m pytest tests/home --must-run -rs $(ARGS)

# The demo's pages in a real Chromium (see tests/browser/README.md).
browser-test: $(READY)
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[browser]'
	@$(VENV)/bin/python -m pytest tests/browser --must-run -rs -s $(ARGS)

# The batch on clusters of Ray, with kills (see tests/engine/README.md).
engine-test: $(READY)
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[ray]'
	@$(VENV)/bin/python -m pytest tests/engine --must-run -rs $(ARGS)

# The first figures of README.md and tests/bench/RESULTS.md.
bench: $(READY)
	@$(VENV)/bin/python tests/bench/bench_end_to_end.py $(ARGS)

# The wheel, which needs nothing of this folder, and the image where Podman or Docker can build one.
dist: $(READY)
	@$(VENV)/bin/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .
	@ls dist/foryou-*.whl
	@for tool in podman docker; do \
	  if $$tool info >/dev/null 2>&1; then $$tool build --quiet -t foryou -f deploy/container/Containerfile . && exit; fi; \
	done; echo "no image: neither podman nor docker can build one here"

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "foryou needs Python 3.11 or newer; '$(PYTHON)' is older or missing. Try: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "Python's venv module is missing; on Debian: sudo apt install python3-venv" >&2; exit 1; }
	@echo "Setting up $(VENV) (once, about a minute) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $(READY)

clean:
	rm -rf $(VENV) dist data/demo .pytest_cache .mypy_cache .ruff_cache .hypothesis
