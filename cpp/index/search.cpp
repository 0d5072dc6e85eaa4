// Queries: the walk over the graph, exact comparison of its best, brute force.
#include <algorithm>
#include <functional>
#include <limits>

#include "base/prefetch.h"
#include "base/thread_pool.h"
#include "exact/exact.h"
#include "graph/turns.h"
#include "index/index.h"

namespace annx {

namespace {

// Queries a task: enough to amortise a wake-up, few enough to spread over threads.
constexpr std::size_t kTask = 32;

// Calls body(from, to) for ranges of queries, and poll between rounds of some ten milliseconds of
// work on each thread.
void for_queries(std::size_t count, std::size_t num_threads, const Poll& poll,
                 const std::function<void(std::size_t, std::size_t)>& body) {
  const std::size_t round = kTask * num_threads * 4;
  for (std::size_t first = 0; first < count; first += round) {
    const std::size_t end = std::min(count, first + round);
    parallel_for((end - first + kTask - 1) / kTask, num_threads, [&](std::size_t task) {
      const std::size_t from = first + task * kTask;
      body(from, std::min(end, from + kTask));
    });
    if (poll) poll(end);
  }
}

}  // namespace

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
    vectors.space().sharper(prepared, vectors.base(), vectors.pitch(), scratch.ids.data(), count,
                            scratch.near.data());
    for (std::size_t i = 0; i < count; ++i) sharp.push_back({scratch.near[i], scratch.ids[i]});
    at += count;
    if (at < k || at == found) continue;
    std::nth_element(sharp.begin(), sharp.begin() + static_cast<std::ptrdiff_t>(k - 1), sharp.end(),
                     [](const Neighbor& a, const Neighbor& b) { return a.distance < b.distance; });
    const float error =
        vectors_.space().error(scratch.query, vectors_.row(sharp[k - 1].id));
    margin = std::max(margin, 3 * error);
    if (scratch.pool[at].distance > sharp[k - 1].distance + margin) break;
  }
  std::sort(sharp.begin(), sharp.end(),
            [](const Neighbor& a, const Neighbor& b) { return a.distance < b.distance; });
}

void Index::begin(const std::byte* query, std::size_t k, std::size_t ef, Scratch& scratch) const {
  scratch.work.resize(space().work_bytes());
  const Query prepared = space().prepare(query, scratch.work.data());
  // A bulk build writes the graph while the index is empty.
  if (size_ == 0) {
    scratch.pool.reset(0);
    scratch.by_edges = false;
    scratch.pending = 0;
  } else {
    graph_.start(prepared, std::min(std::max(ef, k), size_), size_, scratch);
  }
}

void Index::finish(const std::byte* query, std::size_t k, Scratch& scratch, Label* labels,
                   float* distances) const {
  const bool sharpened = originals_ || space().has_more();
  if (sharpened) rerank(query, k, scratch);
  std::size_t found = 0;
  const auto put = [&](Slot slot, float distance) {
    labels[found] = labels_[slot];
    distances[found] = distance;
    ++found;
  };
  const std::size_t hits = sharpened ? scratch.candidates.size() : scratch.pool.size();
  for (std::size_t i = 0; i < hits && found < k; ++i) {
    const Neighbor hit = sharpened ? scratch.candidates[i] : scratch.pool[i];
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
  for_queries(count, num_threads, poll, [&](std::size_t from, std::size_t to) {
    const Gate::Reader reader(gate_);
    const auto query = [&](std::size_t i) { return queries + i * space().input_bytes(); };
    take_turns(
        graph_, scratch_, from, to,
        [&](std::size_t i, Scratch& scratch) { begin(query(i), k, ef, scratch); },
        [&](std::size_t i, Scratch& scratch) {
          finish(query(i), k, scratch, labels + i * k, distances + i * k);
        });
  });
}

void Index::exact_search(const std::byte* queries, std::size_t count, std::size_t k,
                         std::size_t num_threads, const Poll& poll, Label* labels,
                         float* distances) const {
  for_queries(count, num_threads, poll, [&](std::size_t from, std::size_t to) {
    ScratchPool::Lease lease(scratch_);
    const Space& exact = kept().space();
    Scratch& scratch = *lease;
    scratch.work.resize(exact.work_bytes());
    for (std::size_t i = from; i < to; ++i) {
      const Query query = exact.prepare(queries + i * exact.input_bytes(), scratch.work.data());
      const Gate::Reader reader(gate_);
      const std::vector<Neighbor> hits = annx::exact_search(kept(), query, size_, k);
      for (std::size_t j = 0; j < k; ++j) {
        labels[i * k + j] = j < hits.size() ? labels_[hits[j].id] : kNoLabel;
        distances[i * k + j] =
            j < hits.size() ? hits[j].distance : std::numeric_limits<float>::infinity();
      }
    }
  });
}

}  // namespace annx
