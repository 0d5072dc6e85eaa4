// A beam that is as wide as it must be to hold a number of nodes that count: those between them
// that do not take no room. Sorted, each marked when expanded.
#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>
#include <vector>

#include "base/types.h"

namespace annx {

class WidePool {
 public:
  // Room for `capacity` nodes that count.
  void reset(std::size_t capacity) {
    entries_.clear();
    capacity_ = capacity;
    counted_ = 0;
    next_ = 0;
  }

  std::size_t size() const noexcept { return entries_.size(); }
  std::size_t counted() const noexcept { return counted_; }
  Neighbor operator[](std::size_t i) const noexcept {
    return {entries_[i].distance, entries_[i].id & kSlotMask};
  }
  bool counts(std::size_t i) const noexcept { return (entries_[i].id & kCounts) != 0; }

  // Of the node that pop would return; infinity when there is none.
  float next_distance() const noexcept {
    return next_ < entries_.size() ? entries_[next_].distance
                                   : std::numeric_limits<float>::infinity();
  }
  // Whether that node counts.
  bool next_counts() const noexcept { return next_ < entries_.size() && counts(next_); }
  // Nodes up to the k-th that counts, or all.
  std::size_t rank(std::size_t k) const noexcept {
    std::size_t i = 0;
    for (std::size_t seen = 0; i < size() && seen < k; ++i) seen += counts(i) ? 1 : 0;
    return i;
  }
  // Of the k-th node that counts; infinity when there is none.
  float kth(std::size_t k) const noexcept {
    return counted_ < k || k == 0 ? std::numeric_limits<float>::infinity()
                                  : entries_[rank(k) - 1].distance;
  }

  bool accepts(float distance) const noexcept {
    return counted_ < capacity_ || distance < entries_.back().distance;
  }

  // The caller has asked accepts().
  void insert(float distance, Slot id, bool counts) {
    const auto place =
        std::upper_bound(entries_.begin(), entries_.end(), distance,
                         [](float d, const Neighbor& entry) { return d < entry.distance; });
    next_ = std::min(next_, static_cast<std::size_t>(place - entries_.begin()));
    entries_.insert(place, {distance, id | (counts ? kCounts : 0)});
    counted_ += counts ? 1 : 0;
    // Nothing behind the last that counts can lead to a better one.
    while (counted_ > capacity_ || (counted_ == capacity_ && (entries_.back().id & kCounts) == 0)) {
      counted_ -= (entries_.back().id & kCounts) != 0 ? 1 : 0;
      entries_.pop_back();
    }
  }

  // The nearest node not yet expanded, which this marks; false when there is none.
  bool pop(Slot& id) noexcept {
    if (next_ >= entries_.size()) return false;
    id = entries_[next_].id & kSlotMask;
    entries_[next_].id |= kExpanded;
    do {
      ++next_;
    } while (next_ < entries_.size() && (entries_[next_].id & kExpanded) != 0);
    return true;
  }

 private:
  static constexpr Slot kExpanded = 1U << 31;
  static constexpr Slot kCounts = 1U << 30;

  std::vector<Neighbor> entries_;
  std::size_t capacity_ = 0;
  std::size_t counted_ = 0;
  std::size_t next_ = 0;
};

}  // namespace annx
