// Brute force: the ground truth, and the slow twin of the graph.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
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

// Calls found(slot, distance) for each of the first `rows` rows that `allowed(slot)`.
template <class Allowed, class Found>
void scan(const Vectors& vectors, const Query& query, std::size_t rows, const Allowed& allowed,
          const Found& found) {
  constexpr std::size_t kBlock = 256;
  std::array<float, kBlock> distances;
  std::array<Slot, kBlock> slots;
  std::size_t count = 0;
  const auto flush = [&] {
    // Rows in sequence need no list.
    if (count > 0 && slots[count - 1] - slots[0] == count - 1) {
      vectors.space().distances(query, vectors.row(slots[0]), nullptr, count, distances.data());
    } else {
      vectors.distances(query, slots.data(), count, distances.data());
    }
    for (std::size_t i = 0; i < count; ++i) found(slots[i], distances[i]);
    count = 0;
  };
  for (std::size_t i = 0; i < rows; ++i) {
    if (!allowed(static_cast<Slot>(i))) continue;
    slots[count++] = static_cast<Slot>(i);
    if (count == kBlock) flush();
  }
  flush();
}

}  // namespace annx
