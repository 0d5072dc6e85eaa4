// Marks that need no clearing between searches: a node is marked if its byte equals the current
// epoch. One byte a node keeps 250,000 nodes within a 256 KB L2.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "base/types.h"

namespace annx {

class Visited {
 public:
  void reset(std::size_t nodes) {
    if (epochs_.size() < nodes) {
      epochs_.assign(nodes + nodes / 2, 0);
      epoch_ = 0;
    }
    if (++epoch_ == 0) {
      std::memset(epochs_.data(), 0, epochs_.size());
      epoch_ = 1;
    }
  }
  // True at the first call for `id` since reset.
  bool mark(Slot id) noexcept {
    const bool first = epochs_[id] != epoch_;
    epochs_[id] = epoch_;
    return first;
  }
  // Moves those of `ids` that are not marked to the front, marks them and returns how many.
  std::size_t mark_all(Slot* ids, std::size_t count) noexcept {
    std::uint8_t* epochs = epochs_.data();
    const std::uint8_t epoch = epoch_;
    std::size_t first = 0;
    for (std::size_t i = 0; i < count; ++i) {
      const Slot id = ids[i];
      ids[first] = id;
      first += static_cast<std::size_t>(epochs[id] != epoch);
      epochs[id] = epoch;
    }
    return first;
  }
  bool has(Slot id) const noexcept { return epochs_[id] == epoch_; }
  std::size_t bytes() const noexcept { return epochs_.size(); }

 private:
  std::vector<std::uint8_t> epochs_;
  std::uint8_t epoch_ = 0;
};

}  // namespace annx
