// Mending what nothing but a faulty file can break: the spanning tree.
#include <algorithm>
#include <mutex>
#include <numeric>

#include "graph/graph.h"

namespace annx {
namespace {

// Trees by one of their nodes, with path halving.
class Forest {
 public:
  explicit Forest(std::size_t nodes) : parent_(nodes) {
    std::iota(parent_.begin(), parent_.end(), Slot{0});
  }
  Slot root(Slot node) noexcept {
    while (parent_[node] != node) node = parent_[node] = parent_[parent_[node]];
    return node;
  }
  // False if they are of one tree already.
  bool join(Slot a, Slot b) noexcept {
    a = root(a);
    b = root(b);
    parent_[std::max(a, b)] = std::min(a, b);
    return a != b;
  }

 private:
  std::vector<Slot> parent_;
};

bool flagged(const Slot* row, std::size_t degree, Slot neighbor) noexcept {
  return std::any_of(row, row + degree, [=](Slot link) {
    return link == (neighbor | kTreeFlag) || link == (neighbor | kTreeFlag | kOccludedFlag);
  });
}

}  // namespace

std::size_t Graph::replant(const std::vector<Slot>& nodes, std::size_t rows, ScratchPool& scratches,
                           Gate& gate, const std::function<bool()>& go_on) {
  ScratchPool::Lease lease(scratches);
  Scratch& scratch = *lease;
  make_room(scratch);
  Forest forest(rows);
  RowEdits edits(base_links());
  const auto commit = [&] {
    reserve_ready(0);
    write(edits.ids(), edits.at(0), 1, gate);
    edits.clear();
  };
  // Edges that lead one way, or in a circle, are of no tree.
  for (const Slot node : nodes) {
    for (std::size_t i = 0; i < degree(); ++i) {
      const Slot link = edits.row(node)[i];
      if (link == kNoLink) break;
      const Slot other = link & kSlotMask;
      if ((link & kTreeFlag) == 0) continue;
      const bool both = flagged(edits.row(other), degree(), node);
      if (both && (other < node || forest.join(node, other))) continue;
      edits.edit(node)[i] &= ~kTreeFlag;
      if (!both) continue;
      Slot* back = edits.edit(other);
      for (std::size_t j = 0; j < degree() && back[j] != kNoLink; ++j) {
        if ((back[j] & kSlotMask) == node) back[j] &= ~kTreeFlag;
      }
    }
  }
  commit();
  std::size_t left = 0;
  const Slot home = nodes.empty() ? 0 : nodes.front();
  for (const Slot node : nodes) {
    if (forest.root(node) == forest.root(home)) continue;
    if (left > 0 || !go_on()) {
      left += forest.root(node) == node ? 1 : 0;
      continue;
    }
    // The nearest of what has been joined so far.
    search(vectors_.query(node), options_.ef_construction, rows, scratch);
    Slot near = home;
    for (std::size_t i = 0; i < scratch.pool.size(); ++i) {
      const Slot found = scratch.pool[i].id;
      if (dead_.test(found) || forest.root(found) != forest.root(home)) continue;
      near = found;
      break;
    }
    hang_again(node, near, edits, scratch);
    forest.join(node, near);
    commit();
  }
  return left;
}

}  // namespace annx
