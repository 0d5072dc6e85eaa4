// What turning floats into integer codes takes, in forms that compilers make vectors of.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace annx {

// The nearest integer, of two the even one, to a magnitude of 2^22: by a magic number, which
// vectorises without SSE4.1.
inline std::int32_t nearest_integer(float x) noexcept {
  return std::bit_cast<std::int32_t>(x + 0x1.8p23F) - 0x4b400000;
}

// Largest magnitude of finite numbers: their bits, without signs, are in the same order, and the
// largest of integers is found in vectors.
inline float largest_of(const float* x, std::size_t count) noexcept {
  std::int32_t most = 0;
  for (std::size_t i = 0; i < count; ++i) {
    most = std::max(most, std::bit_cast<std::int32_t>(x[i]) & 0x7fffffff);
  }
  return std::bit_cast<float>(most);
}

}  // namespace annx
