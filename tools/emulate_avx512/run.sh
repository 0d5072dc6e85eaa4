#!/usr/bin/env bash
# Runs the AVX-512 kernels on a machine without AVX-512: compiles them unchanged against
# SIMDe (Debian: libsimde-dev) for AVX2 and compares them with a float64 reference.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
out=${1:-$root/build/emulate_avx512}
cxx=${CXX:-g++}
mkdir -p "$out"

flags=(-std=c++20 -O2 -g -Wall -Wextra -Wno-psabi -I"$root/cpp")
# All of UBSan doubles the time that SIMDe takes to compile.
sanitize=(-O1 -fsanitize=address,shift,signed-integer-overflow -fno-sanitize-recover=all)
avx2=(-mavx2 -mfma -mf16c)

pids=()
for file in "$root"/cpp/kernels/isa_*.cpp; do
  name=$(basename "$file" .cpp)
  case $name in
    isa_scalar) extra=() ;;
    isa_avx2) extra=("${avx2[@]}") ;;
    # SIMDe adds lanes of 16 bits as shorts, where the processor wraps around.
    isa_avx512*)
      extra=("${avx2[@]}" -isystem "$here/include" -fno-sanitize=signed-integer-overflow -fwrapv)
      ;;
    *) continue ;;
  esac
  "$cxx" "${flags[@]}" "${sanitize[@]}" "${extra[@]}" -c "$file" -o "$out/$name.o" &
  pids+=($!)
done
"$cxx" "${flags[@]}" -c "$here/check.cpp" -o "$out/check.o" &
pids+=($!)
for pid in "${pids[@]}"; do wait "$pid"; done
"$cxx" "${flags[@]}" "${sanitize[@]}" "$out"/isa_*.o "$out/check.o" -o "$out/check"
"$out/check"
