// The walk that edges' codes guide: a hop reads one row, and computes one distance and the
// estimates of its neighbours'.
#include <algorithm>
#include <array>
#include <bit>

#include "base/prefetch.h"
#include "graph/graph.h"

namespace annx {

// A node's links, codes and row, in one piece.
void Graph::fetch(Slot node) const noexcept { prefetch(vectors_.lead(node), vectors_.pitch()); }

void Graph::start_by_edges(Slot start, std::size_t ef, std::size_t rows, Scratch& scratch) const {
  scratch.by_edges = true;
  scratch.edge_work.resize(edges_->work_bytes());
  scratch.edge_query = edges_->prepare(vectors_.space(), scratch.query, scratch.edge_work.data());
  scratch.visited.reset(rows);
  scratch.visited.mark(start);
  scratch.expanded.clear();
  scratch.pool.reset(ef);
  fetch(start);
  scratch.pool.insert(vectors_.distance(scratch.query, start), start);
}

bool Graph::advance_by_edges(Scratch& scratch) const {
  Pool& pool = scratch.pool;
  Slot node;
  if (!pool.pop(node)) return false;
  const float distance = vectors_.distance(scratch.query, node);
  scratch.expanded.push_back({distance, node});
  const Slot* links = links_of(node);
  alignas(64) float estimates[EdgeCodes::kBlock];
  for (std::size_t block = 0; block < edges_->blocks(); ++block) {
    const Slot* ids = links + block * EdgeCodes::kBlock;
    std::uint32_t near = edges_->estimate(scratch.edge_query, vectors_, node, block, distance,
                                          pool.limit(), estimates);
    for (; near != 0; near &= near - 1) {
      const auto j = static_cast<std::size_t>(std::countr_zero(near));
      // Links fill a row from its front.
      if (block * EdgeCodes::kBlock + j >= degree() || ids[j] == kNoLink) break;
      const Slot id = ids[j] & kSlotMask;
      // Marked when it enters the pool: until then another edge may estimate it better.
      if (!pool.accepts(estimates[j]) || !scratch.visited.mark(id)) continue;
      pool.insert(estimates[j], id);
    }
  }
  std::array<Slot, 2> next;
  const std::size_t waiting = pool.peek(next);
  for (std::size_t i = 0; i < waiting; ++i) fetch(next[i]);
  if (waiting > 0) return true;
  std::sort(scratch.expanded.begin(), scratch.expanded.end(),
            [](const Neighbor& a, const Neighbor& b) {
              return a.distance != b.distance ? a.distance < b.distance : a.id < b.id;
            });
  pool.assign(scratch.expanded);
  return false;
}

}  // namespace annx
