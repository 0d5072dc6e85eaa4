// Removal: dead nodes leave the spanning tree, then the rows that lead to them, then the graph.
// Until then searches pass through them, so that no part of the work has to wait for another.
#include <algorithm>
#include <mutex>
#include <optional>

#include "base/thread_pool.h"
#include "graph/graph.h"

namespace annx {
namespace {

void drop_flag(Slot* row, std::size_t degree, Slot neighbor) noexcept {
  for (std::size_t i = 0; i < degree && row[i] != kNoLink; ++i) {
    if ((row[i] & kSlotMask) == neighbor) row[i] &= ~kTreeFlag;
  }
}

bool leads_to(const Slot* row, std::size_t degree, const Bits& dead) noexcept {
  for (std::size_t i = 0; i < degree && row[i] != kNoLink; ++i) {
    if (dead.test(row[i] & kSlotMask)) return true;
  }
  return false;
}

}  // namespace

// Joins the trees that `root` and `near` stand in by an edge between nodes that have room.
// A tree of n nodes has room for n (M + 1) - 2 (n - 1) > 0 edges more, so that there are some.
void Graph::hang_again(Slot root, Slot near, RowEdits& rows, Scratch& scratch) const {
  const Slot child = with_room(root, rows);
  const Slot parent = with_room(near, rows);
  const float distance = vectors_.distance(vectors_.query(child), parent);
  for (const auto& [from, to] : {std::pair(child, parent), std::pair(parent, child)}) {
    Slot* row = rows.edit(from);
    Slot* end = row + degree();
    Slot* link =
        std::find_if(row, end, [to = to](Slot x) { return x != kNoLink && (x & kSlotMask) == to; });
    if (link != end) {
      *link |= kTreeFlag;
    } else {
      accept_base(row, from, to, distance, kTreeFlag, scratch);
    }
  }
}

// Without dead nodes that hang together, the tree falls apart into as many trees as they have
// neighbours in it. Each of these is hung to the nearest one before it.
void Graph::leave_tree(const std::vector<Slot>& dead, std::size_t num_threads, Scratch& scratch,
                       Gate& gate, const std::function<void(double)>& poll) {
  // Rows copied while the gate is closed: some 60 microseconds.
  constexpr std::size_t kRows = 512;
  RowEdits rows(base_links());
  const auto commit = [&] {
    reserve_ready(rows.size());
    make_ready(rows.ids(), rows.at(0), num_threads);
    const std::lock_guard exclusive(gate);
    put(rows.ids(), rows.at(0));
    rows.clear();
  };
  Bits seen;
  std::vector<Slot> group;
  std::vector<Slot> around;
  for (std::size_t at = 0; at < dead.size(); ++at) {
    if (seen.test(dead[at])) continue;
    group.assign(1, dead[at]);
    around.clear();
    seen.set(dead[at]);
    for (std::size_t next = 0; next < group.size(); ++next) {
      const std::size_t before = around.size();
      Slot* row = rows.edit(group[next]);
      for (std::size_t i = 0; i < degree() && row[i] != kNoLink; ++i) {
        if ((row[i] & kTreeFlag) == 0) continue;
        const Slot slot = row[i] & kSlotMask;
        row[i] &= ~kTreeFlag;
        if (!dead_.test(slot)) {
          around.push_back(slot);
        } else if (!seen.test(slot)) {
          seen.set(slot);
          group.push_back(slot);
        }
      }
      for (std::size_t i = before; i < around.size(); ++i) {
        drop_flag(rows.edit(around[i]), degree(), group[next]);
      }
    }
    for (std::size_t i = 1; i < around.size(); ++i) {
      const Query query = vectors_.query(around[i]);
      Slot nearest = around[0];
      float least = vectors_.distance(query, nearest);
      for (std::size_t j = 1; j < std::min<std::size_t>(i, 64); ++j) {
        const float distance = vectors_.distance(query, around[j]);
        if (distance < least) {
          least = distance;
          nearest = around[j];
        }
      }
      hang_again(around[i], nearest, rows, scratch);
    }
    if (rows.size() < kRows) continue;
    commit();
    poll(0.2 * static_cast<double>(at) / static_cast<double>(dead.size()));
  }
  commit();
}

std::vector<Slot> Graph::purge(const std::vector<Slot>& dead, Slot alive, std::size_t rows,
                               std::size_t num_threads, ScratchPool& scratches, Gate& gate,
                               const std::function<void(double)>& poll) {
  {
    ScratchPool::Lease lease(scratches);
    make_room(*lease);
    leave_tree(dead, num_threads, *lease, gate, poll);
    for (std::size_t level = 1; level <= top_; ++level) mend_upper(level, *lease, gate, poll);
  }
  // Rows are mended one by one, from what no other mending changes.
  constexpr std::size_t kTask = 64;     // rows to mend at a time
  constexpr std::size_t kScan = 16384;  // rows to look at between
  std::vector<Slot> ill, mended, ends;
  for (std::size_t first = 0; first < rows;) {
    ill.clear();
    for (std::size_t seen = 0; first < rows && seen < kScan && ill.size() < kTask * num_threads;
         ++first, ++seen) {
      const auto slot = static_cast<Slot>(first);
      if (!dead_.test(slot) && leads_to(links_of(slot), degree(), dead_)) {
        ill.push_back(slot);
      }
    }
    mended.resize(ill.size() * degree());
    constexpr std::size_t kRows = 8;
    parallel_for((ill.size() + kRows - 1) / kRows, num_threads, [&](std::size_t task) {
      ScratchPool::Lease lease(scratches);
      make_room(*lease);
      for (std::size_t i = task * kRows; i < std::min(ill.size(), (task + 1) * kRows); ++i) {
        mend_base(ill[i], rows, *lease, &mended[i * degree()]);
      }
    });
    reserve_ready(0);
    write(ill, mended.data(), num_threads, gate);
    poll(0.2 + 0.8 * static_cast<double>(first) / static_cast<double>(rows));
  }
  {
    ScratchPool::Lease lease(scratches);
    make_room(*lease);
    ends = ends_of_ways(dead, num_threads, scratches);
    forget_numbers(alive, living_seeds(*lease), gate);
  }
  constexpr std::size_t kClear = 512;
  for (std::size_t i = 0; i < dead.size();) {
    const std::lock_guard exclusive(gate);
    for (const std::size_t end = std::min(dead.size(), i + kClear); i < end; ++i) {
      clear(dead[i]);
      dead_.reset(dead[i]);
    }
  }
  return ends;
}

// Instead of each seed that is dead the nearest that lives among its neighbours.
Seeds Graph::living_seeds(Scratch& scratch) const {
  std::vector<Slot> nodes;
  std::vector<Slot> gone;
  for (const Slot seed : seeds_.nodes()) (dead_.test(seed) ? gone : nodes).push_back(seed);
  for (const Slot seed : gone) {
    const std::size_t count = gather(layer(0), seed, scratch, false);
    vectors_.distances(vectors_.query(seed), scratch.slots.data(), count, scratch.near.data());
    std::optional<std::size_t> heir;
    for (std::size_t i = 0; i < count; ++i) {
      const Slot slot = scratch.slots[i];
      if (dead_.test(slot) || std::find(nodes.begin(), nodes.end(), slot) != nodes.end()) continue;
      if (!heir || scratch.near[i] < scratch.near[*heir]) heir = i;
    }
    if (heir) nodes.push_back(scratch.slots[*heir]);
  }
  Seeds seeds;
  seeds.set(nodes);
  return seeds;
}

// Takes the dead out of the upper levels, where no row leads to them any more. If the entry point
// is among them, the lowest slot on the top level takes its place.
void Graph::forget_numbers(Slot alive, Seeds seeds, Gate& gate) {
  std::vector<std::vector<Slot>> gone(levels_.size());
  std::vector<Slot> lowest(levels_.size(), kNoLink);
  for (std::size_t l = 0; l < levels_.size(); ++l) {
    const Array<Slot>& slots = levels_[l].slots;
    std::vector<char> used(levels_[l].count, 1);
    for (const Slot number : levels_[l].free) used[number] = 0;
    for (Slot number = 0; number < levels_[l].count; ++number) {
      if (used[number] == 0) continue;
      if (dead_.test(slots[number])) {
        gone[l].push_back(number);
      } else if (lowest[l] == kNoLink || slots[number] < slots[lowest[l]]) {
        lowest[l] = number;
      }
    }
    levels_[l].free.reserve(levels_[l].count);
  }
  // From here on nothing throws.
  const std::lock_guard exclusive(gate);
  seeds_ = std::move(seeds);
  for (std::size_t l = 0; l < levels_.size(); ++l) {
    UpperLevel& level = levels_[l];
    level.free.insert(level.free.end(), gone[l].begin(), gone[l].end());
  }
  while (top_ > 0 && levels_[top_ - 1].free.size() == levels_[top_ - 1].count) {
    --top_;
    levels_.pop_back();
    entry_ = kNoLink;
  }
  if (entry_ != kNoLink && !dead_.test(layer(top_).slot(entry_))) return;
  entry_ = top_ == 0 ? alive : lowest[top_ - 1];
}

}  // namespace annx
