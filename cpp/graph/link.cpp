#include <algorithm>
#include <mutex>
#include <unordered_set>
#include <utility>

#include "base/thread_pool.h"
#include "graph/graph.h"

namespace annx {

std::size_t Graph::tree_degree(const Slot* row) const noexcept {
  std::size_t count = 0;
  for (std::size_t i = 0; i < degree() && row[i] != kNoLink; ++i) count += row[i] >> 31;
  return count;
}

// The nearest chosen neighbour with room for a child: M children and a parent, at least 3 edges,
// so that a full subtree of depth h has 2^h nodes. Where none has room, a breadth-first walk down
// the tree finds a node that has, some log2(n) levels away at most.
Slot Graph::find_parent(const std::vector<Batch::Edge>& forward, const RowEdits& rows) const {
  for (const Batch::Edge& edge : forward) {
    if (tree_degree(rows.row(edge.id)) <= options_.M) return edge.id;
  }
  return with_room(forward.front().id, rows);
}

// The nearest in the tree to `start`, counting edges, that can take one more.
Slot Graph::with_room(Slot start, const RowEdits& rows) const {
  if (tree_degree(rows.row(start)) <= options_.M) return start;
  // A file may hold what is no tree, so that slots could come again.
  std::unordered_set<Slot> seen{start};
  std::vector<Slot> queue{start};
  for (std::size_t next = 0; next < queue.size(); ++next) {
    const Slot* row = rows.row(queue[next]);
    for (std::size_t i = 0; i < degree() && row[i] != kNoLink; ++i) {
      const Slot slot = row[i] & kSlotMask;
      if ((row[i] & kTreeFlag) == 0 || !seen.insert(slot).second) continue;
      if (tree_degree(rows.row(slot)) <= options_.M) return slot;
      queue.push_back(slot);
    }
  }
  return start;
}

// Makes a new node's row of level 0 and hangs it into the tree.
Slot Graph::adopt(Slot child, std::vector<Batch::Edge> forward, RowEdits& rows,
                  Scratch& scratch) const {
  Slot* row = rows.edit(child);
  std::fill_n(row, degree(), kNoLink);
  // The first node of all has no one to link to.
  if (forward.empty()) return kNoLink;
  const Slot parent = find_parent(forward, rows);
  auto edge = std::find_if(forward.begin(), forward.end(),
                           [=](const Batch::Edge& e) { return e.id == parent; });
  if (edge == forward.end()) {
    const float distance = vectors_.distance(vectors_.query(child), parent);
    if (forward.size() == degree()) forward.pop_back();
    edge = forward.insert(forward.end(), {parent, distance, true});
  }
  for (const Batch::Edge& e : forward) {
    *row++ = e.id | (e.occluded ? kOccludedFlag : 0) | (e.id == parent ? kTreeFlag : 0);
  }
  accept_base(rows.edit(parent), parent, child, edge->distance, kTreeFlag, scratch);
  return parent;
}

// The other direction of an edge: `target` takes `source` as a neighbour. A full row loses the
// farthest of its occluded edges, or of all but the tree's. That is Algorithm 4 with fill-up kept
// up to date edge by edge: 2 x degree distances instead of up to degree^2 / 2.
void Graph::accept_base(Slot* row, Slot target, Slot source, float distance, Slot flag,
                        Scratch& scratch) const {
  std::size_t count = 0;
  for (; count < degree() && row[count] != kNoLink; ++count) {
    scratch.slots[count] = row[count] & kSlotMask;
  }
  float* near = scratch.near.data();
  float* across = scratch.across.data();
  vectors_.distances(vectors_.query(source), scratch.slots.data(), count, across);
  vectors_.distances(vectors_.query(target), scratch.slots.data(), count, near);

  bool occluded = false;
  for (std::size_t i = 0; i < count; ++i) {
    occluded |= (row[i] & kOccludedFlag) == 0 && near[i] < distance && across[i] < distance;
  }
  if (!occluded) {
    for (std::size_t i = 0; i < count; ++i) {
      if (near[i] > distance && across[i] < near[i]) row[i] |= kOccludedFlag;
    }
  }
  const Slot link = source | flag | (occluded ? kOccludedFlag : 0);
  if (count < degree()) {
    row[count] = link;
    return;
  }
  // An occluded edge goes before any other, among equals the farthest.
  std::size_t victim = count;
  std::pair<bool, float> worst{occluded, distance};
  bool found = (flag & kTreeFlag) == 0;
  for (std::size_t i = 0; i < count; ++i) {
    if ((row[i] & kTreeFlag) != 0) continue;
    const std::pair<bool, float> rank{(row[i] & kOccludedFlag) != 0, near[i]};
    if (!found || rank > worst) {
      worst = rank;
      victim = i;
      found = true;
    }
  }
  if (victim < count) row[victim] = link;
}

// On upper levels, which hold one row in M, Algorithm 4 runs over the whole row.
void Graph::accept_upper(Slot* row, const Proposal& proposal, Scratch& scratch) const {
  const UpperLevel& upper = levels_[proposal.level - 1];
  std::size_t count = 0;
  while (count < options_.M && row[count] != kNoLink) ++count;
  if (count < options_.M) {
    row[count] = proposal.source;
    return;
  }
  for (std::size_t i = 0; i < count; ++i) scratch.slots[i] = upper.slots[row[i]];
  vectors_.distances(vectors_.query(upper.slots[proposal.target]), scratch.slots.data(), count,
                     scratch.near.data());
  scratch.candidates.clear();
  for (std::size_t i = 0; i < count; ++i) scratch.candidates.push_back({scratch.near[i], row[i]});
  scratch.candidates.push_back({proposal.distance, proposal.source});
  std::stable_sort(scratch.candidates.begin(), scratch.candidates.end(),
                   [](const Neighbor& a, const Neighbor& b) { return a.distance < b.distance; });
  std::vector<Batch::Edge> edges;
  select(layer(proposal.level), options_.M, scratch, edges);
  for (std::size_t i = 0; i < edges.size(); ++i) row[i] = edges[i].id;
}

void Graph::link(const Batch& batch, std::size_t lowest, std::size_t num_threads,
                 ScratchPool& scratches, Gate& gate, const std::function<void()>& publish) {
  std::vector<Proposal> proposals;
  std::vector<RowEdits> edits;
  edits.reserve(levels_.size() + 1);
  for (std::size_t level = 0; level <= levels_.size(); ++level) {
    edits.emplace_back(layer(level).links);
  }
  {
    ScratchPool::Lease lease(scratches);
    Scratch& scratch = *lease;
    make_room(scratch);
    for (const Batch::Node& node : batch.nodes) {
      if (lowest == 0) {
        const Slot parent = adopt(node.slot, node.forward[0], edits[0], scratch);
        for (const Batch::Edge& edge : node.forward[0]) {
          if (edge.id != parent) proposals.push_back({0, edge.id, node.slot, edge.distance});
        }
      }
      for (std::size_t level = 1; level < node.forward.size(); ++level) {
        Slot* row = edits[level].edit(node.numbers[level]);
        for (const Batch::Edge& edge : node.forward[level]) {
          *row++ = edge.id;
          proposals.push_back({level, edge.id, node.numbers[level], edge.distance});
        }
      }
    }
  }
  // The new nodes and their parents.
  const std::size_t hung = edits[0].size();

  // Each target takes its proposals in order, whichever thread serves it.
  const auto place = [](const Proposal& p) { return std::pair(p.level, p.target); };
  std::stable_sort(proposals.begin(), proposals.end(),
                   [&](const Proposal& a, const Proposal& b) { return place(a) < place(b); });
  std::vector<std::size_t> starts;
  for (std::size_t i = 0; i < proposals.size(); ++i) {
    if (i > 0 && place(proposals[i - 1]) == place(proposals[i])) continue;
    starts.push_back(i);
    edits[proposals[i].level].edit(proposals[i].target);
  }
  starts.push_back(proposals.size());
  constexpr std::size_t kTargets = 64;  // a task: some 100 microseconds
  const std::size_t targets = starts.size() - 1;
  parallel_for((targets + kTargets - 1) / kTargets, num_threads, [&](std::size_t task) {
    ScratchPool::Lease lease(scratches);
    Scratch& scratch = *lease;
    make_room(scratch);
    const std::size_t end = starts[std::min(targets, (task + 1) * kTargets)];
    for (std::size_t i = starts[task * kTargets]; i < end; ++i) {
      const Proposal& p = proposals[i];
      Slot* row = edits[p.level].edited(p.target);
      if (p.level == 0) {
        accept_base(row, p.target, p.source, p.distance, 0, scratch);
      } else {
        accept_upper(row, p, scratch);
      }
    }
  });

  const std::span<const Slot> new_ids = edits[0].ids().first(hung);
  Seeds seeds = seeds_;
  if (lowest == 0) {
    std::vector<Slot> slots;
    slots.reserve(batch.nodes.size());
    for (const Batch::Node& node : batch.nodes) slots.push_back(node.slot);
    seeds.offer(vectors_, slots, num_threads);
  }
  reserve_ready(hung);
  // From here on nothing throws.
  make_ready(new_ids, edits[0].at(0), num_threads);
  {
    const std::lock_guard exclusive(gate);
    put(new_ids, edits[0].at(0));
    for (std::size_t level = 1; level < edits.size(); ++level) {
      UpperLevel& upper = levels_[level - 1];
      for (std::size_t i = 0; i < edits[level].size(); ++i) {
        std::copy_n(edits[level].at(i), options_.M,
                    &upper.links[std::size_t{edits[level].id(i)} * options_.M]);
      }
    }
    for (const Batch::Node& node : batch.nodes) {
      const std::size_t level = node.numbers.size() - 1;
      if (entry_ != kNoLink && level <= top_) continue;
      top_ = level;
      entry_ = node.numbers[level];
    }
    pending_.clear();
    seeds_ = std::move(seeds);
    if (publish) publish();
  }
  write(edits[0].ids().subspan(hung), edits[0].at(hung), num_threads, gate);
}

}  // namespace annx
