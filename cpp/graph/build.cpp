// Insertion in batches. Each node of a batch looks for neighbours in the graph as it was before
// the batch, and by brute force among the nodes before it in the batch, so that the result depends
// on the order of the rows and not on threads.
#include <algorithm>
#include <cmath>

#include "graph/graph.h"

namespace annx {
namespace {

// 53 bits of a SplitMix64 output (Steele, Lea, Flood 2014) as a number in [0, 1).
double uniform(std::uint64_t seed, Slot slot) noexcept {
  std::uint64_t x = (seed + 1) * 0x9e3779b97f4a7c15U + slot;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
  x ^= x >> 31;
  return static_cast<double>(x >> 11) * 0x1p-53;
}

}  // namespace

void UpperLevel::grow(std::size_t nodes, std::size_t degree) {
  if (slots.capacity() >= nodes && links.capacity() >= nodes * degree) return;
  const std::size_t room = std::max<std::size_t>(16, nodes + nodes / 2);
  down.grow(room);
  slots.grow(room);
  links.grow(room * degree);
}

// Section 4.1: floor(-ln(U) * mL) with mL = 1 / ln(M).
std::size_t Graph::level_of(Slot slot) const noexcept {
  const double u = uniform(options_.seed, slot);
  return static_cast<std::size_t>(-std::log1p(-u) / std::log(static_cast<double>(options_.M)));
}

Graph::Layer Graph::layer(std::size_t level) const noexcept {
  if (level == 0 && edges_) {
    return {reinterpret_cast<const Slot*>(vectors_.lead(0)), vectors_.pitch() / sizeof(Slot),
            degree(), nullptr};
  }
  if (level == 0) return {links_.data(), degree(), degree(), nullptr};
  const UpperLevel& upper = levels_[level - 1];
  return {upper.links.data(), options_.M, options_.M, upper.slots.data()};
}

std::size_t Graph::upper_bytes() const noexcept {
  std::size_t total = 0;
  for (const UpperLevel& level : levels_) {
    total += level.down.bytes() + level.slots.bytes() + level.links.bytes();
  }
  return total;
}

void Graph::set_levels(std::vector<UpperLevel> levels, Slot entry) {
  levels_ = std::move(levels);
  top_ = levels_.size();
  entry_ = entry;
}

Batch Graph::begin(const std::vector<Slot>& slots) {
  Batch batch;
  batch.nodes.resize(slots.size());
  std::vector<std::size_t> added;
  for (std::size_t i = 0; i < slots.size(); ++i) {
    const std::size_t level = level_of(slots[i]);
    batch.nodes[i].slot = slots[i];
    batch.nodes[i].numbers.resize(level + 1);
    batch.nodes[i].forward.resize(level + 1);
    if (added.size() < level) added.resize(level);
    for (std::size_t l = 0; l < level; ++l) ++added[l];
  }
  while (levels_.size() < added.size()) levels_.emplace_back();
  for (std::size_t l = 0; l < added.size(); ++l) {
    levels_[l].grow(levels_[l].count + added[l], options_.M);
  }
  // All memory is there: nothing below throws.
  for (Batch::Node& node : batch.nodes) {
    node.numbers[0] = node.slot;
    for (std::size_t l = 1; l < node.numbers.size(); ++l) {
      UpperLevel& upper = levels_[l - 1];
      const auto number = static_cast<Slot>(upper.count++);
      upper.down[number] = node.numbers[l - 1];
      upper.slots[number] = node.slot;
      std::fill_n(&upper.links[number * options_.M], options_.M, kNoLink);
      node.numbers[l] = number;
    }
  }
  return batch;
}

void Graph::abandon(const Batch& batch) noexcept {
  for (const Batch::Node& node : batch.nodes) {
    for (std::size_t l = 1; l < node.numbers.size(); ++l) --levels_[l - 1].count;
  }
  levels_.resize(top_);
}

void Graph::plan(Batch& batch, std::size_t i, std::size_t rows, std::size_t lowest,
                 Scratch& scratch) const {
  Batch::Node& node = batch.nodes[i];
  const Query query = vectors_.query(node.slot);
  make_room(scratch);

  // Nodes before this one in the batch; they are few and near each other in memory.
  std::vector<Slot> peers(i);
  std::vector<float> apart(i);
  for (std::size_t j = 0; j < i; ++j) peers[j] = batch.nodes[j].slot;
  vectors_.distances(query, peers.data(), i, apart.data());

  const std::size_t top = node.numbers.size() - 1;
  Slot at = entry_;
  for (std::size_t level = top_; level > top; --level) {
    at = levels_[level - 1].down[greedy(query, layer(level), at, scratch)];
  }
  for (std::size_t level = top + 1; level-- > lowest;) {
    const Layer here = layer(level);
    std::vector<Neighbor>& candidates = scratch.candidates;
    candidates.clear();
    if (level <= top_ && at != kNoLink) {
      const std::size_t nodes = level == 0 ? rows : levels_[level - 1].count;
      beam(query, here, at, options_.ef_construction, nodes, scratch);
      for (std::size_t c = 0; c < scratch.pool.size(); ++c) candidates.push_back(scratch.pool[c]);
      if (level > 0) at = levels_[level - 1].down[candidates.front().id];
    }
    for (std::size_t j = 0; j < i; ++j) {
      const Batch::Node& peer = batch.nodes[j];
      if (peer.numbers.size() > level) candidates.push_back({apart[j], peer.numbers[level]});
    }
    std::stable_sort(candidates.begin(), candidates.end(),
                     [](const Neighbor& a, const Neighbor& b) { return a.distance < b.distance; });
    if (candidates.size() > options_.ef_construction) candidates.resize(options_.ef_construction);
    select(here, options_.M, scratch, node.forward[level]);
  }
}

}  // namespace annx
