// The walk that edges' codes guide: a hop reads one row, and computes one distance and the
// estimates of its neighbours'.
#include <algorithm>
#include <array>
#include <bit>
#include <utility>

#include "base/prefetch.h"
#include "graph/graph.h"

namespace annx {

// A node's links, codes and row, in one piece.
void Graph::fetch(Slot node) const noexcept { prefetch(vectors_.lead(node), vectors_.pitch()); }

void Graph::start_by_edges(Slot start, std::size_t ef, std::size_t rows, Scratch& scratch) const {
  scratch.phase = Phase::kEdges;
  scratch.hops = 0;
  scratch.edge_work.resize(edges_->work_bytes());
  scratch.edge_query = edges_->prepare(vectors_.space(), scratch.query, scratch.edge_work.data());
  scratch.visited.reset(rows);
  scratch.visited.mark(start);
  scratch.found.reset(ef);
  scratch.pool.reset(ef);
  fetch(start);
  scratch.pool.insert(vectors_.distance(scratch.query, start), start);
}

bool Graph::advance_by_edges(Scratch& scratch) const {
  Pool& pool = scratch.pool;
  Slot node;
  if (!pool.pop(node)) return false;
  const float distance = vectors_.distance(scratch.query, node);
  if (scratch.found.accepts(distance)) scratch.found.insert(distance, node);
  // The pool's bound comes earlier: estimates of the k nearest are there before these are expanded.
  const Stop& stop = scratch.stop;
  const float bound = stop.bound(std::min(scratch.found.kth(stop.k), pool.kth(stop.k)));
  const Slot* links = links_of(node);
  alignas(64) float estimates[EdgeCodes::kBlock];
  for (std::size_t block = 0; block < edges_->blocks(); ++block) {
    const Slot* ids = links + block * EdgeCodes::kBlock;
    std::uint32_t near = edges_->estimate(scratch.edge_query, vectors_, node, block, distance,
                                          std::min(pool.limit(), bound), estimates);
    // First those not visited, all marks read at once: they are seldom near.
    std::array<std::uint8_t, EdgeCodes::kBlock> fresh;
    std::size_t count = 0;
    for (; near != 0; near &= near - 1) {
      const auto j = static_cast<std::uint8_t>(std::countr_zero(near));
      // Links fill a row from its front.
      if (block * EdgeCodes::kBlock + j >= degree() || ids[j] == kNoLink) break;
      fresh[count] = j;
      count += static_cast<std::size_t>(!scratch.visited.has(ids[j] & kSlotMask));
    }
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t j = fresh[i];
      // Marked when it enters the pool: until then another edge may estimate it better.
      if (!pool.accepts(estimates[j])) continue;
      scratch.visited.mark(ids[j] & kSlotMask);
      pool.insert(estimates[j], ids[j] & kSlotMask);
    }
  }
  if (!stop.ends(++scratch.hops, pool.next_distance(), bound)) {
    std::array<Slot, 2> next;
    const std::size_t waiting = pool.peek(next);
    for (std::size_t i = 0; i < waiting; ++i) fetch(next[i]);
    if (waiting > 0) return true;
  }
  gather_estimated(scratch);
  return true;
}

// Asks for the rows of those nearest in the pool that a result may want although none has been
// expanded: an estimate within a tenth of the k-th distance may be nearer than that.
void Graph::gather_estimated(Scratch& scratch) const {
  constexpr std::size_t kLeast = 16;
  constexpr float kReach = 1.1F;
  const std::size_t most = std::min(std::max(scratch.beam.k, kLeast), scratch.pool.size());
  if (scratch.slots.size() < most) scratch.slots.resize(most);
  if (scratch.near.size() < most) scratch.near.resize(most);
  const float kth = scratch.found.kth(scratch.beam.k);
  scratch.pending = scratch.pool.peek({scratch.slots.data(), most}, kth > 0 ? kReach * kth : kth);
  for (std::size_t i = 0; i < scratch.pending; ++i) {
    prefetch(vectors_.row(scratch.slots[i]), vectors_.space().stride());
  }
  scratch.phase = Phase::kEstimated;
}

bool Graph::compare_estimated(Scratch& scratch) const {
  vectors_.distances(scratch.query, scratch.slots.data(), scratch.pending, scratch.near.data());
  for (std::size_t i = 0; i < scratch.pending; ++i) {
    if (!scratch.found.accepts(scratch.near[i])) continue;
    scratch.found.insert(scratch.near[i], scratch.slots[i]);
  }
  scratch.pending = 0;
  std::swap(scratch.pool, scratch.found);
  return false;
}

}  // namespace annx
