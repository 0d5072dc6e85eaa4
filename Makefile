# make demo   annx beside hnswlib on real embeddings, in an environment of its own
# make test   all tests

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SANITIZE ?= address,undefined
FUZZ_SECONDS ?= 60

SOURCES := pyproject.toml CMakeLists.txt README.md LICENSE \
  $(shell find cmake cpp python -type f -not -name '*.py[co]' -not -name '*.nb[ic]')
CPP_FILES = $(shell find cpp tools -name '*.cpp' -o -name '*.h')

.PHONY: demo test torture fuzz lint types symbols emulate sanitize pure integrations sdist format clean
.DELETE_ON_ERROR:

demo: $(VENV)/demo.stamp
	$(BIN)/annx demo

test: $(VENV)/test.stamp
	$(BIN)/python -m pytest
	$(BIN)/python -m pytest --doctest-modules --doctest-ignore-import-errors --pyargs annx

# What index files survive, in the long form: kills, power loss, failing calls, damage.
torture: $(VENV)/test.stamp
	ANNX_TORTURE=1 $(BIN)/python -m pytest -s tests/durability

# Files of any content, for FUZZ_SECONDS; needs clang. See tools/fuzz/README.md.
fuzz: $(VENV)/test.stamp
	PYTHON=$(BIN)/python FUZZ_SECONDS=$(FUZZ_SECONDS) tools/fuzz/fuzz.sh

# Style.
lint: $(VENV)/test.stamp
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/clang-format --dry-run -Werror $(CPP_FILES)

# Types, and whether the stub tells the truth about the extension.
types: $(VENV)/test.stamp
	$(BIN)/mypy --no-incremental
	MYPYPATH=python $(BIN)/python -m mypy.stubtest annx._native \
	  --mypy-config-file pyproject.toml --allowlist tools/stubtest_allow.txt

# Whether code for one CPU can leak into what all CPUs run.
symbols: $(VENV)/test.stamp
	$(BIN)/python tools/check_isa_symbols.py build

# The AVX-512 kernels on a machine without AVX-512.
emulate:
	tools/emulate_avx512/run.sh

# Conformance tests with the C++ core under sanitizers, and what fuzzers found.
sanitize:
	PYTHON=$(PYTHON) tools/sanitize.sh $(SANITIZE)

# Conformance tests without the extension.
pure:
	PYTHON=$(PYTHON) tools/pure.sh

# Integrations, against the packages that they integrate with.
integrations:
	PYTHON=$(PYTHON) tools/integrations.sh

# A source archive, and an installation from it alone.
sdist: $(VENV)/test.stamp
	PYTHON=$(PYTHON) tools/sdist.sh $(BIN)/python

format: $(VENV)/test.stamp
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	$(BIN)/clang-format -i $(CPP_FILES)

clean:
	rm -rf build dist $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .benchmarks
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# What the tests install is enough. Without a compiler there is no extension, and annx needs
# Numba.
$(VENV)/demo.stamp: $(BIN)/python $(SOURCES)
	@$(MAKE) --question $(VENV)/test.stamp 2>/dev/null || \
	  $(BIN)/python -m pip install --quiet '.[bench,cli]'
	@$(BIN)/python -c 'import annx._native' 2>/dev/null || \
	  $(BIN)/python -m pip install --quiet '.[bench,cli,numba]'
	@touch $@

$(VENV)/test.stamp: $(BIN)/python $(SOURCES)
	ANNX_REQUIRE_NATIVE=1 $(BIN)/python -m pip install --quiet '.[dev]'
	@touch $@
