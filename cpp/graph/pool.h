// The beam of a search: the nearest nodes so far, sorted, each marked when expanded.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <vector>

#include "base/types.h"

namespace annx {

class Pool {
 public:
  void reset(std::size_t capacity) {
    if (ids_.size() < capacity + 1) {
      distances_.resize(capacity + 1 + kStep);
      ids_.resize(capacity + 1);  // last, because it tells whether there is room
    }
    std::fill_n(distances_.begin(), capacity + 1 + kStep, kNone);
    capacity_ = capacity;
    size_ = 0;
    next_ = 0;
  }

  std::size_t size() const noexcept { return size_; }
  Neighbor operator[](std::size_t i) const noexcept {
    return {distances_[i], ids_[i] & ~kExpanded};
  }

  bool accepts(float distance) const noexcept {
    return size_ < capacity_ || distance < distances_[size_ - 1];
  }

  // The caller has asked accepts().
  void insert(float distance, Slot id) noexcept {
    const std::size_t place = rank(distance), moved = size_ - place;
    std::memmove(&distances_[place + 1], &distances_[place], moved * sizeof(float));
    std::memmove(&ids_[place + 1], &ids_[place], moved * sizeof(Slot));
    distances_[place] = distance;
    ids_[place] = id;
    if (size_ < capacity_) {
      ++size_;
    } else {
      distances_[capacity_] = kNone;
    }
    next_ = std::min(next_, place);
  }

  // The nearest node not yet expanded, which this marks; false when there is none.
  bool pop(Slot& id) noexcept {
    if (next_ >= size_) return false;
    id = ids_[next_];
    ids_[next_] |= kExpanded;
    do {
      ++next_;
    } while (next_ < size_ && (ids_[next_] & kExpanded) != 0);
    return true;
  }

  // Of the node that pop would return; infinity when there is none.
  float next_distance() const noexcept { return next_ < size_ ? distances_[next_] : kNone; }
  // Of the k-th node, from 1; infinity when there is none, as for k = 0.
  float kth(std::size_t k) const noexcept { return k - 1 < size_ ? distances_[k - 1] : kNone; }

  // What accepts() compares with.
  float limit() const noexcept { return size_ < capacity_ ? kNone : distances_[size_ - 1]; }

  // The nodes that pop would return next, as many as `ids` holds, no farther than `limit`; returns
  // how many.
  std::size_t peek(std::span<Slot> ids, float limit = kNone) const noexcept {
    std::size_t found = 0;
    for (std::size_t i = next_; i < size_ && found < ids.size() && distances_[i] <= limit; ++i) {
      if ((ids_[i] & kExpanded) == 0) ids[found++] = ids_[i];
    }
    return found;
  }

  // Drops the others. Nothing can be inserted or popped after.
  template <class Wanted>
  void keep(const Wanted& wanted) noexcept {
    std::size_t kept = 0;
    for (std::size_t i = 0; i < size_; ++i) {
      if (!wanted(ids_[i] & ~kExpanded)) continue;
      distances_[kept] = distances_[i];
      ids_[kept++] = ids_[i];
    }
    size_ = kept;
  }

  // The node that pop would return; false when there is none.
  bool peek(Slot& id) const noexcept {
    if (next_ >= size_) return false;
    id = ids_[next_];
    return true;
  }

 private:
  static constexpr Slot kExpanded = 1U << 31;
  static constexpr float kNone = std::numeric_limits<float>::infinity();
  // Distances compared at once, whatever is there: kNone follows the last.
  static constexpr std::size_t kStep = 16;
  // So many are compared one and all, which no branch has to foresee.
  static constexpr std::size_t kScan = 128;

  // How many entries stay before a distance; equal ones do.
  std::size_t rank(float distance) const noexcept {
    const float* first = distances_.data();
    std::size_t count = size_;
    while (count > kScan) {
      const std::size_t half = count / 2;
      if (distance < first[half]) {
        count = half;
      } else {
        first += half;
        count -= half;
      }
    }
    std::uint32_t before = 0;
    for (std::size_t i = 0; i < (count + kStep - 1) / kStep * kStep; ++i) {
      before += first[i] <= distance ? 1 : 0;
    }
    const std::size_t place = static_cast<std::size_t>(first - distances_.data()) + before;
    return distance == distance ? std::min(place, size_) : size_;
  }

  // More than capacity: insertion shifts before the last one falls off, and kStep distances.
  std::vector<float> distances_;
  std::vector<Slot> ids_;
  std::size_t capacity_ = 0;
  std::size_t size_ = 0;
  std::size_t next_ = 0;
};

}  // namespace annx
