# make demo    set up, then open the first notebook in JupyterLab (HEADLESS=1: run it here and print what happened)
# make test    set up, then every check, cheapest first
# make bench   set up the peers in .bench, then measure
# make screenshot  take the README's picture of the real thing
# make clean   remove everything that the others made

PYTHON ?= python3
# program:Debian-package pairs that the tests need besides Python
SYSTEM_PROGRAMS := bash:bash git:git chromium:chromium bwrap:bubblewrap pg_ctlcluster:postgresql podman:podman runc:runc

PIP := .venv/bin/python -m pip install --quiet --disable-pip-version-check
LINK := .venv/share/jupyter/labextensions/jupyter-orchestra
BUILT := jupyter_orchestra/labextension/package.json
LAB_SOURCES := $(shell find labextension/src labextension/style -type f) labextension/tsconfig.json

export PATH := $(CURDIR)/.venv/bin:$(PATH)
# Kernels that are started by the hundred must not compile the package each time.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup demo test bench screenshot clean system-packages

setup: .venv/.linked

# --- set-up: each stamp is newer than what it was made from -----------------------------------------------------------

define new_venv
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
  { echo "make: $(PYTHON) is older than Python 3.11 or missing; name a newer one: make PYTHON=/path/to/python3.11" >&2; exit 1; }
@$(PYTHON) -m venv $(1) || \
  { echo "make: could not create $(1); on Debian install the package python3-venv" >&2; exit 1; }
endef

.venv/.created:
	$(call new_venv,.venv)
	@touch $@

# The build requirements go into .venv too: they bring jlpm and node, and save the isolated build.
# The link goes first: pip would write through it.
.venv/.installed: .venv/.created pyproject.toml
	@echo "make: installing the Python packages into .venv"
	@rm -rf $(LINK)
	@.venv/bin/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' > .venv/build-requires.txt
	$(PIP) -r .venv/build-requires.txt
	SKIP_JUPYTER_BUILDER=1 $(PIP) --no-build-isolation --editable '.[test]'
	@touch $@

labextension/node_modules/.installed: labextension/package.json labextension/yarn.lock labextension/.yarnrc.yml | .venv/.installed
	@echo "make: installing the npm packages into labextension/node_modules"
	@cd labextension && jlpm install --immutable > ../.venv/jlpm-install.log 2>&1 || { cat ../.venv/jlpm-install.log; exit 1; }
	@touch $@

$(BUILT): labextension/node_modules/.installed $(LAB_SOURCES)
	@echo "make: building the labextension"
	@rm -rf $(@D)
	@cd labextension && jlpm build:prod
	@touch $@

# An editable install does not link the built labextension, so JupyterLab would not find it.
.venv/.linked: .venv/.installed $(BUILT)
	@mkdir -p $(dir $(LINK)) && rm -rf $(LINK) && ln -s ../../../../jupyter_orchestra/labextension $(LINK)
	@touch $@

system-packages:
	@missing=""; \
	for pair in $(SYSTEM_PROGRAMS); do PATH="$$PATH:/usr/sbin" command -v "$${pair%%:*}" > /dev/null 2>&1 || missing="$$missing $${pair##*:}"; done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null 2>&1; then \
	  apt-get update --quiet && apt-get install --quiet --yes --no-install-recommends $$missing && exit 0; fi; \
	echo "make: missing system packages:$$missing; as root: apt-get install$$missing. The tests that need them are skipped." >&2; \
	if [ -n "$$CI" ]; then echo "make: in CI a skipped test is a failure" >&2; exit 1; fi

# --- what a person calls ----------------------------------------------------------------------------------------------

demo: setup
	.venv/bin/jupyter orchestra demo $(if $(filter-out 0,$(HEADLESS)),--headless)

define check
@printf '\n--- %s\n' '$(1)'
@$(2) || { printf '\nmake test: FAILED at: %s\n' '$(1)' >&2; exit 1; }
endef

test: setup system-packages
	$(call check,ruff check,ruff check .)
	$(call check,ruff format,ruff format --check .)
	$(call check,mypy --strict,mypy jupyter_orchestra $(wildcard benchmarks))
	$(call check,import contracts,lint-imports --no-logo)
	$(call check,labextension types,(cd labextension && jlpm check))
	$(call check,labextension tests,(cd labextension && jlpm test))
	$(call check,pytest,python -m pytest --numprocesses=2 --dist=loadfile)
	$(if $(wildcard tests/mutants.py),$(call check,mutants,python tests/mutants.py))
	$(if $(wildcard notebooks/*.ipynb),$(call check,notebooks,python -m pytest -W default -p no:cacheprovider --nbval-lax notebooks/))
	@printf '\nmake test: all checks passed\n'

.bench/.installed: pyproject.toml
	$(call new_venv,.bench)
	SKIP_JUPYTER_BUILDER=1 .bench/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	@touch $@

bench: .bench/.installed $(BUILT)
	PATH="$(CURDIR)/.bench/bin:$$PATH" python benchmarks/run.py

# The notebook that the test plays is what the README shows.
screenshot: setup system-packages
	python -m pytest tests/browser/test_picture.py
	cp build/browser/screenshot.png docs/screenshot.png

clean:
	rm -rf .venv .bench dist build jupyter_orchestra/labextension
	rm -rf labextension/lib labextension/node_modules labextension/.yarn labextension/tsconfig.tsbuildinfo
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find jupyter_orchestra tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2> /dev/null || true
