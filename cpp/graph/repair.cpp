// Rows that lost neighbours choose again: among those that are left and those that the dead ones
// led to (delete consolidation of FreshDiskANN, arXiv 2105.09613, section 4.2, by Algorithm 4).
#include <algorithm>
#include <mutex>

#include "graph/graph.h"

namespace annx {

// Leaves in scratch.candidates, sorted, the live neighbours of a node and those of its dead
// neighbours; where these are few, also those of the dead behind the dead.
void Graph::around_dead(const Layer& layer, Slot node, std::size_t nodes, Scratch& scratch) const {
  scratch.visited.reset(nodes);
  scratch.visited.mark(node);
  std::vector<Slot> alive;
  std::vector<Slot> queue{node};  // the node, its dead neighbours, and the dead behind them
  std::size_t near_end = 1;
  for (std::size_t next = 0; next < queue.size(); ++next) {
    if (next == 1) near_end = queue.size();
    if (next >= near_end && next > 0 && alive.size() >= layer.degree) break;
    const Slot* row = layer.row(queue[next]);
    for (std::size_t i = 0; i < layer.degree && row[i] != kNoLink; ++i) {
      const Slot id = row[i] & kSlotMask;
      if (!scratch.visited.mark(id)) continue;
      (dead_.test(layer.slot(id)) ? queue : alive).push_back(id);
    }
    if (alive.size() >= 2 * options_.ef_construction) break;
  }
  const Query query = vectors_.query(layer.slot(node));
  const std::size_t count = alive.size();
  std::vector<Slot> slots(count);
  std::vector<float> near(count);
  for (std::size_t i = 0; i < count; ++i) slots[i] = layer.slot(alive[i]);
  vectors_.distances(query, slots.data(), count, near.data());
  scratch.candidates.clear();
  for (std::size_t i = 0; i < count; ++i) scratch.candidates.push_back({near[i], alive[i]});
  // By slot where distances are equal: numbers on upper levels depend on what was there before.
  std::sort(scratch.candidates.begin(), scratch.candidates.end(),
            [&](const Neighbor& a, const Neighbor& b) {
              return a.distance != b.distance ? a.distance < b.distance
                                              : layer.slot(a.id) < layer.slot(b.id);
            });
  if (scratch.candidates.size() > options_.ef_construction) {
    scratch.candidates.resize(options_.ef_construction);
  }
}

// The row of a node without what is dead. Edges of the tree stay.
void Graph::mend_base(Slot slot, std::size_t rows, Scratch& scratch, Slot* row) const {
  around_dead(layer(0), slot, rows, scratch);
  std::vector<Slot> tree;
  const Slot* old = links_of(slot);
  for (std::size_t i = 0; i < degree() && old[i] != kNoLink; ++i) {
    if ((old[i] & kTreeFlag) != 0) tree.push_back(old[i] & kSlotMask);
  }
  std::vector<Batch::Edge> edges;
  select(layer(0), degree(), scratch, edges);
  const auto is_tree = [&](Slot id) {
    return std::find(tree.begin(), tree.end(), id) != tree.end();
  };
  const auto chosen = [&](Slot id) {
    return std::any_of(edges.begin(), edges.end(),
                       [=](const Batch::Edge& edge) { return edge.id == id; });
  };
  for (const Slot neighbor : tree) {
    if (chosen(neighbor)) continue;
    if (edges.size() == degree()) {
      // The farthest that may go, occluded ones first.
      auto victim = edges.end();
      for (auto edge = edges.begin(); edge != edges.end(); ++edge) {
        if (is_tree(edge->id)) continue;
        if (victim == edges.end() || edge->occluded >= victim->occluded) victim = edge;
      }
      edges.erase(victim);
    }
    edges.push_back({neighbor, 0, true});
  }
  std::fill_n(row, degree(), kNoLink);
  for (std::size_t i = 0; i < edges.size(); ++i) {
    row[i] = edges[i].id | (edges[i].occluded ? kOccludedFlag : 0) |
             (is_tree(edges[i].id) ? kTreeFlag : 0);
  }
}

void Graph::mend_upper(std::size_t level, Scratch& scratch, Gate& gate,
                       const std::function<void(double)>& poll) {
  const Layer here = layer(level);
  UpperLevel& upper = levels_[level - 1];
  std::vector<char> used(upper.count, 1);
  for (const Slot number : upper.free) used[number] = 0;
  RowEdits rows(here.links);
  std::vector<Batch::Edge> edges;
  for (Slot number = 0; number < upper.count; ++number) {
    if (used[number] == 0 || dead_.test(upper.slots[number])) continue;
    const Slot* row = here.row(number);
    const bool ill = std::any_of(row, row + here.degree, [&](Slot id) {
      return id != kNoLink && dead_.test(upper.slots[id]);
    });
    if (!ill) continue;
    around_dead(here, number, upper.count, scratch);
    select(here, here.degree, scratch, edges);
    Slot* fresh = rows.edit(number);
    std::fill_n(fresh, here.degree, kNoLink);
    for (const Batch::Edge& edge : edges) *fresh++ = edge.id;
    if (rows.size() % 128 == 0) poll(0.2);
  }
  constexpr std::size_t kRows = 512;
  for (std::size_t i = 0; i < rows.size();) {
    const std::lock_guard exclusive(gate);
    for (const std::size_t end = std::min(rows.size(), i + kRows); i < end; ++i) {
      std::copy_n(rows.at(i), here.degree, &upper.links[std::size_t{rows.id(i)} * here.degree]);
    }
  }
}

}  // namespace annx
