#include "graph/graph.h"

namespace annx {
namespace {

// A hop's first rows start their way from memory while the rest of the list is gathered.
constexpr std::size_t kLine = 64;
constexpr std::size_t kEarlyRows = 4;

void prefetch(const void* address) noexcept {
#if defined(__GNUC__)
  __builtin_prefetch(address);
#else
  (void)address;
#endif
}

}  // namespace

// Fills scratch.ids and scratch.slots with the neighbours of `node`, on demand only those not
// visited, which this marks.
std::size_t Graph::gather(const Layer& layer, Slot node, Scratch& scratch, bool unvisited) const {
  const Slot* row = layer.links + std::size_t{node} * layer.degree;
  std::size_t count = 0;
  for (std::size_t i = 0; i < layer.degree; ++i) {
    if (row[i] == kNoLink) break;
    const Slot id = row[i] & kSlotMask;
    if (unvisited && !scratch.visited.mark(id)) continue;
    const Slot slot = layer.slot(id);
    if (count < kEarlyRows) {
      const std::byte* address = vectors_.row(slot);
      prefetch(address);
      prefetch(address + kLine);
    }
    scratch.ids[count] = id;
    scratch.slots[count] = slot;
    ++count;
  }
  return count;
}

Slot Graph::greedy(const Query& query, const Layer& layer, Slot start, Scratch& scratch) const {
  Slot best = start;
  float nearest = vectors_.distance(query, layer.slots[start]);
  for (bool moved = true; moved;) {
    moved = false;
    const std::size_t count = gather(layer, best, scratch, false);
    vectors_.distances(query, scratch.slots.data(), count, scratch.near.data());
    for (std::size_t i = 0; i < count; ++i) {
      if (scratch.near[i] < nearest) {
        nearest = scratch.near[i];
        best = scratch.ids[i];
        moved = true;
      }
    }
  }
  return best;
}

void Graph::beam(const Query& query, const Layer& layer, Slot start, std::size_t ef,
                 std::size_t nodes, Scratch& scratch) const {
  Pool& pool = scratch.pool;
  pool.reset(ef);
  scratch.visited.reset(nodes);
  scratch.visited.mark(start);
  pool.insert(vectors_.distance(query, layer.slot(start)), start);
  for (Slot node; pool.pop(node);) {
    const std::size_t count = gather(layer, node, scratch, true);
    if (Slot next; pool.peek(next)) {
      const auto* row =
          reinterpret_cast<const std::byte*>(layer.links + std::size_t{next} * layer.degree);
      for (std::size_t at = 0; at < layer.degree * sizeof(Slot); at += kLine) prefetch(row + at);
    }
    vectors_.distances(query, scratch.slots.data(), count, scratch.near.data());
    for (std::size_t i = 0; i < count; ++i) {
      if (pool.accepts(scratch.near[i])) pool.insert(scratch.near[i], scratch.ids[i]);
    }
  }
}

void Graph::make_room(Scratch& scratch) const {
  // One more than a row: pruning weighs a full row and a newcomer.
  const std::size_t widest = degree() + 1;
  if (scratch.ids.size() >= widest) return;
  scratch.ids.resize(widest);
  scratch.slots.resize(widest);
  scratch.near.resize(widest);
  scratch.across.resize(widest);
}

void Graph::search(const Query& query, std::size_t ef, std::size_t rows, Scratch& scratch) const {
  scratch.pool.reset(ef);
  if (entry_ == kNoLink) return;
  make_room(scratch);
  Slot at = entry_;
  for (std::size_t level = top_; level > 0; --level) {
    at = levels_[level - 1].down[greedy(query, layer(level), at, scratch)];
  }
  beam(query, layer(0), at, ef, rows, scratch);
}

}  // namespace annx
