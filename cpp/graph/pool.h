// The beam of a search: the nearest nodes so far, sorted, each marked when expanded.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <limits>
#include <vector>

#include "base/types.h"

namespace annx {

class Pool {
 public:
  void reset(std::size_t capacity) {
    if (entries_.size() < capacity + 1) entries_.resize(capacity + 1);
    capacity_ = capacity;
    size_ = 0;
    next_ = 0;
  }

  std::size_t size() const noexcept { return size_; }
  Neighbor operator[](std::size_t i) const noexcept {
    return {entries_[i].distance, entries_[i].id & ~kExpanded};
  }

  bool accepts(float distance) const noexcept {
    return size_ < capacity_ || distance < entries_[size_ - 1].distance;
  }

  // The caller has asked accepts().
  void insert(float distance, Slot id) noexcept {
    Neighbor* first = entries_.data();
    Neighbor* place = std::upper_bound(
        first, first + size_, distance,
        [](float d, const Neighbor& entry) noexcept { return d < entry.distance; });
    std::memmove(place + 1, place, static_cast<std::size_t>(first + size_ - place) * sizeof *place);
    *place = {distance, id};
    size_ = std::min(size_ + 1, capacity_);
    next_ = std::min(next_, static_cast<std::size_t>(place - first));
  }

  // The nearest node not yet expanded, which this marks; false when there is none.
  bool pop(Slot& id) noexcept {
    if (next_ >= size_) return false;
    id = entries_[next_].id;
    entries_[next_].id |= kExpanded;
    do {
      ++next_;
    } while (next_ < size_ && (entries_[next_].id & kExpanded) != 0);
    return true;
  }

  // Of the node that pop would return; infinity when there is none.
  float next_distance() const noexcept {
    return next_ < size_ ? entries_[next_].distance : std::numeric_limits<float>::infinity();
  }
  // Of the k-th node, from 1; infinity when there is none.
  float kth(std::size_t k) const noexcept {
    return k - 1 < size_ ? entries_[k - 1].distance : std::numeric_limits<float>::infinity();
  }

  // What accepts() compares with.
  float limit() const noexcept {
    return size_ < capacity_ ? std::numeric_limits<float>::infinity()
                             : entries_[size_ - 1].distance;
  }

  // Replaces the content.
  void assign(const std::vector<Neighbor>& sorted) {
    reset(sorted.size());
    std::copy(sorted.begin(), sorted.end(), entries_.begin());
    size_ = next_ = sorted.size();
  }

  // The nodes that pop would return next, up to two; returns how many.
  std::size_t peek(std::array<Slot, 2>& ids) const noexcept {
    std::size_t found = 0;
    for (std::size_t i = next_; i < size_ && found < ids.size(); ++i) {
      if ((entries_[i].id & kExpanded) == 0) ids[found++] = entries_[i].id;
    }
    return found;
  }

  // Drops the others. Nothing can be inserted or popped after.
  template <class Wanted>
  void keep(const Wanted& wanted) noexcept {
    std::size_t kept = 0;
    for (std::size_t i = 0; i < size_; ++i) {
      if (wanted(entries_[i].id & ~kExpanded)) entries_[kept++] = entries_[i];
    }
    size_ = kept;
  }

  // The node that pop would return; false when there is none.
  bool peek(Slot& id) const noexcept {
    if (next_ >= size_) return false;
    id = entries_[next_].id;
    return true;
  }

 private:
  static constexpr Slot kExpanded = 1U << 31;

  // One more than capacity: insertion shifts before the last one falls off.
  std::vector<Neighbor> entries_;
  std::size_t capacity_ = 0;
  std::size_t size_ = 0;
  std::size_t next_ = 0;
};

}  // namespace annx
