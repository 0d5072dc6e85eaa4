#include "graph/seeds.h"

#include <algorithm>
#include <array>
#include <limits>

#include "base/thread_pool.h"

namespace annx {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

}  // namespace

// Distances of all seeds from each other, each taken from the one that stands first.
class Seeds::Pairs {
 public:
  Pairs(const Vectors& vectors, const std::vector<Slot>& nodes)
      : vectors_(vectors), nodes_(nodes), between_(nodes.size() * nodes.size(), kInfinity) {
    for (std::size_t i = 0; i < nodes.size(); ++i) measure(i);
    find_nearest();
  }

  float apart() const noexcept { return at(first_, second_); }

  // Of the two nearest, the one that is nearer to a third.
  std::size_t dispensable() const noexcept {
    return nearest_but(first_, second_) < nearest_but(second_, first_) ? first_ : second_;
  }

  // After another node has taken that place.
  void update(std::size_t place) {
    measure(place);
    for (std::size_t i = 0; i < place; ++i) {
      set(i, place, vectors_.distance(vectors_.query(nodes_[i]), nodes_[place]));
    }
    find_nearest();
  }

 private:
  float at(std::size_t i, std::size_t j) const noexcept { return between_[i * nodes_.size() + j]; }
  void set(std::size_t i, std::size_t j, float distance) noexcept {
    between_[i * nodes_.size() + j] = between_[j * nodes_.size() + i] = distance;
  }
  // From a seed to those after it.
  void measure(std::size_t place) {
    std::array<float, kMost> far;
    const std::size_t count = nodes_.size() - place - 1;
    vectors_.distances(vectors_.query(nodes_[place]), nodes_.data() + place + 1, count, far.data());
    for (std::size_t i = 0; i < count; ++i) set(place, place + 1 + i, far[i]);
  }
  void find_nearest() noexcept {
    first_ = 0;
    second_ = 1;
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      for (std::size_t j = i + 1; j < nodes_.size(); ++j) {
        if (at(i, j) < apart()) {
          first_ = i;
          second_ = j;
        }
      }
    }
  }
  float nearest_but(std::size_t one, std::size_t other) const noexcept {
    float nearest = kInfinity;
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      if (i != one && i != other) nearest = std::min(nearest, at(one, i));
    }
    return nearest;
  }

  const Vectors& vectors_;
  const std::vector<Slot>& nodes_;
  std::vector<float> between_;
  std::size_t first_ = 0, second_ = 1;
};

void Seeds::set(std::span<const Slot> nodes) {
  nodes_.assign(nodes.begin(), nodes.end());
  apart_.reset();
}

void Seeds::clear() noexcept {
  nodes_.clear();
  apart_.reset();
}

Slot Seeds::nearest(const Vectors& vectors, const Query& query, Slot at) const {
  if (nodes_.empty()) return at;
  std::array<float, kMost> far;
  vectors.near(query, nodes_.data(), nodes_.size(), far.data());
  const auto best = std::min_element(far.data(), far.data() + nodes_.size());
  if (!(*best < vectors.near(query, at))) return at;
  return nodes_[static_cast<std::size_t>(best - far.data())];
}

float Seeds::nearness(const Vectors& vectors, Slot node) const {
  std::array<float, kMost> far;
  vectors.distances(vectors.query(node), nodes_.data(), nodes_.size(), far.data());
  return *std::min_element(far.data(), far.data() + nodes_.size());
}

void Seeds::offer(const Vectors& vectors, std::span<const Slot> nodes, std::size_t num_threads) {
  const std::size_t room = std::min(nodes.size(), kMost - nodes_.size());
  const std::span<const Slot> first = nodes.first(room);
  nodes_.insert(nodes_.end(), first.begin(), first.end());
  if (room > 0) apart_.reset();
  nodes = nodes.subspan(room);
  if (nodes.empty()) return;

  std::optional<Pairs> pairs;
  const auto measure = [&] {
    if (!pairs) pairs.emplace(vectors, nodes_);
    apart_ = pairs->apart();
  };
  if (!apart_) measure();
  // Most are near a seed: all threads look at so many, then one at those that are not.
  constexpr std::size_t kRound = 4096, kTask = 128;
  std::vector<float> near(std::min(nodes.size(), kRound));
  for (; !nodes.empty(); nodes = nodes.subspan(std::min(nodes.size(), kRound))) {
    const std::size_t count = std::min(nodes.size(), kRound);
    parallel_for((count + kTask - 1) / kTask, num_threads, [&](std::size_t task) {
      for (std::size_t i = task * kTask; i < std::min(count, (task + 1) * kTask); ++i) {
        near[i] = nearness(vectors, nodes[i]);
      }
    });
    for (std::size_t i = 0; i < count; ++i) {
      // Seeds change on the way, and `apart_` only grows.
      if (!(near[i] > *apart_) || !(nearness(vectors, nodes[i]) > *apart_)) continue;
      measure();
      const std::size_t place = pairs->dispensable();
      nodes_[place] = nodes[i];
      pairs->update(place);
      apart_ = pairs->apart();
    }
  }
}

}  // namespace annx
