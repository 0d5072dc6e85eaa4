// Which nodes a search may return.
#pragma once

#include <cstdint>

#include "base/bits.h"
#include "base/types.h"

namespace annx {

struct Passing {
  const std::uint64_t* bits = nullptr;  // by slot, for all slots; null: all pass
  bool deny = false;                    // the bits are of those that do not
  const Bits* dead = nullptr;

  bool operator()(Slot slot) const noexcept {
    if (bits != nullptr && ((bits[slot / 64] >> (slot % 64) & 1) != 0) == deny) return false;
    return dead == nullptr || !dead->test(slot);
  }
};

// What a walk over the graph cost.
struct Walk {
  std::size_t expanded = 0;   // nodes whose neighbours were looked at
  std::size_t distances = 0;  // distances computed
};

}  // namespace annx
