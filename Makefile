# Two commands matter: `make demo` and `make test`.  Both install what is missing first; both may be run again.
PY = .venv/bin

help:       ; @sed -n 's/^\([a-z-]*\): .*#[#] /  make \1\t/p' Makefile | expand -t 20
setup:      ; @scripts/setup                                             ## system packages, .venv, the project
demo: setup ; @$(PY)/python scripts/demo.py $(if $(KEEP),--keep)         ## a whole cloud, two real machines, ssh into each; KEEP=1 leaves it running
test: setup ; @$(PY)/python -m pytest -n auto --dist loadgroup -m "not long" $(ARGS) ## the whole test suite
test-long: setup ; @$(PY)/python -m pytest -m long --timeout 3600 $(ARGS) ## the campaigns that take longer
lint: setup ; @scripts/lint                                              ## ruff, mypy, import-linter
format: setup ; @$(PY)/ruff format . && $(PY)/ruff check --fix .         ## rewrite the sources in the house style
bench: setup ; @$(PY)/python -m bench $(ARGS)                            ## every figure the README quotes
fuzz: setup ; @$(PY)/python -m fuzz $(ARGS)                              ## mutated requests at the EC2 port, by coverage; ARGS="--seconds 3600 --requests 1000000"
screenshots: setup ; @mkdir -p docs/portal && EUCA_SCREENSHOTS=docs/portal $(PY)/python -m pytest -q tests/web/test_web_browser.py -k barrier ## photographs of the portal's pages for docs/portal
clean:      ; @rm -rf .venv .stamps .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache ## forget what setup made

.PHONY: help setup demo test test-long lint format bench fuzz screenshots clean
