// How distances grow with rank, and where a search may therefore stop.
//
// A beam of width ef ends where the next node is farther than ef others. That is late for a query
// whose nearest rows stand out, and early for one in a crowd. Instead a search ends where the next
// node is (1 + gamma) times as far as the k-th (Al-Jazzazi et al., "Distance Adaptive Beam Search
// for Provably Accurate Graph-Based Nearest Neighbor Search", 2025). Gamma follows from ef: it is
// what lies between the k-th and the ef-th neighbour of the median row, so that some ef nodes are
// expanded on average. Queries may come from elsewhere than rows do, so never fewer than half as
// many, nor more than twice.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <limits>
#include <span>

#include "storage/state.h"

namespace annx {

// When a search stops.
struct Stop {
  std::size_t k = 0;      // 0: only when its beam is expanded
  float factor = 1;       // of the distance of the k-th,
  std::size_t least = 0;  // but not before so many nodes are expanded
  std::size_t most = std::numeric_limits<std::size_t>::max();
  float margin = 0;  // of distances of codes: how far they may be from the truth

  // What the next node must not be beyond. A distance of 0 may come out below.
  float bound(float kth) const noexcept {
    return k == 0 ? std::numeric_limits<float>::infinity() : factor * std::max(kth, 0.0F) + margin;
  }
  // Of the beam that it ends, where one of `ef` is asked for.
  std::size_t width(std::size_t ef) const noexcept { return k == 0 ? ef : 2 * ef; }
  bool ends(std::size_t expanded, float next, float bound) const noexcept {
    return expanded >= most || (expanded >= least && next > bound);
  }
};

class Growth {
 public:
  // Ranks 1, 2, 4, ... 256.
  static constexpr std::size_t kRanks = kGrowthRanks;
  static constexpr std::size_t kWidest = std::size_t{1} << (kRanks - 1);
  // Distances of these ranks, in any unit.
  using Profile = std::array<float, kRanks>;

  // Positive and not falling, or zeros: nothing is known.
  const Profile& profile() const noexcept { return profile_; }
  void set(const Profile& profile) noexcept { profile_ = profile; }
  // The median of the samples, each in units of its own distance of rank 16. Of few, nothing.
  void learn(std::span<const Profile> samples);

  // For a beam of width ef among `nodes`.
  Stop stop(std::size_t k, std::size_t ef, std::size_t nodes, float margin) const noexcept;

 private:
  bool known() const noexcept { return profile_[0] > 0; }
  double logarithm(std::size_t rank) const noexcept;

  Profile profile_{};
};

}  // namespace annx
