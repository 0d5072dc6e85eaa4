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
  for (std::size_t i = 0; i < layer.degree; ++i) {
    if (row[i] == kNoLink) break;
    const Slot id = row[i] & kSlotMask;
    if (unvisited && !scratch.visited.mark(id)) continue;
    const Slot slot = layer.slot(id);
    prefetch(vectors_.row(slot), bytes);
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
  scratch.by_edges = false;
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

void Graph::make_room(Scratch& scratch) const {
  // One more than a row: pruning weighs a full row and a newcomer.
  const std::size_t widest = degree() + 1;
  if (scratch.ids.size() >= widest) return;
  scratch.slots.resize(widest);
  scratch.near.resize(widest);
  scratch.across.resize(widest);
  scratch.ids.resize(widest);  // last, because it tells whether all of them are there
}

// The node of level 0 that a greedy walk through the levels above finds, or a nearer seed.
Slot Graph::descend(const Query& query, Scratch& scratch) const {
  make_room(scratch);
  Slot at = entry_;
  for (std::size_t level = top_; level > 0; --level) {
    at = levels_[level - 1].down[greedy(query, layer(level), at, scratch)];
  }
  return seeds_.nearest(vectors_, query, at);
}

void Graph::start(const Query& query, std::size_t k, std::size_t ef, std::size_t rows,
                  Scratch& scratch) const {
  ef = std::min(ef, rows);
  scratch.pool.reset(ef);
  scratch.pending = 0;
  scratch.by_edges = false;
  if (entry_ == kNoLink) return;
  scratch.query = query;
  const Slot at = descend(query, scratch);
  const Stop stop = stop_for(query, k, ef, rows, at);
  if (stop.k > 0) ef *= 2;
  if (edges_) {
    start_by_edges(at, ef, rows, scratch);
  } else {
    open(layer(0), at, ef, rows, scratch);
  }
  scratch.stop = stop;
}

void Graph::search(const Query& query, std::size_t ef, std::size_t rows, Scratch& scratch) const {
  ef = std::min(ef, rows);
  scratch.pool.reset(ef);
  if (entry_ == kNoLink) return;
  beam(query, layer(0), descend(query, scratch), ef, rows, scratch);
}

}  // namespace annx
