#include <algorithm>
#include <utility>

#include "base/prefetch.h"
#include "graph/graph.h"

namespace annx {

// Fills scratch.ids and scratch.slots with the neighbours of `node`, on demand only those not
// visited, which this marks, and asks for their rows.
std::size_t Graph::gather(const Layer& layer, Slot node, Scratch& scratch, bool unvisited) const {
  layer.touch(node);
  const Slot* row = layer.row(node);
  Slot* ids = scratch.ids.data();
  Slot* slots = scratch.slots.data();
  std::size_t count = 0;
  // Links fill a row from its front. All places alike: where they end is hard to foresee.
  for (std::size_t i = 0; i < layer.degree; ++i) {
    ids[i] = row[i] & kSlotMask;
    count += row[i] != kNoLink ? 1 : 0;
  }
  if (unvisited) count = scratch.visited.mark_all(ids, count);
  const std::byte* base = vectors_.base();
  const std::size_t pitch = vectors_.pitch(), bytes = vectors_.space().near_bytes();
  for (std::size_t i = 0; i < count; ++i) {
    const Slot slot = layer.slot(ids[i]);
    slots[i] = slot;
    prefetch(base + slot * pitch, bytes);
  }
  return count;
}

void Graph::open(const Layer& layer, Slot start, std::size_t ef, std::size_t nodes,
                 Scratch& scratch) const {
  // No wider than there are nodes: a file may ask for any width.
  scratch.pool.reset(std::min(ef, nodes));
  scratch.visited.reset(nodes);
  scratch.visited.mark(start);
  scratch.ids[0] = start;
  scratch.slots[0] = layer.slot(start);
  scratch.pending = 1;
  scratch.stop = {};
  scratch.hops = 0;
  scratch.phase = Phase::kRows;
  prefetch(vectors_.row(scratch.slots[0]), vectors_.space().near_bytes());
}

// Half a step of the beam at a time: compares the rows that were gathered, or gathers those of the
// nearest node. Between the halves of several searches their memory arrives.
bool Graph::hop(const Layer& layer, Scratch& scratch) const {
  Pool& pool = scratch.pool;
  if (scratch.pending > 0) {
    vectors_.near(scratch.query, scratch.slots.data(), scratch.pending, scratch.near.data());
    // Most are too far, and which are is hard to predict: first the others alone.
    float* near = scratch.near.data();
    Slot* ids = scratch.ids.data();
    const float limit = std::min(scratch.bound(), pool.limit());
    std::size_t count = 0;
    for (std::size_t i = 0; i < scratch.pending; ++i) {
      const float distance = near[i];
      near[count] = distance;
      ids[count] = ids[i];
      count += static_cast<std::size_t>(distance <= limit);
    }
    for (std::size_t i = 0; i < count; ++i) {
      if (pool.accepts(near[i])) pool.insert(near[i], ids[i]);
    }
    scratch.pending = 0;
    Slot next;
    if (!pool.peek(next)) return false;
    prefetch(layer.row(next), layer.degree * sizeof(Slot));
    return true;
  }
  Slot node;
  if (scratch.stop.ends(scratch.hops, pool.next_distance(), scratch.bound()) || !pool.pop(node)) {
    return false;
  }
  ++scratch.hops;
  scratch.pending = gather(layer, node, scratch, true);
  // The node after it, unless a nearer one comes.
  if (Slot next; pool.peek(next)) prefetch(layer.row(next), layer.degree * sizeof(Slot));
  return true;
}

void Graph::beam(const Query& query, const Layer& layer, Slot start, std::size_t ef,
                 std::size_t nodes, Scratch& scratch) const {
  scratch.query = query;
  open(layer, start, ef, nodes, scratch);
  while (hop(layer, scratch)) {
  }
}

bool Graph::advance_by_rows(Scratch& scratch) const { return hop(layer(0), scratch); }

// The pool by whole rows, as choosing neighbours needs it.
void Graph::sharpen(const Layer& layer, Scratch& scratch) const {
  const std::size_t found = scratch.pool.size();
  if (found == 0 || !vectors_.space().is_coarse()) return;
  if (scratch.slots.size() < found) scratch.slots.resize(found);
  if (scratch.near.size() < found) scratch.near.resize(found);
  for (std::size_t i = 0; i < found; ++i) {
    scratch.slots[i] = layer.slot(scratch.pool[i].id);
    prefetch(vectors_.row(scratch.slots[i]), vectors_.space().stride());
  }
  vectors_.distances(scratch.query, scratch.slots.data(), found, scratch.near.data());
  scratch.found.reset(found);
  for (std::size_t i = 0; i < found; ++i) scratch.found.insert(scratch.near[i], scratch.pool[i].id);
  std::swap(scratch.pool, scratch.found);
}

void Graph::search(const Query& query, std::size_t ef, std::size_t rows, Scratch& scratch) const {
  ef = std::min(ef, rows);
  scratch.pool.reset(ef);
  if (entry_ == kNoLink) return;
  beam(query, layer(0), find_start(query, scratch), ef, rows, scratch);
}

}  // namespace annx
