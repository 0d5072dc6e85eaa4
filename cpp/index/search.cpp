// Queries: the walk over the graph, sharper comparison of its best, brute force.
#include <algorithm>
#include <limits>

#include "base/prefetch.h"
#include "exact/exact.h"
#include "graph/turns.h"
#include "index/index.h"

namespace annx {

// Compares the best of the beam again by sharper distances, nearest first, into
// scratch.candidates. Stops where the coarse distance exceeds the k-th sharp one by more than
// chance: three standard deviations of a difference of two.
void Index::rerank(const std::byte* query, std::size_t k, Scratch& scratch) const {
  const std::size_t found = scratch.pool.size();
  std::vector<Neighbor>& sharp = scratch.candidates;
  sharp.clear();
  Query prepared = scratch.query;
  if (originals_) {
    scratch.exact_work.resize(originals_->space().work_bytes());
    prepared = originals_->space().prepare(query, scratch.exact_work.data());
  }
  const Vectors& vectors = kept();
  constexpr std::size_t kChunk = 8;
  float margin = 0;
  for (std::size_t at = 0; at < found;) {
    const std::size_t count = std::min(found - at, at == 0 ? std::max(k, kChunk) : kChunk);
    if (scratch.ids.size() < count) scratch.ids.resize(count);
    if (scratch.near.size() < count) scratch.near.resize(count);
    for (std::size_t i = 0; i < count; ++i) {
      scratch.ids[i] = scratch.pool[at + i].id;
      prefetch(vectors.row(scratch.ids[i]), vectors.space().stride());
    }
    vectors.touch(scratch.ids.data(), count);
    vectors.space().sharper(prepared, vectors.base(), vectors.pitch(), scratch.ids.data(), count,
                            scratch.near.data());
    for (std::size_t i = 0; i < count; ++i) sharp.push_back({scratch.near[i], scratch.ids[i]});
    at += count;
    if (at < k || at == found) continue;
    std::nth_element(sharp.begin(), sharp.begin() + static_cast<std::ptrdiff_t>(k - 1), sharp.end(),
                     [](const Neighbor& a, const Neighbor& b) { return a.distance < b.distance; });
    const float error = vectors_.space().error(scratch.query, vectors_.row(sharp[k - 1].id));
    margin = std::max(margin, 3 * error);
    if (scratch.pool[at].distance > sharp[k - 1].distance + margin) break;
  }
  std::sort(sharp.begin(), sharp.end(),
            [](const Neighbor& a, const Neighbor& b) { return a.distance < b.distance; });
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
    labels[i] = i < hits.size() ? label_of(hits[i].id) : kNoLabel;
    distances[i] = i < hits.size() ? hits[i].distance : std::numeric_limits<float>::infinity();
  }
}

// Dead nodes are few: the beam is wider by their share. 0 where it would cost more than to compare
// with every row.
std::size_t Index::beam_width(std::size_t k, std::size_t ef) const {
  if (2 * k >= labels_.count()) return 0;
  const std::size_t dead = graph_.dead().count(), alive = live_nodes();
  ef = std::max(ef, k);
  return std::min(dead == 0 ? ef : ef + ef * dead / alive + 1, alive + dead);
}

void Index::begin(const std::byte* query, std::size_t k, std::size_t ef, Scratch& scratch) const {
  const std::size_t width = beam_width(k, ef);
  if (width == 0) {
    scratch.rest();
    return;
  }
  scratch.work.resize(space().work_bytes());
  graph_.start(space().prepare(query, scratch.work.data()), {k, width, size_}, scratch);
}

// Drops dead nodes from the result. Where they crowd, wider beams find what else there is.
void Index::keep_alive(std::size_t k, std::size_t width, Scratch& scratch) const {
  const Bits& dead = graph_.dead();
  const std::size_t alive = live_nodes(), nodes = alive + dead.count();
  const Query query = scratch.query;
  for (;; width *= 2) {
    scratch.pool.keep([&](Slot slot) { return !dead.test(slot); });
    if (scratch.pool.size() >= std::min(k, alive) || width >= nodes) return;
    graph_.search(query, std::min(2 * width, nodes), size_, scratch);
  }
}

void Index::finish(const std::byte* query, std::size_t k, std::size_t ef, Scratch& scratch,
                   Label* labels, float* distances) const {
  const std::size_t width = beam_width(k, ef);
  // A bulk build writes the graph while the index is empty.
  if (width == 0) {
    compare_all(query, k, scratch, labels, distances);
    return;
  }
  if (!graph_.dead().empty()) keep_alive(k, width, scratch);
  if (reranks()) rerank(query, k, scratch);
  std::size_t found = 0;
  const auto put = [&](Slot slot, float distance) {
    labels[found] = label_of(slot);
    distances[found] = distance;
    ++found;
  };
  const std::size_t hits = reranks() ? scratch.candidates.size() : scratch.pool.size();
  for (std::size_t i = 0; i < hits && found < k; ++i) {
    const Neighbor hit = reranks() ? scratch.candidates[i] : scratch.pool[i];
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
  for_ranges(count, num_threads, poll, [&](std::size_t from, std::size_t to) {
    const Gate::Reader reader(gate_);
    settle_twins();
    const auto query = [&](std::size_t i) { return queries + i * space().input_bytes(); };
    take_turns(
        graph_, scratch_, from, to,
        [&](std::size_t i, Scratch& scratch) {
          if (i + 1 < to) prefetch(query(i + 1), space().input_bytes());
          begin(query(i), k, ef, scratch);
        },
        [&](std::size_t i, Scratch& scratch) {
          finish(query(i), k, ef, scratch, labels + i * k, distances + i * k);
        });
  });
}

void Index::exact_search(const std::byte* queries, std::size_t count, std::size_t k,
                         std::size_t num_threads, const Poll& poll, Label* labels,
                         float* distances) const {
  for_queries(count, num_threads, poll, [&](std::size_t i, Scratch& scratch) {
    const Gate::Reader reader(gate_);
    settle_twins();
    compare_all(queries + i * space().input_bytes(), k, scratch, labels + i * k, distances + i * k);
  });
}

}  // namespace annx
