// Nodes far from each other, where a search may begin.
//
// Clusters far apart have few edges between them, and as rows fill up with nearer neighbours the
// way from one to another may go: what the upper levels find is then the nearest node of a wrong
// cluster. So a search begins at the nearest of these nodes if that one is nearer. They are chosen
// as the centres of k-center are, which any cluster far from all others has one of while there are
// enough (Gonzalez, "Clustering to minimize the maximum intercluster distance", 1985), but row by
// row: one that is farther from all of them than the two nearest of them are apart takes the place
// of one of these.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "base/types.h"
#include "storage/state.h"
#include "storage/vectors.h"

namespace annx {

class Seeds {
 public:
  static constexpr std::size_t kMost = kMostSeeds;

  std::span<const Slot> nodes() const noexcept { return nodes_; }
  // At most kMost nodes.
  void set(std::span<const Slot> nodes);
  void clear() noexcept;

  // The seed nearest to the query, or `at` if that is as near.
  Slot nearest(const Vectors& vectors, const Query& query, Slot at) const;

  // Considers nodes that are none yet, in order. The result does not depend on `num_threads`.
  void offer(const Vectors& vectors, std::span<const Slot> nodes, std::size_t num_threads);

 private:
  class Pairs;

  float nearness(const Vectors& vectors, Slot node) const;

  std::vector<Slot> nodes_;
  // Distance of the two nearest, once it is needed.
  std::optional<float> apart_;
};

}  // namespace annx
