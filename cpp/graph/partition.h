// Splits rows into small overlapping groups of near neighbours.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "base/types.h"
#include "storage/vectors.h"

namespace annx {

struct Leaf {
  std::vector<Slot> slots;
  // Which of its two leaves this is to each slot, 0 or 1.
  std::vector<std::uint8_t> turn;
};

// Every slot is in the leaves of its two nearest leaders, and those are split on by one leader
// each until they hold at most `most` (the ball carving of PiPNN, arXiv 2602.21247, section 4).
// Depends on the seed and the slots alone. `poll` is called now and then; what it throws ends the
// work.
std::vector<Leaf> partition(const Vectors& vectors, const std::vector<Slot>& slots,
                            std::size_t most, std::uint64_t seed, std::size_t num_threads,
                            const std::function<void()>& poll);

}  // namespace annx
