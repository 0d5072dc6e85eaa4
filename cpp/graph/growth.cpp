#include "graph/growth.h"

#include <cmath>
#include <vector>

#include "base/thread_pool.h"
#include "graph/graph.h"

namespace annx {
namespace {

// Rank whose distance is a sample's unit: the k of most searches is near it.
constexpr std::size_t kUnit = 4;  // log2
// Copies of a row are at distance 0; a ratio to that says nothing.
constexpr float kLeast = 1e-6F;
constexpr double kMostFactor = 0x1p100;
// Samples that a median needs.
constexpr std::size_t kFewest = 16;

}  // namespace

void Growth::learn(std::span<const Profile> samples) {
  std::vector<Profile> scaled;
  for (Profile sample : samples) {
    const float unit = sample[kUnit];
    if (!(unit > 0) || !std::isfinite(sample[kRanks - 1] / unit)) continue;
    for (float& distance : sample) distance = std::max(distance / unit, kLeast);
    scaled.push_back(sample);
  }
  profile_ = {};
  if (scaled.size() < kFewest) return;
  const auto middle = scaled.begin() + static_cast<std::ptrdiff_t>(scaled.size() / 2);
  float before = 0;
  for (std::size_t r = 0; r < kRanks; ++r) {
    std::nth_element(scaled.begin(), middle, scaled.end(),
                     [&](const Profile& a, const Profile& b) { return a[r] < b[r]; });
    before = profile_[r] = std::max((*middle)[r], before);
  }
}

// Linear in the logarithm of the rank, beyond the last rank too.
double Growth::logarithm(std::size_t rank) const noexcept {
  const double at = std::log2(static_cast<double>(rank));
  const std::size_t below = std::min(static_cast<std::size_t>(at), kRanks - 2);
  const double low = std::log2(double{profile_[below]}),
               high = std::log2(double{profile_[below + 1]});
  return low + (high - low) * (at - static_cast<double>(below));
}

Stop Growth::stop(std::size_t k, std::size_t ef, std::size_t nodes, float margin) const noexcept {
  // A beam over half of the nodes is to find whatever there is.
  if (!known() || k == 0 || 2 * ef >= nodes) return {};
  const double factor = std::exp2(std::max(0.0, logarithm(ef) - logarithm(k)));
  // A file may ask for more than a float32 holds, and 0 times infinity is no distance.
  const auto finite = static_cast<float>(std::min(factor, kMostFactor));
  return {k, finite, std::max(k, ef / 2), 2 * ef, margin};
}

Growth Graph::learn_growth(std::span<const Slot> sample, std::size_t rows, std::size_t num_threads,
                           ScratchPool& scratches) const {
  std::vector<Growth::Profile> profiles(sample.size());
  parallel_for(sample.size(), num_threads, [&](std::size_t i) {
    ScratchPool::Lease lease(scratches);
    Pool& pool = (*lease).pool;
    search(vectors_.query(sample[i]), Growth::kWidest + 1, rows, *lease);
    if (pool.size() <= Growth::kWidest) return;
    // Without itself.
    std::size_t self = 0;
    while (self + 1 < pool.size() && pool[self].id != sample[i]) ++self;
    for (std::size_t r = 0; r < Growth::kRanks; ++r) {
      const std::size_t at = (std::size_t{1} << r) - 1;
      profiles[i][r] = pool[at < self ? at : at + 1].distance;
    }
  });
  Growth growth;
  growth.learn(profiles);
  return growth;
}

}  // namespace annx
