# Each target sets up what it needs first: a virtual environment in .venv, and for the tests Debian packages when root.
#   make demo [FILE=path] [KEEP=1]   five agents on this machine do the main job, and say whether it worked
#   make test [ARGS=...]             style, types, layers, then every test that is not a soak
#   make check                       style, types and layers only
#   make soak                        the long runs
#   make regress [BASE=commit]       what simulated swarms do worse than at that commit
#   make scaling                     simulated swarms of 2 to 256 nodes: edgecache/results/scaling.md and .png

PYTHON ?= python3
PY := .venv/bin/python
export PYTHON
# Agents are started by the dozen: compiling every module at each start would take longer than the tests.
export PYTHONDONTWRITEBYTECODE =

.PHONY: demo test check soak regress scaling venv packages clean
.NOTPARALLEL:

demo:
	@.ci/setup venv demo
	@$(PY) -m edgecache demo

test: packages check
	$(PY) -m pytest -m "not slow" $(ARGS)

check: venv
	$(PY) -m ruff check edgecache tests
	$(PY) -m mypy
	.venv/bin/lint-imports

soak: packages venv
	$(PY) -m pytest -m slow --timeout 3600 $(ARGS)

regress: venv
	$(PY) -m tests.regress $(BASE)

scaling: venv
	@mkdir -p edgecache/results
	$(PY) -m edgecache.sim scaling --full --plot edgecache/results/scaling.png > edgecache/results/scaling.md

venv:
	@.ci/setup venv dev,demo,compare

packages:
	@.ci/setup packages

clean:
	rm -rf .venv .demo build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
