// Insertion in batches. Each node of a batch looks for neighbours in the graph as it was before
// the batch, and by brute force among the nodes before it in the batch, so that the result depends
// on the order of the rows and not on threads.
#include <algorithm>
#include <cmath>

#include "graph/graph.h"
#include "graph/turns.h"

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
  if (level == 0) return {base_links(), degree(), nullptr, guard_.get(), 0};
  const UpperLevel& upper = levels_[level - 1];
  return {{upper.links.data(), options_.M, options_.M},
          options_.M,
          upper.slots.data(),
          upper.guard.get(),
          upper.guarded};
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
  pending_.clear();
}

void Graph::replace(Array<Slot>&& links, std::vector<UpperLevel>&& levels, Bits&& dead, Slot entry,
                    Seeds&& seeds) noexcept {
  seeds_ = std::move(seeds);
  links_ = std::move(links);
  dead_ = std::move(dead);
  set_levels(std::move(levels), entry);
}

void Graph::borrow(Array<Slot>&& links, std::shared_ptr<const Guard> guard,
                   std::vector<UpperLevel>&& levels, Bits&& dead, Slot entry,
                   std::span<const Slot> seeds) {
  Seeds own;
  own.set(seeds);
  replace(std::move(links), std::move(levels), std::move(dead), entry, std::move(own));
  guard_ = std::move(guard);
}

void Graph::touch_all() const {
  if (guard_) guard_->touch_all();
  for (const UpperLevel& level : levels_) {
    if (level.guard) level.guard->touch_all();
  }
}

void Graph::reset() noexcept {
  levels_.clear();
  pending_.clear();
  dead_.clear();
  seeds_.clear();
  growth_ = {};
  top_ = 0;
  entry_ = kNoLink;
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
  std::vector<std::vector<Slot>> pending(added.size());
  for (std::size_t l = 0; l < added.size(); ++l) {
    levels_[l].grow(levels_[l].count + added[l], options_.M);
    levels_[l].free.reserve(levels_[l].count + added[l]);
    pending[l].reserve(added[l]);
  }
  // All memory is there: nothing below throws.
  for (Batch::Node& node : batch.nodes) {
    node.numbers[0] = node.slot;
    // Memory that was never written looks like links to slot 0.
    if (edges_) clear(node.slot);
    for (std::size_t l = 1; l < node.numbers.size(); ++l) {
      UpperLevel& upper = levels_[l - 1];
      auto number = static_cast<Slot>(upper.count);
      if (upper.free.empty()) {
        ++upper.count;
      } else {
        number = upper.free.back();
        upper.free.pop_back();
      }
      upper.down[number] = node.numbers[l - 1];
      upper.slots[number] = node.slot;
      std::fill_n(&upper.links[number * options_.M], options_.M, kNoLink);
      node.numbers[l] = number;
      pending[l - 1].push_back(number);
    }
  }
  pending_ = std::move(pending);
  return batch;
}

void Graph::abandon() noexcept {
  for (std::size_t l = 0; l < pending_.size(); ++l) {
    std::vector<Slot>& free = levels_[l].free;
    free.insert(free.end(), pending_[l].begin(), pending_[l].end());
  }
  pending_.clear();
  levels_.resize(top_);
}

// Chooses the neighbours of node i on a level among what its search left in scratch.pool and the
// nodes before it in the batch.
void Graph::weigh(Batch& batch, std::size_t i, std::size_t level, Scratch& scratch) const {
  make_room(scratch);
  const Layer here = layer(level);
  std::vector<Neighbor>& candidates = scratch.candidates;
  candidates.clear();
  for (std::size_t c = 0; c < scratch.pool.size(); ++c) {
    const Neighbor found = scratch.pool[c];
    if (!dead_.test(here.slot(found.id))) candidates.push_back(found);
  }
  const std::size_t found = candidates.size();
  std::vector<Slot> peers;
  for (std::size_t j = 0; j < i; ++j) {
    const Batch::Node& peer = batch.nodes[j];
    if (peer.numbers.size() <= level) continue;
    peers.push_back(peer.slot);
    candidates.push_back({0, peer.numbers[level]});
  }
  std::vector<float> apart(peers.size());
  vectors_.distances(vectors_.query(batch.nodes[i].slot), peers.data(), peers.size(), apart.data());
  for (std::size_t j = 0; j < peers.size(); ++j) candidates[found + j].distance = apart[j];
  std::stable_sort(candidates.begin(), candidates.end(),
                   [](const Neighbor& a, const Neighbor& b) { return a.distance < b.distance; });
  if (candidates.size() > options_.ef_construction) candidates.resize(options_.ef_construction);
  select(here, here.degree, scratch, batch.nodes[i].forward[level]);
}

void Graph::plan_upper(Batch& batch, std::size_t i, Scratch& scratch) const {
  const Batch::Node& node = batch.nodes[i];
  const Query query = vectors_.query(node.slot);
  const std::size_t top = node.numbers.size() - 1;
  Slot at = entry_ == kNoLink ? kNoLink : descend_to(top, query, scratch);
  for (std::size_t level = top; level > 0; --level) {
    scratch.pool.reset(0);
    if (level <= top_ && at != kNoLink) {
      const Layer here = layer(level);
      beam(query, here, at, options_.ef_construction, levels_[level - 1].count, scratch);
      sharpen(here, scratch);
      at = levels_[level - 1].down[scratch.pool[0].id];
    }
    weigh(batch, i, level, scratch);
  }
}

void Graph::plan(Batch& batch, std::size_t from, std::size_t to, std::size_t rows,
                 ScratchPool& scratches) const {
  take_turns(
      *this, scratches, from, to,
      [&](std::size_t i, Scratch& scratch) {
        if (batch.nodes[i].numbers.size() > 1) plan_upper(batch, i, scratch);
        start(vectors_.query(batch.nodes[i].slot), {0, options_.ef_construction, rows, false},
              scratch);
      },
      [&](std::size_t i, Scratch& scratch) {
        sharpen(layer(0), scratch);
        if (!dead_.empty() && scratch.pool.size() > 0) find_alive(rows, scratch);
        weigh(batch, i, 0, scratch);
      });
}

void Graph::hang_to(Batch::Node& node, Slot parent) const {
  const float distance = vectors_.distance(vectors_.query(node.slot), parent);
  node.forward[0].push_back({parent, distance, false});
}

// Sees to it that scratch.pool holds a node that is not dead, if there is one.
void Graph::find_alive(std::size_t rows, Scratch& scratch) const {
  for (std::size_t i = 0; i < scratch.pool.size(); ++i) {
    if (!dead_.test(scratch.pool[i].id)) return;
  }
  // As wide as the breadth-first walk that a search of any width is at least.
  scratch.visited.reset(rows);
  const Slot nearest = scratch.pool[0].id;
  scratch.visited.mark(nearest);
  std::vector<Slot> queue{nearest};
  for (std::size_t next = 0; next < queue.size(); ++next) {
    if (!dead_.test(queue[next])) {
      scratch.pool.reset(1);
      scratch.pool.insert(vectors_.distance(scratch.query, queue[next]), queue[next]);
      return;
    }
    const std::size_t count = gather(layer(0), queue[next], scratch, true);
    queue.insert(queue.end(), scratch.ids.begin(),
                 scratch.ids.begin() + static_cast<std::ptrdiff_t>(count));
  }
}

Graph::Numbered Graph::numbered() const {
  Numbered out;
  std::vector<Slot> below;  // new number of each number of the level beneath; at first, slots
  for (std::size_t l = 0; l < top_; ++l) {
    const UpperLevel& level = levels_[l];
    std::vector<char> used(level.count, 1);
    for (const Slot number : level.free) used[number] = 0;
    if (l < pending_.size()) {
      for (const Slot number : pending_[l]) used[number] = 0;
    }
    std::vector<Slot> order;
    for (Slot number = 0; number < level.count; ++number) {
      if (used[number] != 0) order.push_back(number);
    }
    std::sort(order.begin(), order.end(),
              [&](Slot a, Slot b) { return level.slots[a] < level.slots[b]; });
    std::vector<Slot> renamed(level.count, kNoLink);
    for (std::size_t i = 0; i < order.size(); ++i) renamed[order[i]] = static_cast<Slot>(i);
    std::vector<Slot> down, links;
    for (const Slot number : order) {
      const Slot under = level.down[number];
      down.push_back(l == 0 ? under : below[under]);
      for (std::size_t i = 0; i < options_.M; ++i) {
        const Slot link = level.links[number * options_.M + i];
        links.push_back(link == kNoLink ? kNoLink : renamed[link]);
      }
    }
    out.down.push_back(std::move(down));
    out.links.push_back(std::move(links));
    below = std::move(renamed);
  }
  out.entry = top_ == 0 ? entry_ : below[entry_];
  return out;
}

}  // namespace annx
