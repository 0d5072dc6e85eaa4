// Brute force: the ground truth, and the slow twin of the graph.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "base/prefetch.h"
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
  // Two blocks in turns: the rows of one are on their way from memory while the other is compared.
  constexpr std::size_t kBlock = 64;
  std::array<float, kBlock> distances;
  std::array<std::array<Slot, kBlock>, 2> blocks;
  std::size_t ready = 0, current = 0, size = 0;
  const auto compare = [&](const std::array<Slot, kBlock>& slots, std::size_t rows) {
    if (rows == 0) return;
    vectors.touch(slots.data(), rows);
    // Rows in sequence need no list.
    const bool listed = slots[rows - 1] - slots[0] != rows - 1;
    vectors.space().sharper(query, listed ? vectors.base() : vectors.row(slots[0]), vectors.pitch(),
                            listed ? slots.data() : nullptr, rows, distances.data());
    for (std::size_t i = 0; i < rows; ++i) found(slots[i], distances[i]);
  };
  const std::size_t bytes = vectors.space().stride();
  for (std::size_t i = 0; i < count; ++i) {
    const Slot slot = slot_of(i);
    if (!allowed(slot)) continue;
    prefetch(vectors.row(slot), bytes);
    blocks[current][size++] = slot;
    if (size < kBlock) continue;
    compare(blocks[1 - current], ready);
    current = 1 - current;
    ready = kBlock;
    size = 0;
  }
  compare(blocks[1 - current], ready);
  compare(blocks[current], size);
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
