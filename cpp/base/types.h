#pragma once

#include <cstddef>
#include <cstdint>

namespace annx {

using Label = std::int64_t;
// Position of a row. 30 bits, because a link of level 0 carries two flags beside it.
using Slot = std::uint32_t;

inline constexpr Label kNoLabel = -1;
inline constexpr Slot kNoLink = 0xffffffffU;
inline constexpr Slot kTreeFlag = 1U << 31;
inline constexpr Slot kOccludedFlag = 1U << 30;
inline constexpr Slot kSlotMask = kOccludedFlag - 1;
inline constexpr std::size_t kMaxRows = kSlotMask - 1;

struct Neighbor {
  float distance;
  Slot id;
};

enum class Metric { kL2, kInnerProduct, kCosine, kHamming };
enum class Codec { kF32, kF16, kBF16, kI8, kU8, kB1 };

}  // namespace annx
