#include "check/graph.h"

#include <algorithm>
#include <atomic>
#include <limits>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "base/prefetch.h"
#include "check/links.h"

namespace annx {
namespace {

// Rows that are looked at together: some 50 microseconds.
constexpr std::size_t kRange = 2048;
// So many rows ahead the other ends of tree edges are asked for.
constexpr std::size_t kAhead = 6;

bool leads_back(const Slot* row, std::size_t degree, Slot node) noexcept {
  bool found = false;
  for (std::size_t i = 0; i < degree; ++i) found |= (row[i] | kOccludedFlag) == node;
  return found;
}

// Trees by one of their nodes, which threads may join at once (Anderson and Woll, STOC 1991).
class Forest {
 public:
  explicit Forest(std::size_t nodes) : parent_(new std::atomic<Slot>[nodes]) {
    for (std::size_t i = 0; i < nodes; ++i) {
      parent_[i].store(static_cast<Slot>(i), std::memory_order_relaxed);
    }
  }
  Slot root(Slot node) noexcept {
    for (;;) {
      Slot parent = parent_[node].load(std::memory_order_relaxed);
      if (parent == node) return node;
      const Slot above = parent_[parent].load(std::memory_order_relaxed);
      // Path halving. Another thread's may win, which is as good.
      parent_[node].compare_exchange_weak(parent, above, std::memory_order_relaxed);
      node = above;
    }
  }
  // False if they were joined before. Of edges that form a ring one finds that, whatever the order.
  bool join(Slot a, Slot b) noexcept {
    for (;;) {
      a = root(a);
      b = root(b);
      if (a == b) return false;
      if (a < b) std::swap(a, b);
      // The lower node stays on top, so that no ring can arise.
      Slot expected = a;
      if (parent_[a].compare_exchange_strong(expected, b, std::memory_order_relaxed)) return true;
    }
  }

 private:
  std::unique_ptr<std::atomic<Slot>[]> parent_;
};

}  // namespace

Outside::Outside(const StateView& state, std::size_t degree) : labels_(state.labels.data()) {
  for (std::size_t slot = 0; slot < state.labels.size(); ++slot) {
    if (!removed(slot)) continue;
    ++removed_;
    if (state.links[slot * degree] == kNoLink) free_.set(slot);
  }
}

void check_level0(const StateView& state, std::size_t degree, const Outside& outside,
                  const Work& work) {
  const std::size_t n = state.labels.size();
  const Slot* links = state.links.data();
  const bool all = outside.none();
  Fault fault, tree;
  for_ranges(n, kRange, work, [&](std::size_t from, std::size_t to) {
    if (fault.before(from)) return;
    LinkCheck check(degree, n, kSlotMask);
    for (std::size_t node = from; node < to; ++node) {
      if (node + kAhead < to) {
        const Slot* ahead = links + (node + kAhead) * degree;
        for (std::size_t i = 0; i < degree && ahead[i] != kNoLink; ++i) {
          const std::size_t other = ahead[i] & kSlotMask;
          if ((ahead[i] & kTreeFlag) != 0 && other < n) {
            prefetch(links + other * degree, degree * sizeof(Slot));
          }
        }
      }
      const Slot* row = links + node * degree;
      const char* what = check.defect(row, node);
      bool one_way = false;
      if (what == nullptr && !all && outside(node) && row[0] != kNoLink) what = "a twin has links";
      for (std::size_t i = 0; what == nullptr && i < degree && row[i] != kNoLink; ++i) {
        const Slot other = row[i] & kSlotMask;
        if (!all && outside(other)) what = "a link to a twin or a free slot";
        if ((row[i] & kTreeFlag) == 0) continue;
        const Slot back = static_cast<Slot>(node) | kTreeFlag | kOccludedFlag;
        one_way |= !leads_back(links + other * degree, degree, back);
      }
      if (what != nullptr) {
        fault.report(node, what);
        return;
      }
      if (one_way) tree.report(node, "a tree edge leads one way only");
    }
  });
  fault.raise("links of row");
  tree.raise("links of row");
}

void check_upper(std::size_t number, const StateView::Level& level, std::size_t below,
                 std::size_t M, const Outside* outside, const Work& work) {
  const std::string name = "level " + std::to_string(number);
  const std::size_t n = level.down.size();
  if (n == 0 || n > below) {
    throw FormatError(name + ": expected 1 to " + std::to_string(below) + " nodes, got " +
                      std::to_string(n));
  }
  const std::string part = name + ", node";
  const Slot* down = level.down.data();
  refuse(part, n, sizeof(Slot), work, [&](std::size_t i) -> const char* {
    if (i > 0 && down[i] <= down[i - 1]) return "nodes are not in order";
    if (down[i] >= below) return "no such node on the level below";
    return outside != nullptr && (*outside)(down[i]) ? "a twin is in the graph" : nullptr;
  });
  Fault fault;
  for_ranges(n, kRange, work, [&](std::size_t from, std::size_t to) {
    if (fault.before(from)) return;
    LinkCheck check(M, n, ~Slot{0});
    for (std::size_t node = from; node < to; ++node) {
      if (const char* what = check.defect(level.links.data() + node * M, node)) {
        fault.report(node, what);
        return;
      }
    }
  });
  fault.raise(part);
}

void check_tree(const StateView& state, std::size_t degree, const Outside& outside, bool spanning,
                const Work& work) {
  const std::size_t n = state.labels.size();
  Forest forest(n);
  std::atomic<bool> ring = false;
  for_ranges(n, kRange, work, [&](std::size_t from, std::size_t to) {
    for (std::size_t node = from; node < to; ++node) {
      const Slot* row = state.links.data() + node * degree;
      for (std::size_t i = 0; i < degree && row[i] != kNoLink; ++i) {
        const Slot other = row[i] & kSlotMask;
        // Each edge from its higher end: that is the later one, near the root.
        if ((row[i] & kTreeFlag) == 0 || other >= node) continue;
        if (!forest.join(static_cast<Slot>(node), other)) ring.store(true);
      }
    }
  });
  if (ring) throw FormatError("links: tree edges form a ring");
  if (!spanning) return;
  const auto alive = [&](std::size_t slot) {
    return !outside.removed(slot) && !outside.twin(slot);
  };
  std::size_t first = 0;
  while (first < n && !alive(first)) ++first;
  if (first == n) return;
  const Slot home = forest.root(static_cast<Slot>(first));
  refuse("links of row", n, 32, work, [&](std::size_t slot) {
    return alive(slot) && forest.root(static_cast<Slot>(slot)) != home
               ? "cut off: no tree edges lead there"
               : nullptr;
  });
}

void check_growth(std::span<const float> growth) {
  if (growth.empty()) return;
  if (growth.size() != kGrowthRanks + 1) {
    throw FormatError("growth: expected " + std::to_string(kGrowthRanks + 1) + " values, got " +
                      std::to_string(growth.size()));
  }
  // A comparison with NaN is false.
  const bool counts = growth[0] >= 0 && growth[0] <= 0x1p24F;
  const std::span<const float> distances = growth.subspan(1);
  const bool zeros =
      std::all_of(distances.begin(), distances.end(), [](float d) { return d == 0; });
  bool rises = distances[0] > 0 && distances.back() <= std::numeric_limits<float>::max();
  for (std::size_t i = 1; i < distances.size(); ++i) rises &= distances[i] >= distances[i - 1];
  if (!counts || !(zeros || rises)) throw FormatError("growth: a value is out of range");
}

void check_seeds(std::span<const Slot> seeds, std::size_t rows,
                 const std::function<bool(Slot)>& outside) {
  if (seeds.size() > kMostSeeds) {
    throw FormatError("seeds: expected at most " + std::to_string(kMostSeeds) + ", got " +
                      std::to_string(seeds.size()));
  }
  const auto defect = [&](std::size_t i) -> const char* {
    if (seeds[i] >= rows) return "out of range";
    if (outside(seeds[i])) return "not in the graph";
    const auto before = seeds.first(i);
    return std::find(before.begin(), before.end(), seeds[i]) == before.end() ? nullptr
                                                                             : "appears twice";
  };
  for (std::size_t i = 0; i < seeds.size(); ++i) {
    if (const char* what = defect(i)) throw FormatError("seed " + std::to_string(i) + ": " + what);
  }
}

}  // namespace annx
