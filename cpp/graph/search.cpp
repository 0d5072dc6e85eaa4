#include <algorithm>

#include "base/prefetch.h"
#include "graph/graph.h"

namespace annx {

// Fills scratch.ids and scratch.slots with the neighbours of `node`, on demand only those not
// visited, which this marks, and asks for their rows.
std::size_t Graph::gather(const Layer& layer, Slot node, Scratch& scratch, bool unvisited) const {
  layer.touch(node);
  const Slot* row = layer.row(node);
  const std::size_t bytes = vectors_.space().stride();
  std::size_t count = 0;
  Slot* ids = scratch.ids.data();
  Slot* slots = scratch.slots.data();
  for (std::size_t i = 0; i < layer.degree; ++i) {
    if (row[i] == kNoLink) break;
    const Slot id = row[i] & kSlotMask;
    ids[count] = id;
    count += static_cast<std::size_t>(!unvisited || scratch.visited.mark(id));
  }
  const std::byte* base = vectors_.base();
  const std::size_t pitch = vectors_.pitch();
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
  prefetch(vectors_.row(scratch.slots[0]), vectors_.space().stride());
}

// Half a step of the beam at a time: compares the rows that were gathered, or gathers those of the
// nearest node. Between the halves of several searches their memory arrives.
bool Graph::hop(const Layer& layer, Scratch& scratch) const {
  Pool& pool = scratch.pool;
  if (scratch.pending > 0) {
    vectors_.distances(scratch.query, scratch.slots.data(), scratch.pending, scratch.near.data());
    const float bound = scratch.bound();
    for (std::size_t i = 0; i < scratch.pending; ++i) {
      if (scratch.near[i] <= bound && pool.accepts(scratch.near[i])) {
        pool.insert(scratch.near[i], scratch.ids[i]);
      }
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

void Graph::search(const Query& query, std::size_t ef, std::size_t rows, Scratch& scratch) const {
  ef = std::min(ef, rows);
  scratch.pool.reset(ef);
  if (entry_ == kNoLink) return;
  beam(query, layer(0), find_start(query, scratch), ef, rows, scratch);
}

}  // namespace annx
