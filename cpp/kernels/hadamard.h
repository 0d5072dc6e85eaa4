// The Walsh-Hadamard transform, which rotations are made of.
#pragma once

#include <cstddef>

namespace annx::kernels {
namespace {

// Two steps together on 4 * half numbers: memory is read and written half as often.
inline void two_steps(float* __restrict x, std::size_t half) noexcept {
  for (std::size_t j = 0; j < half; ++j) {
    const float a = x[j] + x[j + half], b = x[j] - x[j + half];
    const float c = x[j + 2 * half] + x[j + 3 * half], d = x[j + 2 * half] - x[j + 3 * half];
    x[j] = a + c;
    x[j + half] = b + d;
    x[j + 2 * half] = a - c;
    x[j + 3 * half] = b - d;
  }
}

// The first four on 16 numbers: compilers make vectors of such short ones where they know how
// short. F may have its own, which adds the same numbers.
template <class F>
void first_steps(float* x) noexcept {
  if constexpr (requires { F::first_steps(x); }) {
    F::first_steps(x);
  } else {
    for (std::size_t i = 0; i < 16; i += 4) two_steps(x + i, 1);
    two_steps(x, 4);
  }
}

// Of n numbers, a power of 2.
template <class F>
void hadamard(float* __restrict x, std::size_t n) noexcept {
  std::size_t half = 1;
  if (n >= 16) {
    for (std::size_t i = 0; i < n; i += 16) first_steps<F>(x + i);
    half = 16;
  }
  for (; 2 * half < n; half *= 4) {
    for (std::size_t i = 0; i < n; i += 4 * half) two_steps(x + i, half);
  }
  if (half == n) return;
  for (std::size_t j = 0; j < half; ++j) {
    const float a = x[j], b = x[j + half];
    x[j] = a + b;
    x[j + half] = a - b;
  }
}

}  // namespace
}  // namespace annx::kernels
