#include "exact/exact.h"

#include <algorithm>
#include <array>

namespace annx {

std::vector<Neighbor> exact_search(const Vectors& vectors, const Query& query, std::size_t rows,
                                   std::size_t k) {
  const auto nearer = [](const Neighbor& a, const Neighbor& b) {
    return a.distance != b.distance ? a.distance < b.distance : a.id < b.id;
  };
  std::vector<Neighbor> heap;  // the farthest on top
  heap.reserve(std::min(k, rows) + 1);
  std::array<float, 256> distances;
  for (std::size_t first = 0; first < rows && k > 0; first += distances.size()) {
    const std::size_t count = std::min(distances.size(), rows - first);
    vectors.space().sharper(query, vectors.row(static_cast<Slot>(first)), vectors.pitch(), nullptr,
                            count, distances.data());
    for (std::size_t i = 0; i < count; ++i) {
      if (heap.size() == k && !(distances[i] < heap.front().distance)) continue;
      heap.push_back({distances[i], static_cast<Slot>(first + i)});
      std::push_heap(heap.begin(), heap.end(), nearer);
      if (heap.size() > k) {
        std::pop_heap(heap.begin(), heap.end(), nearer);
        heap.pop_back();
      }
    }
  }
  std::sort_heap(heap.begin(), heap.end(), nearer);
  return heap;
}

}  // namespace annx
