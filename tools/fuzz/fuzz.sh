#!/usr/bin/env bash
# Fuzzes the readers of index files: the native one under ASan and UBSan by libFuzzer, and the one
# in Python. Needs clang (Debian: clang, libclang-rt-dev).
#   FUZZ_SECONDS=60 tools/fuzz/fuzz.sh
# What is found is in build/fuzz: crashes/*, files/bad-*. See README.md.
set -euo pipefail
cd "$(dirname "$0")/../.."

seconds=${FUZZ_SECONDS:-60}
python=${PYTHON:-python3}
dir=build/fuzz
corpus=tests/fuzz_corpus
mkdir -p "$dir/states" "$dir/files" "$dir/crashes"

# A wheel that nobody installs: what builds it brings pybind11.
CXX=${CLANG:-clang++} "$python" -m pip wheel --quiet --no-deps --wheel-dir "$dir/wheel" . \
  -C build-dir="$dir/cmake" -C cmake.build-type=Debug \
  -C cmake.define.CMAKE_CXX_FLAGS_DEBUG="-O1 -g" -C cmake.define.ANNX_FUZZ=ON \
  -C cmake.define.ANNX_SANITIZE=fuzzer-no-link,address,undefined

"$python" tools/fuzz/seeds.py "$dir/seeds"
ASAN_OPTIONS=detect_leaks=0 "$dir/cmake/tools/fuzz/annx_fuzz" -max_total_time=$((seconds / 2)) \
  -max_len=8192 -timeout=10 -rss_limit_mb=1024 -artifact_prefix="$dir/crashes/" \
  "$dir/states" "$corpus/states" "$dir/seeds"
cp -n "$corpus"/files/* "$dir/files"
"$python" tools/fuzz/reader.py $((seconds / 2)) "$dir/files" "$dir/kept"
