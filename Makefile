# The whole of the project's work, in an environment of its own: nothing outside this folder is
# written but package caches and temporary files.
#
#   make run         environment, build, and a report on the shipped model `speed_simplicity`
#   make test        the fast tests            make lint    style, types, Cython style
#   make test-slow   the statistical tests     make debug   native tests on a bounds-checked build
#   make sanitize    native tests under the address and undefined-behaviour sanitizers
#   make bench       the benchmarks            make clean   remove what make made
#   make planted     plant bugs in copies of the sources: docs/planted_bugs.md
#
# PYTHON=/path/to/python3.13 chooses the Python; otherwise the first suitable one is taken.

SHELL := /bin/sh
VENV  := .venv
BIN   := $(VENV)/bin
PIP   := $(BIN)/python -m pip --disable-pip-version-check
NEED  := 3.12
OUT   := out/speed_simplicity
DEBUG := build/debug
SANITIZED := build/sanitized

ENVIRONMENT := $(VENV)/.environment
BUILT       := $(VENV)/.built
NATIVE      := $(wildcard _ext/*.pyx _ext/*.pxd _ext/*.h)
# The tests that drive the kernels, for the bounds-checked build and the sanitizers. Not those of
# the JAX twins: they pass as well, but take a quarter of an hour and run no other native code.
DRIVEN      := $(addprefix tests/test_,fact_sums.py fact_choices.py program_draws.py critical.py \
                 least.py inside.py program_sums.py enumeration.py program_list.py tempering.py \
                 frontier.py verdict.py grammar_verdict.py programs.py threads.py)

.PHONY: run test test-slow lint bench debug sanitize planted clean

run: $(BUILT)
	$(BIN)/bayes-mesa run speed_simplicity --out $(OUT) --seed 1 --force
	@printf '\nThe report: %s\n' '$(CURDIR)/$(OUT)/report.html'

test: $(BUILT)
	$(BIN)/python -m pytest

test-slow: $(BUILT)
	$(BIN)/python -m pytest -m slow -rP --durations=20

lint: $(BUILT)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PATH="$(CURDIR)/$(BIN):$$PATH" cython-lint --max-line-length 100 _ext

bench: $(BUILT)
	$(BIN)/python -m benchmarks

planted: $(BUILT)
	$(BIN)/python -m tests.planted

# A copy of the sources, because a build in place would leave its C for the next release build to
# pick up. `--target` keeps it out of the environment; pytest runs from there to find it.
define another_build
	rm -rf $(1)
	mkdir -p $(1)/source $(1)/site
	cp -R bayes_mesa models setup.py pyproject.toml README.md $(1)/source
	mkdir $(1)/source/_ext
	cp _ext/__init__.py $(NATIVE) $(1)/source/_ext
	CC='$(CC)' $(2)=1 $(PIP) install -q --no-deps --no-build-isolation \
	    --target $(1)/site $(1)/source
	cp -R tests pyproject.toml $(1)/site
endef

debug: $(BUILT)
	$(call another_build,$(DEBUG),BAYES_MESA_DEBUG)
	cd $(DEBUG)/site && '$(CURDIR)/$(BIN)/python' -m pytest $(DRIVEN)

# Python itself is not built with the sanitizers: their libraries must be loaded before it, and it
# leaks on purpose at its end, so leaks are not looked for. Its own allocator would hide from the
# address sanitizer what lies behind the end of a small object: PYTHONMALLOC leaves it out. What
# they find ends the process, and would end with it in what pytest captures: --capture=sys lets it
# out.
sanitize: $(BUILT)
	$(call another_build,$(SANITIZED),BAYES_MESA_SANITIZE)
	cd $(SANITIZED)/site && env \
	    LD_PRELOAD="$$($(CC) -print-file-name=libasan.so) $$($(CC) -print-file-name=libubsan.so)" \
	    ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 PYTHONMALLOC=malloc \
	    '$(CURDIR)/$(BIN)/python' -m pytest --capture=sys \
	        -p no:cacheprovider $(DRIVEN)

clean:
	rm -rf $(VENV) build out bayes_mesa.egg-info _ext/*.c _ext/*.so _ext/*.html

# --- environment and build -----------------------------------------------------------------------

$(BUILT): $(ENVIRONMENT) $(NATIVE) setup.py pyproject.toml
	$(PIP) install -q -c constraints.txt --no-build-isolation -e '.[test,lint]'
	@touch $@

$(ENVIRONMENT): constraints.txt $(BIN)/python
	$(PIP) install -q -r constraints.txt
	@touch $@

# Suitable: new enough, able to make an environment, and with the C headers that the build needs.
SUITABLE := import ensurepip, os, sys, sysconfig, venv; \
    new = sys.version_info >= tuple(map(int, "$(NEED)".split("."))); \
    sys.exit(not (new and os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h"))))

# Without PYTHON: first what the version manager makes of .python-version, then what is on the
# path, then whatever else the version manager has installed.
$(BIN)/python:
	@set -u; chosen=''; \
	if [ -n '$(PYTHON)' ]; then candidates='$(PYTHON)'; else \
	    candidates="python3.13 python python3.14 python3.12 python3 $$( \
	        ls -d "$$(pyenv root 2>/dev/null)"/versions/3.1[2-9].*/bin/python3 2>/dev/null)"; fi; \
	for candidate in $$candidates; do \
	    if "$$candidate" -c '$(SUITABLE)' >/dev/null 2>&1; then chosen="$$candidate"; break; fi; \
	done; \
	if [ -z "$$chosen" ]; then \
	    echo 'bayes_mesa needs Python $(NEED) or newer, with venv and its C headers (Python.h).' >&2; \
	    echo "None of these is one: $$(echo $$candidates)" >&2; \
	    echo 'Point at one that is: make run PYTHON=/path/to/python3.13' >&2; \
	    exit 1; \
	fi; \
	if ! command -v "$${CC:-cc}" >/dev/null 2>&1; then \
	    echo 'bayes_mesa is built with a C compiler, and there is no cc here.' >&2; \
	    echo 'Install one (gcc or clang), or name it: make run CC=/path/to/compiler' >&2; \
	    exit 1; \
	fi; \
	echo "Python: $$("$$chosen" -c 'import sys; print(sys.version.split()[0], sys.executable)')"; \
	"$$chosen" -m venv --clear $(VENV)
