#!/usr/bin/env bash
# Runs the conformance tests with the C++ core under sanitizers, in an environment of its own, and
# replays what fuzzers found (tools/fuzz).
#   tools/sanitize.sh [address,undefined | thread] [pytest arguments]
set -euo pipefail
cd "$(dirname "$0")/.."

sanitizers=${1:-address,undefined}
shift || true  # fails where there is no argument, which is fine
dir=build/sanitize-${sanitizers//,/-}
python=$dir/venv/bin/python

[ -x "$python" ] || "${PYTHON:-python3}" -m venv "$dir/venv"
ANNX_REQUIRE_NATIVE=1 "$python" -m pip install --quiet '.[test]' \
  -C build-dir="$dir/cmake" -C cmake.build-type=Debug \
  -C cmake.define.CMAKE_CXX_FLAGS_DEBUG="-O1 -g" \
  -C cmake.define.ANNX_SANITIZE="$sanitizers" -C cmake.define.ANNX_FUZZ=ON

# CPython frees little of what it allocates for its own lifetime.
export ASAN_OPTIONS=detect_leaks=0:abort_on_error=1${ASAN_OPTIONS:+:$ASAN_OPTIONS}
skipped=()
if [[ $sanitizers == *address* ]]; then
  # A child that is forked while a thread is in ASan's allocator waits for that thread for ever:
  # GCC 12's does not take its own locks for a fork.
  skipped=(--deselect
    tests/conformance/test_concurrency.py::test_fork_in_the_midst_of_everything)
  "$dir/cmake/tools/fuzz/annx_replay" tests/fuzz_corpus/states
  "$dir/cmake/tools/fuzz/annx_exhaust" 41
fi

# Python itself is not instrumented, so the runtime must be there before it starts, and
# libstdc++ with it, because the runtime looks up __cxa_throw when it is loaded.
cxx=${CXX:-g++}
case $sanitizers in
  *thread*) runtime=libtsan.so ;;
  *) runtime=libasan.so ;;
esac
export LD_PRELOAD="$("$cxx" -print-file-name=$runtime) $("$cxx" -print-file-name=libstdc++.so)"
# A forked child starts worker threads of its own.
export TSAN_OPTIONS=die_after_fork=0${TSAN_OPTIONS:+:$TSAN_OPTIONS}
export ANNX_BACKEND=native PYTHONMALLOC=malloc
# TSan does not see how the threads of NumPy's BLAS wait for each other, and reports them.
export OPENBLAS_NUM_THREADS=1
# Not fd capture: it would swallow the report of a sanitizer that ends the process.
# test_isa.py repeats the suite for other instruction sets, all of whose kernels
# test_kernels.py runs anyway. The search must end within a second at full speed.
exec "$python" -m pytest -p no:cacheprovider --capture=sys \
  --deselect tests/conformance/test_isa.py \
  --deselect tests/conformance/test_threads.py::test_ctrl_c_in_a_long_search "${skipped[@]}" \
  tests/conformance tests/unit/test_fuzz_corpus.py "$@"
