# Two commands do everything, set-up included:  make demo   and   make test.
# They install what is missing with apt (sudo when not root) and pip (into .venv, nothing global).

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help deps build demo test test-cpp test-python test-browser test-asan test-tsan sweep fuzz install-clang test-neon lint format bench clean

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
DATA   ?=
FUZZ_SECONDS ?= 900
STAMPS := build/stamps
SUDO   := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

APT := g++ cmake make ninja-build pkg-config ccache python3-dev python3-venv libtbb-dev libjpeg-dev \
  libpng-dev libwebp-dev libtiff-dev libhwy-dev libgtest-dev libbenchmark-dev

# The torch that a fresh environment gets. Any other works too: install it into .venv first.
TORCH := torch==2.13.0
# Of which the tests take the transforms; without what it depends on, which would be another torch.
TORCHVISION := torchvision==0.28.0

help:
	@echo "make demo       train a small network fed by torch's DataLoader, then by Stoker, and compare"
	@echo "make demo DATA=DIR   the same on the photographs in DIR (one folder for each class)"
	@echo "make test       all tests, C++ and Python"
	@echo "make lint       clang-format, clang-tidy, ruff, mypy"
	@echo "make bench      the C++ micro-benchmarks, what the Python path adds to torch's, and stoker bench"
	@echo "make test-browser  the HTML report in headless Chromium (installs it)"
	@echo "make test-asan  the C++ tests under the address and undefined-behaviour sanitizers"
	@echo "make test-tsan  the C++ tests under the thread sanitizer"
	@echo "make sweep      every allocation and system call of a loader fails in turn (takes an hour or so)"
	@echo "make fuzz       the fuzz targets, FUZZ_SECONDS=900 each (installs clang)"
	@echo "make test-neon  kernel and codec tests on Arm, in emulation (installs a cross-compiler)"
	@echo "make deps       the set-up alone;  make format  lays out the code;  make clean"

# ---- set-up --------------------------------------------------------------------------------------

# $(call apt_install,PACKAGES): those of them that are missing.
define apt_install
@missing=$$(for p in $(1); do dpkg-query -W -f '$${Status}\n' $$p 2>/dev/null | grep -q "ok installed" || echo $$p; done); \
	if [ -n "$$missing" ]; then echo "apt: installing" $$missing; \
	  { $(SUDO) apt-get update -qq && $(SUDO) env DEBIAN_FRONTEND=noninteractive \
	    apt-get install -y -qq --no-install-recommends $$missing; } >$(STAMPS)/apt.log 2>&1 \
	    || { cat $(STAMPS)/apt.log; exit 1; }; fi
endef

$(STAMPS)/apt: Makefile
	@mkdir -p $(STAMPS)
	$(call apt_install,$(APT))
	@touch $@

# What pip says of an environment is nobody's concern unless it fails.
PIP := $(BIN)/python -m pip install -q --disable-pip-version-check

$(STAMPS)/venv: requirements-dev.txt tests/python/torchvision_operators.py | $(STAMPS)/apt
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	@echo "pip: torch and the tools"
	@{ $(PIP) --upgrade pip setuptools wheel && \
	  { $(BIN)/python -c "import torch" || $(PIP) $(TORCH); } && \
	  $(PIP) -r requirements-dev.txt && $(PIP) --no-deps $(TORCHVISION) && \
	  $(BIN)/python tests/python/torchvision_operators.py; } >$(STAMPS)/pip.log 2>&1 \
	  || { cat $(STAMPS)/pip.log; exit 1; }
	@touch $@

deps: $(STAMPS)/apt $(STAMPS)/venv

# ---- build: one folder for the library, the extension and the tests -----------------------------

CSRC := $(shell find csrc torchext -type f) CMakeLists.txt setup.py pyproject.toml

$(STAMPS)/package: $(CSRC) $(STAMPS)/apt $(STAMPS)/venv
	@echo "building stoker"
	@STOKER_CMAKE_ARGS="-DSTOKER_TESTS=ON" $(BIN)/python -m pip install -q --disable-pip-version-check \
	  --no-build-isolation --no-deps -e . >build/package.log 2>&1 || { cat build/package.log; exit 1; }
	@touch $@

build: $(STAMPS)/package

demo: build
	@$(BIN)/python -m stoker demo $(if $(DATA),--data "$(DATA)")

# ---- tests ---------------------------------------------------------------------------------------

test: test-cpp test-python

# $(call run_tests,BUILD): the C++ tests, one half of them on each of two cores.
define run_tests
@printf '0\n1\n' | GTEST_TOTAL_SHARDS=2 \
	  xargs -P 2 -I {} env GTEST_SHARD_INDEX={} $(1)/lib/stoker_tests --gtest_brief=1
endef

test-cpp: build
	@cmake --build build/release --target stoker_tests
	$(call run_tests,build/release)

# Two at a time, a file each; what looks at the time or at the whole machine comes behind them.
test-python: build
	@$(BIN)/python -m pytest -n 2 --dist loadfile -m "not alone"
	@$(BIN)/python -m pytest -m alone

# The HTML report in a real browser, which `make test` does where there is one.
test-browser: build
	$(call apt_install,chromium)
	@STOKER_REQUIRE_CHROMIUM=1 $(BIN)/python -m pytest -q tests/python/test_html_page.py

test-asan: $(STAMPS)/apt
	@cmake -S . -B build/asan -G Ninja -DSTOKER_TESTS=ON \
	  "-DSTOKER_SANITIZE=address;undefined" >build/asan.log || { cat build/asan.log; exit 1; }
	@cmake --build build/asan --target stoker_tests
	$(call run_tests,build/asan)

test-tsan: $(STAMPS)/apt
	@cmake -S . -B build/tsan -G Ninja -DSTOKER_TESTS=ON \
	  -DSTOKER_SANITIZE=thread >build/tsan.log || { cat build/tsan.log; exit 1; }
	@cmake --build build/tsan --target stoker_tests
	$(call run_tests,build/tsan)

# Of which `make test` tries some.
sweep: build
	@cmake --build build/release --target stoker_tests
	@STOKER_SWEEP=all build/release/lib/stoker_tests --gtest_brief=1 --gtest_filter='LoaderFaultsTest.*'
	@STOKER_SWEEP=all $(BIN)/python -m pytest tests/python/test_interrupts.py tests/python/test_faults.py

fuzz: $(STAMPS)/apt $(STAMPS)/venv
	@tests/fuzz/clang.sh >/dev/null || $(MAKE) --no-print-directory install-clang
	@cmake -S . -B build/fuzz -G Ninja -DSTOKER_FUZZ=ON \
	  -DCMAKE_CXX_COMPILER="$$(tests/fuzz/clang.sh)" -DCMAKE_BUILD_TYPE=RelWithDebInfo \
	  "-DSTOKER_SANITIZE=fuzzer-no-link;address;undefined" >build/fuzz.log || { cat build/fuzz.log; exit 1; }
	@cmake --build build/fuzz --target fuzz_targets
	@tests/fuzz/run.sh build/fuzz $(FUZZ_SECONDS) $(BIN)/python

# libFuzzer comes with clang; in some releases its runtime is a package of its own.
install-clang:
	$(call apt_install,clang)
	$(call apt_install,$$(apt-cache pkgnames libclang-rt- | \
	  grep -x "libclang-rt-$$(clang -dumpversion | cut -d. -f1)-dev"))

test-neon: $(STAMPS)/apt
	$(call apt_install,g++-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user)
	@tests/neon.sh

bench: build
	@cmake -S . -B build/release -DSTOKER_BENCHMARKS=ON >/dev/null && cmake --build build/release
	@build/release/lib/stoker_benchmarks
	@$(BIN)/python tests/bench/python_path_cost.py
	@$(BIN)/python -m stoker bench

# ---- layout and lint -----------------------------------------------------------------------------

CXX_FILES := $(shell find csrc torchext tests -name '*.cc' -o -name '*.h')
PY_FILES  := python tests examples docs setup.py torchext

lint: build $(STAMPS)/tidy
	@$(BIN)/clang-format --dry-run --Werror $(CXX_FILES)
	@$(BIN)/ruff check --quiet $(PY_FILES)
	@$(BIN)/ruff format --quiet --check $(PY_FILES)
	@$(BIN)/mypy
	@echo "lint: clean"

# clang-tidy takes a minute or two, so it runs again only when the core has changed. Not on torchext
# (torch's headers alone take it minutes for each file) nor on the tests.
TIDY_FILES := $(shell find csrc -name '*.cc')
$(STAMPS)/tidy: $(CSRC) .clang-tidy $(STAMPS)/package
	@printf '%s\n' $(TIDY_FILES) | xargs -P 2 -n 1 $(BIN)/clang-tidy -p build/release --quiet \
	  2>build/tidy.log || { tail -5 build/tidy.log; exit 1; }
	@touch $@

format:
	@$(BIN)/clang-format -i $(CXX_FILES)
	@$(BIN)/ruff check --fix $(PY_FILES)
	@$(BIN)/ruff format $(PY_FILES)

clean:
	rm -rf build $(VENV) python/stoker/*.so python/stoker/_build_info.json python/*.egg-info
