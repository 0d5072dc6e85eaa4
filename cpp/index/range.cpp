// All rows within a radius.
#include <algorithm>

#include "exact/exact.h"
#include "index/index.h"

namespace annx {

// Nodes nearer than `radius` by their exact distances, in any order. `done` is false if so many are
// that comparing with every row is cheaper.
std::vector<Neighbor> Index::near_by_graph(const std::byte* input, float radius, std::size_t ef,
                                           Scratch& scratch, bool& done) const {
  scratch.work.resize(space().work_bytes());
  const Query query = space().prepare(input, scratch.work.data());
  Walk cost;
  float coarse = radius;
  if (reranks()) {
    // Coarse distances err: as in rerank, by three standard deviations at most.
    const Slot start = graph_.nearest_by(query, scratch, cost);
    coarse += 3 * space().error(query, vectors_.row(start));
  }
  const std::size_t width = std::min(ef, live_nodes());
  std::vector<Neighbor> found;
  done = graph_.search_within(query, coarse, width, size_, size_ / 4 + 1000, scratch, cost);
  if (!done) return found;
  const WidePool& pool = scratch.wide;
  std::vector<Slot> slots;
  std::vector<float> near;
  for (std::size_t i = 0; i < pool.size(); ++i) {
    if (!reranks() && !(pool[i].distance < radius)) break;
    slots.push_back(pool[i].id);
    near.push_back(pool[i].distance);
  }
  if (reranks()) {
    const Space& space = kept().space();
    scratch.exact_work.resize(space.work_bytes());
    const Query exact = space.prepare(input, scratch.exact_work.data());
    kept().touch(slots.data(), slots.size());
    space.sharper(exact, kept().base(), kept().pitch(), slots.data(), slots.size(), near.data());
  }
  for (std::size_t i = 0; i < slots.size(); ++i) {
    if (near[i] < radius) found.push_back({near[i], slots[i]});
  }
  return found;
}

Index::Hits Index::range_one(const std::byte* input, float radius, std::size_t ef,
                             const Filter* filter, bool exact, Scratch& scratch) const {
  const Gate::Reader reader(gate_);
  settle_twins();
  const std::shared_ptr<const Filter::Slots> slots = filter ? resolve(*filter) : nullptr;
  const bool listed = filter != nullptr && filter->allow();
  const std::size_t all = labels_.count();
  Passing rows;
  if (slots) rows = {slots->rows.data(), !listed, nullptr};
  const auto allowed = [&](Slot slot) { return labels_.has(slot) && rows(slot); };

  std::vector<Neighbor> found;
  const auto offer = [&](Slot slot, float distance) {
    if (distance < radius) found.push_back({distance, slot});
  };
  // Few rows are compared in the time that a beam takes.
  const std::size_t pass = listed ? slots->listed.size() : all;
  bool done = !exact && pass > 64 * ef;
  if (done) {
    for (const Neighbor node : near_by_graph(input, radius, ef, scratch, done)) {
      if (allowed(node.id)) found.push_back(node);
      if (twins_.empty()) continue;
      for (const Slot twin : twins_.of(node.id)) {
        if (allowed(twin)) found.push_back({node.distance, twin});
      }
    }
  }
  if (!done) {
    const Space& space = kept().space();
    scratch.exact_work.resize(space.work_bytes());
    const Query query = space.prepare(input, scratch.exact_work.data());
    if (listed) {
      scan_listed(kept(), query, slots->listed, allowed, offer);
    } else {
      scan(kept(), query, size_, allowed, offer);
    }
  }
  std::sort(found.begin(), found.end(), [](const Neighbor& a, const Neighbor& b) {
    return a.distance != b.distance ? a.distance < b.distance : a.id < b.id;
  });
  Hits hits;
  for (const Neighbor& hit : found) {
    hits.labels.push_back(label_of(hit.id));
    hits.distances.push_back(hit.distance);
  }
  return hits;
}

std::vector<Index::Hits> Index::range_search(const std::byte* queries, std::size_t count,
                                             float radius, std::size_t ef,
                                             std::span<const Filter* const> filters, bool exact,
                                             std::size_t num_threads, const Poll& poll) const {
  std::vector<Hits> all(count);
  for_queries(count, num_threads, poll, [&](std::size_t i, Scratch& scratch) {
    const Filter* filter = filters.empty() ? nullptr : filters[filters.size() == 1 ? 0 : i];
    all[i] = range_one(queries + i * space().input_bytes(), radius, ef, filter, exact, scratch);
  });
  return all;
}

}  // namespace annx
