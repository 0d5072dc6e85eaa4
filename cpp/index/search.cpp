// Queries: the walk over the graph, exact comparison of its best, brute force.
#include <algorithm>
#include <limits>

#include "exact/exact.h"
#include "index/index.h"

namespace annx {

// Compares the best of the beam again by their exact distances, nearest first, into
// scratch.candidates. Stops where the coarse distance exceeds the k-th exact one by more than
// chance: three standard deviations of a difference of two.
void Index::rerank(const std::byte* query, const Query& coarse, std::size_t k,
                   Scratch& scratch) const {
  const std::size_t found = scratch.pool.size();
  std::vector<Neighbor>& exact = scratch.candidates;
  exact.clear();
  scratch.exact_work.resize(originals_->space().work_bytes());
  const Query prepared = originals_->space().prepare(query, scratch.exact_work.data());
  constexpr std::size_t kChunk = 8;
  float margin = 0;
  for (std::size_t at = 0; at < found;) {
    const std::size_t count = std::min(found - at, at == 0 ? std::max(k, kChunk) : kChunk);
    if (scratch.ids.size() < count) scratch.ids.resize(count);
    if (scratch.near.size() < count) scratch.near.resize(count);
    for (std::size_t i = 0; i < count; ++i) scratch.ids[i] = scratch.pool[at + i].id;
    originals_->distances(prepared, scratch.ids.data(), count, scratch.near.data());
    for (std::size_t i = 0; i < count; ++i) exact.push_back({scratch.near[i], scratch.ids[i]});
    at += count;
    if (at < k || at == found) continue;
    std::nth_element(exact.begin(), exact.begin() + static_cast<std::ptrdiff_t>(k - 1), exact.end(),
                     [](const Neighbor& a, const Neighbor& b) { return a.distance < b.distance; });
    margin = std::max(margin, 3 * vectors_.space().error(coarse, vectors_.row(exact[k - 1].id)));
    if (scratch.pool[at].distance > exact[k - 1].distance + margin) break;
  }
  std::sort(exact.begin(), exact.end(),
            [](const Neighbor& a, const Neighbor& b) { return a.distance < b.distance; });
}

// Dead nodes are few: the beam is wider by their share, and by more where they crowd.
void Index::search_alive(const Query& query, std::size_t k, std::size_t ef,
                         Scratch& scratch) const {
  const Bits& dead = graph_.dead();
  const std::size_t alive = live_nodes();
  const std::size_t nodes = alive + dead.count();
  for (std::size_t width = ef + ef * dead.count() / alive + 1;; width *= 2) {
    graph_.search(query, std::min(width, nodes), size_, scratch);
    scratch.pool.keep([&](Slot slot) { return !dead.test(slot); });
    if (scratch.pool.size() >= std::min(k, alive) || width >= nodes) return;
  }
}

void Index::compare_all(const std::byte* query, std::size_t k, Scratch& scratch, Label* labels,
                        float* distances) const {
  const Space& exact = kept().space();
  scratch.work.resize(exact.work_bytes());
  const Query prepared = exact.prepare(query, scratch.work.data());
  Nearest nearest(std::min(k, size_));
  scan(
      kept(), prepared, size_, [&](Slot slot) { return labels_.has(slot); },
      [&](Slot slot, float distance) { nearest.offer(distance, slot); });
  const std::vector<Neighbor> hits = std::move(nearest).sorted();
  for (std::size_t i = 0; i < k; ++i) {
    labels[i] = i < hits.size() ? labels_[hits[i].id] : kNoLabel;
    distances[i] = i < hits.size() ? hits[i].distance : std::numeric_limits<float>::infinity();
  }
}

void Index::search_one(const std::byte* query, std::size_t k, std::size_t ef, Scratch& scratch,
                       Label* labels, float* distances) const {
  scratch.work.resize(space().work_bytes());
  const Query prepared = space().prepare(query, scratch.work.data());
  const Gate::Reader reader(gate_);
  // A bulk build writes the graph while the index is empty.
  if (size_ == 0) {
    scratch.pool.reset(0);
  } else if (2 * k >= labels_.count()) {
    // A beam as wide as that costs more than to compare with every row.
    compare_all(query, k, scratch, labels, distances);
    return;
  } else if (graph_.dead().empty()) {
    graph_.search(prepared, std::min(std::max(ef, k), size_), size_, scratch);
  } else {
    search_alive(prepared, k, std::max(ef, k), scratch);
  }
  if (originals_) rerank(query, prepared, k, scratch);
  std::size_t found = 0;
  const auto put = [&](Slot slot, float distance) {
    labels[found] = labels_[slot];
    distances[found] = distance;
    ++found;
  };
  const std::size_t hits = originals_ ? scratch.candidates.size() : scratch.pool.size();
  for (std::size_t i = 0; i < hits && found < k; ++i) {
    const Neighbor hit = originals_ ? scratch.candidates[i] : scratch.pool[i];
    put(hit.id, hit.distance);
    if (twins_.empty()) continue;
    for (const Slot twin : twins_.of(hit.id)) {
      if (found == k) break;
      put(twin, hit.distance);
    }
  }
  for (; found < k; ++found) {
    labels[found] = kNoLabel;
    distances[found] = std::numeric_limits<float>::infinity();
  }
}

void Index::search(const std::byte* queries, std::size_t count, std::size_t k, std::size_t ef,
                   std::size_t num_threads, const Poll& poll, Label* labels,
                   float* distances) const {
  for_queries(count, num_threads, poll, [&](std::size_t i, Scratch& scratch) {
    search_one(queries + i * space().input_bytes(), k, ef, scratch, labels + i * k,
               distances + i * k);
  });
}

void Index::exact_search(const std::byte* queries, std::size_t count, std::size_t k,
                         std::size_t num_threads, const Poll& poll, Label* labels,
                         float* distances) const {
  for_queries(count, num_threads, poll, [&](std::size_t i, Scratch& scratch) {
    const Gate::Reader reader(gate_);
    compare_all(queries + i * space().input_bytes(), k, scratch, labels + i * k, distances + i * k);
  });
}

}  // namespace annx
