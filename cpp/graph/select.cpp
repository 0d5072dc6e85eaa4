#include <algorithm>

#include "base/prefetch.h"
#include "graph/graph.h"

namespace annx {

// Algorithm 4: a candidate is kept unless some kept neighbour is nearer to it than the new node
// is; then the nearest of the rest fill the list up, marked as occluded. Reads scratch.candidates,
// sorted by distance.
void Graph::select(const Layer& layer, std::size_t most, Scratch& scratch,
                   std::vector<Batch::Edge>& edges) const {
  // Checked this many at a time, so that an early occluder saves the rest.
  constexpr std::size_t kChunk = 4;
  // Candidates' rows asked for before they are read: a sixth of the time of a bulk build.
  constexpr std::size_t kAhead = 4;
  edges.clear();
  std::size_t kept = 0;
  std::vector<Neighbor>& candidates = scratch.candidates;
  std::size_t rejected = 0;
  for (std::size_t c = 0; c < candidates.size() && kept < most; ++c) {
    const Neighbor candidate = candidates[c];
    if (c + kAhead < candidates.size()) {
      prefetch(vectors_.row(layer.slot(candidates[c + kAhead].id)), vectors_.space().stride());
    }
    const Query query = vectors_.query(layer.slot(candidate.id));
    bool occluded = false;
    for (std::size_t at = 0; at < kept && !occluded; at += kChunk) {
      const std::size_t count = std::min(kChunk, kept - at);
      vectors_.distances(query, scratch.slots.data() + at, count, scratch.near.data());
      for (std::size_t i = 0; i < count; ++i) occluded |= scratch.near[i] < candidate.distance;
    }
    if (occluded) {
      candidates[rejected++] = candidate;
    } else {
      scratch.slots[kept++] = layer.slot(candidate.id);
      edges.push_back({candidate.id, candidate.distance, false});
    }
  }
  const std::size_t fill = std::min(rejected, most - kept);
  for (std::size_t i = 0; i < fill; ++i) {
    edges.push_back({candidates[i].id, candidates[i].distance, true});
  }
  std::inplace_merge(
      edges.begin(), edges.begin() + static_cast<std::ptrdiff_t>(kept), edges.end(),
      [](const Batch::Edge& a, const Batch::Edge& b) { return a.distance < b.distance; });
}

}  // namespace annx
