// All that an index holds, as plain arrays of someone else's (see State in _backends/base.py).
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "base/types.h"

namespace annx {

// Places where a search may begin (see graph/seeds.h). They cost a search as many distances.
inline constexpr std::size_t kMostSeeds = 64;
// Ranks whose distances tell where a search may stop (see graph/growth.h).
inline constexpr std::size_t kGrowthRanks = 9;

struct StateView {
  struct Level {
    std::span<const Slot> down;
    std::span<const Slot> links;
  };
  std::span<const std::byte> rows;
  std::span<const std::byte> originals;
  std::span<const Slot> links;
  std::span<const Label> labels;  // kNoLabel where a row was removed
  std::span<const float> norms;
  std::span<const Slot> twins;  // pairs of slot and representative
  std::vector<Level> levels;
  Slot entry = 0;
  std::span<const Slot> seeds;
  // Nothing, or how many rows are still to come until they are learned anew, and the distances.
  std::span<const float> growth;
};

}  // namespace annx
