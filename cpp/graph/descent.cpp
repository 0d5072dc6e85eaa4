// The way of a search to where its beam begins.
#include <algorithm>

#include "base/prefetch.h"
#include "graph/graph.h"

namespace annx {

void Graph::make_room(Scratch& scratch) const {
  // One more than a row: pruning weighs a full row and a newcomer.
  const std::size_t widest = degree() + 1;
  if (scratch.ids.size() >= widest) return;
  scratch.slots.resize(widest);
  scratch.near.resize(widest);
  scratch.across.resize(widest);
  scratch.ids.resize(widest);  // last, because it tells whether all of them are there
}

void Graph::enter(const Query& query, Scratch& scratch) const {
  make_room(scratch);
  scratch.query = query;
  scratch.pending = 0;
  scratch.descent = {top_, entry_, 0};
  if (top_ == 0) return;
  scratch.descent.nearest = vectors_.near(query, layer(top_).slots[entry_]);
  scratch.visited.reset(levels_[top_ - 1].count);
}

// Half a step at a time, as hop(): gathers the neighbours of the node, or moves to the nearest of
// those that were gathered, or where none is nearer a level down.
void Graph::descend(Scratch& scratch) const {
  Descent& descent = scratch.descent;
  const Layer here = layer(descent.level);
  if (scratch.pending == 0) {
    scratch.pending = gather(here, descent.at, scratch, true);
    if (scratch.pending > 0) return;
  }
  vectors_.near(scratch.query, scratch.slots.data(), scratch.pending, scratch.near.data());
  bool moved = false;
  for (std::size_t i = 0; i < scratch.pending; ++i) {
    if (!(scratch.near[i] < descent.nearest)) continue;
    descent.nearest = scratch.near[i];
    descent.at = scratch.ids[i];
    moved = true;
  }
  scratch.pending = 0;
  if (!moved) {
    descent.at = levels_[--descent.level].down[descent.at];
    if (descent.level > 0) scratch.visited.reset(levels_[descent.level - 1].count);
  }
  prefetch(layer(descent.level).row(descent.at), options_.M * sizeof(Slot));
}

Slot Graph::descend_to(std::size_t level, const Query& query, Scratch& scratch) const {
  enter(query, scratch);
  while (scratch.descent.level > level) descend(scratch);
  return scratch.descent.at;
}

// The node of level 0 that the levels above lead to, or a nearer seed.
Slot Graph::find_start(const Query& query, Scratch& scratch) const {
  return seeds_.nearest(vectors_, query, descend_to(0, query, scratch));
}

void Graph::start(const Query& query, const Beam& beam, Scratch& scratch) const {
  scratch.rest();
  if (entry_ == kNoLink) return;
  enter(query, scratch);
  scratch.beam = beam;
  scratch.phase = Phase::kDescent;
}

bool Graph::advance(Scratch& scratch) const {
  if (scratch.phase == Phase::kEdges) return advance_by_edges(scratch);
  if (scratch.phase == Phase::kEstimated) return compare_estimated(scratch);
  if (scratch.phase == Phase::kRows) return advance_by_rows(scratch);
  if (scratch.descent.level > 0) {
    descend(scratch);
    return true;
  }
  const auto [k, wanted, rows, by_edges] = scratch.beam;
  // A file may ask for any width.
  const std::size_t ef = std::min(wanted, rows);
  const Slot at = seeds_.nearest(vectors_, scratch.query, scratch.descent.at);
  const Stop stop = stop_for(scratch.query, k, ef, rows, at);
  if (edges_ && by_edges) {
    start_by_edges(at, stop.width(ef), rows, scratch);
  } else {
    open(layer(0), at, stop.width(ef), rows, scratch);
  }
  scratch.stop = stop;
  return true;
}

}  // namespace annx
