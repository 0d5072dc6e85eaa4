// Codes of 8 bits in two planes of 4: byte j of a plane holds what belongs to dimension 2 j in its
// lower half and to 2 j + 1 in its upper. A code is 16 h + l - kMiddle for halves h and l.
#pragma once

#include <cstddef>
#include <cstdint>

namespace annx {

inline constexpr int kMiddle = 136;
// The largest magnitude of a code that the upper half of 15 can stand for.
inline constexpr int kLargestCode = 119;

constexpr std::size_t plane_bytes(std::size_t dim) noexcept { return (dim + 7) / 8 * 4; }

// Writes `count` codes, and one more where that is odd.
inline void join_planes(const std::byte* high, const std::byte* low, std::size_t count,
                        std::int8_t* codes) noexcept {
  for (std::size_t j = 0; j < (count + 1) / 2; ++j) {
    const int h = std::to_integer<int>(high[j]), l = std::to_integer<int>(low[j]);
    codes[2 * j] = static_cast<std::int8_t>((h << 4 | (l & 15)) - kMiddle);
    codes[2 * j + 1] = static_cast<std::int8_t>(((h & 240) | l >> 4) - kMiddle);
  }
}

}  // namespace annx
