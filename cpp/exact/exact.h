// Brute force: the ground truth, and the slow twin of the graph.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "base/types.h"
#include "storage/vectors.h"

namespace annx {

// The nearest so far, ties by slot.
class Nearest {
 public:
  explicit Nearest(std::size_t k) : k_(k) {}

  void offer(float distance, Slot slot) {
    const Neighbor one{distance, slot};
    if (heap_.size() == k_) {
      if (k_ == 0 || !nearer(one, heap_.front())) return;
      std::pop_heap(heap_.begin(), heap_.end(), nearer);
      heap_.back() = one;
    } else {
      heap_.push_back(one);
    }
    std::push_heap(heap_.begin(), heap_.end(), nearer);
  }
  // Nearest first.
  std::vector<Neighbor> sorted() && {
    std::sort_heap(heap_.begin(), heap_.end(), nearer);
    return std::move(heap_);
  }

 private:
  static bool nearer(const Neighbor& a, const Neighbor& b) noexcept {
    return a.distance != b.distance ? a.distance < b.distance : a.id < b.id;
  }

  std::size_t k_;
  std::vector<Neighbor> heap_;  // the farthest on top
};

// Calls found(slot, distance) for `count` rows, the i-th being slot_of(i), that `allowed(slot)`.
template <class SlotOf, class Allowed, class Found>
void scan(const Vectors& vectors, const Query& query, std::size_t count, const SlotOf& slot_of,
          const Allowed& allowed, const Found& found) {
  constexpr std::size_t kBlock = 256;
  std::array<float, kBlock> distances;
  std::array<Slot, kBlock> slots;
  std::size_t size = 0;
  const auto flush = [&] {
    vectors.touch(slots.data(), size);
    // Rows in sequence need no list.
    if (size > 0 && slots[size - 1] - slots[0] == size - 1) {
      vectors.space().sharper(query, vectors.row(slots[0]), vectors.pitch(), nullptr, size,
                              distances.data());
    } else {
      vectors.space().sharper(query, vectors.base(), vectors.pitch(), slots.data(), size,
                              distances.data());
    }
    for (std::size_t i = 0; i < size; ++i) found(slots[i], distances[i]);
    size = 0;
  };
  for (std::size_t i = 0; i < count; ++i) {
    const Slot slot = slot_of(i);
    if (!allowed(slot)) continue;
    slots[size++] = slot;
    if (size == kBlock) flush();
  }
  flush();
}

// Of the first `rows` rows.
template <class Allowed, class Found>
void scan(const Vectors& vectors, const Query& query, std::size_t rows, const Allowed& allowed,
          const Found& found) {
  scan(vectors, query, rows, [](std::size_t i) { return static_cast<Slot>(i); }, allowed, found);
}

// Of the rows that `slots` names, in rising order.
template <class Allowed, class Found>
void scan_listed(const Vectors& vectors, const Query& query, std::span<const Slot> slots,
                 const Allowed& allowed, const Found& found) {
  scan(vectors, query, slots.size(), [&](std::size_t i) { return slots[i]; }, allowed, found);
}

}  // namespace annx
