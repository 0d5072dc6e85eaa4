// What turning floats into integer codes takes, in forms that compilers make vectors of.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace annx {

// The nearest integer, of two the even one, to a magnitude of 2^22: by a magic number, which
// vectorises without SSE4.1.
inline std::int32_t nearest_integer(float x) noexcept {
  return std::bit_cast<std::int32_t>(x + 0x1.8p23F) - 0x4b400000;
}

// Largest magnitude, in as many chains as the compiler may keep in vectors.
inline float largest_of(const float* x, std::size_t count) noexcept {
  constexpr std::size_t kChains = 16;
  float most[kChains] = {};
  std::size_t i = 0;
  for (; i + kChains <= count; i += kChains) {
    for (std::size_t c = 0; c < kChains; ++c) {
      const float magnitude = std::abs(x[i + c]);
      most[c] = most[c] < magnitude ? magnitude : most[c];
    }
  }
  for (; i < count; ++i) most[0] = std::max(most[0], std::abs(x[i]));
  return *std::max_element(most, most + kChains);
}

}  // namespace annx
