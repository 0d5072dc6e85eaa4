// Level 0 of many rows at once: near neighbours by brute force within small overlapping groups,
// pruned, joined with their reverse edges, and refined by one pass of searches. After PiPNN (arXiv
// 2602.21247) and Vamana's second pass (Subramanya et al., NeurIPS 2019).
#include <algorithm>
#include <array>
#include <limits>
#include <span>

#include "base/thread_pool.h"
#include "graph/graph.h"
#include "graph/partition.h"
#include "graph/turns.h"

namespace annx {
namespace {

constexpr std::size_t kNear = 32;       // neighbours kept from each of a row's two groups
constexpr std::size_t kOthers = 8;      // and of the rest of the group; see near_in_leaves()
constexpr std::size_t kClasses = 64;    // of distances, by place; see bound()
constexpr std::size_t kTask = 128;      // nodes a task
constexpr std::size_t kNarrowest = 48;  // beam of the refinement

// Rows of a group: as many as half of an L2 of 1.5 MB holds, within what was measured to help.
std::size_t leaf_rows(const Space& space) {
  return std::clamp<std::size_t>((std::size_t{3} << 18) / space.stride(), 1000, 2000);
}

// By distance, then by id; no function, so that sorting compares in place.
constexpr auto nearer = [](const Neighbor& a, const Neighbor& b) noexcept {
  return a.distance != b.distance ? a.distance < b.distance : a.id < b.id;
};

// Whether an id is among so many. All are compared: where it would be found is hard to predict.
bool is_among(Slot id, std::span<const Neighbor> list) noexcept {
  std::uint32_t same = 0;
  for (const Neighbor& n : list) same += n.id == id ? 1 : 0;
  return same > 0;
}

// Adds those of `more`, in which none is twice, that are not in a list, sorted.
void append_new(std::span<const Neighbor> more, std::vector<Neighbor>& list) {
  const std::size_t size = list.size();
  for (const Neighbor& n : more) {
    if (!is_among(n.id, {list.data(), size})) list.push_back(n);
  }
  std::sort(list.begin() + static_cast<std::ptrdiff_t>(size), list.end(), nearer);
}

// The same into a sorted list.
void merge_new(std::span<const Neighbor> more, std::vector<Neighbor>& list) {
  const auto size = static_cast<std::ptrdiff_t>(list.size());
  append_new(more, list);
  std::inplace_merge(
      list.begin(), list.begin() + size, list.end(),
      [](const Neighbor& a, const Neighbor& b) noexcept { return a.distance < b.distance; });
}

// Calls body(node, scratch) for every node, and poll with shares from `from` to `to`.
template <class Body>
void for_nodes(const std::vector<Slot>& nodes, std::size_t num_threads, ScratchPool& scratches,
               const std::function<void(double)>& poll, double from, double to, const Body& body) {
  constexpr std::size_t kRound = 8;  // tasks: some 50 ms
  const auto between = [&](double share) { poll(from + share * (to - from)); };
  const std::size_t tasks = (nodes.size() + kTask - 1) / kTask;
  parallel_rounds(tasks, num_threads, kRound, between, [&](std::size_t task) {
    ScratchPool::Lease lease(scratches);
    const std::size_t end = std::min(nodes.size(), (task + 1) * kTask);
    for (std::size_t i = task * kTask; i < end; ++i) body(nodes[i], *lease);
  });
}

}  // namespace

// Rows of at most `width` neighbours, by slot.
class Lists {
 public:
  Lists(std::size_t rows, std::size_t width) : width_(width) {
    entries_.grow(rows * width);
    counts_.grow(rows);
  }
  std::span<const Neighbor> operator[](Slot slot) const noexcept {
    return {entries_.data() + slot * width_, counts_[slot]};
  }
  void set(Slot slot, const Neighbor* from, std::size_t count) noexcept {
    counts_[slot] = static_cast<std::uint32_t>(std::min(count, width_));
    std::copy_n(from, counts_[slot], entries_.data() + slot * width_);
  }
  void set(Slot slot, const std::vector<Batch::Edge>& edges) noexcept {
    counts_[slot] = static_cast<std::uint32_t>(std::min(edges.size(), width_));
    for (std::size_t i = 0; i < counts_[slot]; ++i) {
      entries_[slot * width_ + i] = {edges[i].distance, edges[i].id};
    }
  }

 private:
  std::size_t width_;
  Array<Neighbor> entries_;
  Array<std::uint32_t> counts_;
};

namespace {

// The neighbours that each list's owner has in the others' lists, by owner.
struct Reverse {
  std::vector<std::size_t> starts;
  std::vector<Neighbor> entries;

  std::span<const Neighbor> operator[](Slot slot) const noexcept {
    return {entries.data() + starts[slot], starts[slot + 1] - starts[slot]};
  }
};

Reverse reverse(const Lists& lists, const std::vector<Slot>& nodes, std::size_t rows) {
  Reverse to;
  to.starts.assign(rows + 1, 0);
  for (const Slot node : nodes) {
    for (const Neighbor& n : lists[node]) ++to.starts[n.id + 1];
  }
  for (std::size_t i = 0; i < rows; ++i) to.starts[i + 1] += to.starts[i];
  to.entries.resize(to.starts[rows]);
  std::vector<std::size_t> at(to.starts.begin(), to.starts.end() - 1);
  for (const Slot node : nodes) {
    for (const Neighbor& n : lists[node]) to.entries[at[n.id]++] = {n.distance, node};
  }
  return to;
}

// No less than the kNear-th of the distances, as so many of their kClasses classes have a least
// that is not beyond it; finite. Some 50 of 1,000 are within. They fill whole kClasses.
float bound(const std::vector<float>& distances) {
  std::array<float, kClasses> least;
  least.fill(std::numeric_limits<float>::max());
  for (std::size_t from = 0; from < distances.size(); from += kClasses) {
    for (std::size_t i = 0; i < kClasses; ++i) {
      // std::min returns a reference, which costs 2 % of a build.
      const float distance = distances[from + i];
      least[i] = distance < least[i] ? distance : least[i];
    }
  }
  std::nth_element(least.begin(), least.begin() + (kNear - 1), least.end());
  return least[kNear - 1];
}

// The nearest in each node's two groups, by 2 x slot + turn, and some of the others: where all that
// are near belong to one cluster, Algorithm 4 keeps these, and there are ways to other clusters.
Lists near_in_leaves(const Vectors& vectors, const std::vector<Slot>& nodes, std::size_t rows,
                     std::uint64_t seed, std::size_t num_threads,
                     const std::function<void(double)>& poll) {
  const auto tick = [&] { poll(0.1); };
  const std::vector<Leaf> leaves =
      partition(vectors, nodes, leaf_rows(vectors.space()), seed, num_threads, tick);
  const std::size_t stride = vectors.space().stride();
  Lists near(2 * rows, kNear + kOthers);
  constexpr std::size_t kRound = 4;  // leaves: some 60 ms
  const auto between = [&](double share) { poll(0.1 + 0.2 * share); };
  parallel_rounds(leaves.size(), num_threads, kRound, between, [&](std::size_t l) {
    const Leaf& leaf = leaves[l];
    const std::size_t size = leaf.slots.size();
    std::vector<std::byte> block(size * stride);
    for (std::size_t i = 0; i < size; ++i) {
      std::copy_n(vectors.row(leaf.slots[i]), stride, block.data() + i * stride);
    }
    std::vector<float> distances((size + kClasses - 1) / kClasses * kClasses,
                                 std::numeric_limits<float>::infinity());
    std::vector<Neighbor> list(size);
    for (std::size_t i = 0; i < size; ++i) {
      const Query query = vectors.space().from_stored(block.data() + i * stride);
      vectors.space().distances(query, block.data(), stride, nullptr, size, distances.data());
      distances[i] = std::numeric_limits<float>::infinity();
      const float limit = bound(distances);
      std::size_t count = 0;
      for (std::size_t j = 0; j < size; ++j) {
        // Written whether it counts or not: that is hard to predict.
        list[count] = {distances[j], leaf.slots[j]};
        count += static_cast<std::size_t>(distances[j] <= limit);
      }
      const auto last = list.begin() + static_cast<std::ptrdiff_t>(count);
      if (count > kNear) std::nth_element(list.begin(), list.begin() + kNear, last, nearer);
      std::size_t kept = std::min(kNear, count);
      for (std::size_t o = 0; o < kOthers && kept < size; ++o) {
        // A prime, so that each node has others of its own.
        const std::size_t j = (i * 7919 + o * size / kOthers) % size;
        if (j == i || is_among(leaf.slots[j], {list.data(), kept})) continue;
        list[kept++] = {distances[j], leaf.slots[j]};
      }
      near.set(2 * leaf.slots[i] + leaf.turn[i], list.data(), kept);
    }
  });
  return near;
}

}  // namespace

// Chooses `most` neighbours of a node from scratch.candidates, sorted by distance, each once.
void Graph::choose(std::size_t most, Scratch& scratch, std::vector<Batch::Edge>& edges) const {
  // A hub is named by thousands; a search and a row are never cut, or ways to other clusters go.
  const std::size_t limit = std::max(options_.ef_construction, kNarrowest) + degree();
  if (scratch.candidates.size() > limit) scratch.candidates.resize(limit);
  select(layer(0), most, scratch, edges);
}

void Graph::write_row(Slot slot, const std::vector<Batch::Edge>& edges) noexcept {
  clear(slot);
  Slot* row = links_of(slot);
  for (const Batch::Edge& edge : edges) *row++ = edge.id | (edge.occluded ? kOccludedFlag : 0);
}

// Gives every node the best of its own list and of those that name it, by Algorithm 4 if `prune`,
// otherwise its own and the nearest of the others.
void Graph::join(const std::vector<Slot>& nodes, std::size_t rows, const Lists& lists, bool prune,
                 std::size_t num_threads, ScratchPool& scratches,
                 const std::function<void(double)>& poll, double from, double to) {
  const Reverse named = reverse(lists, nodes, rows);
  for_nodes(nodes, num_threads, scratches, poll, from, to, [&](Slot node, Scratch& scratch) {
    std::vector<Batch::Edge> edges;
    make_room(scratch);
    scratch.candidates.assign(lists[node].begin(), lists[node].end());
    if (prune) {
      merge_new(named[node], scratch.candidates);
      choose(degree(), scratch, edges);
    } else {
      append_new(named[node], scratch.candidates);
      if (scratch.candidates.size() > degree()) scratch.candidates.resize(degree());
      for (const Neighbor& n : scratch.candidates) edges.push_back({n.id, n.distance, false});
    }
    write_row(node, edges);
  });
}

// Flags a spanning tree within the rows, adding edges where there is none to flag. Breadth first
// from the first node, so that tree edges are short where the graph allows it.
void Graph::plant_tree(const std::vector<Slot>& nodes, std::size_t rows, ScratchPool& scratches) {
  ScratchPool::Lease lease(scratches);
  Scratch& scratch = *lease;
  make_room(scratch);
  std::vector<bool> reached(rows, false);
  std::vector<Slot> queue;
  const auto reach = [&](Slot slot) {
    reached[slot] = true;
    queue.push_back(slot);
  };
  const auto grow = [&] {
    for (std::size_t next = 0; next < queue.size(); ++next) {
      const Slot node = queue[next];
      Slot* row = links_of(node);
      std::size_t edges = tree_degree(node);
      for (std::size_t i = 0; i < degree() && row[i] != kNoLink && edges <= options_.M; ++i) {
        const Slot child = row[i] & kSlotMask;
        if (reached[child]) continue;
        row[i] |= kTreeFlag;
        hang(child, node);
        ++edges;
        reach(child);
      }
    }
    queue.clear();
  };
  reach(nodes.front());
  grow();
  for (const Slot node : nodes) {
    if (reached[node]) continue;
    // Cut off from what is reached so far: its nearest reached nodes take it in.
    const Query query = vectors_.query(node);
    search(query, degree(), rows, scratch);
    std::vector<Batch::Edge> near;
    for (std::size_t i = 0; i < scratch.pool.size(); ++i) {
      const Neighbor found = scratch.pool[i];
      if (reached[found.id]) near.push_back({found.id, found.distance, false});
    }
    if (near.empty())
      near.push_back({nodes.front(), vectors_.distance(query, nodes.front()), false});
    const Slot parent = find_parent(near);
    accept_base(parent, node, vectors_.distance(query, parent), kTreeFlag, scratch);
    hang(node, parent);
    reach(node);
    grow();
  }
}

// Puts the edge to its parent into the row of a node that has no tree edge yet.
void Graph::hang(Slot child, Slot parent) noexcept {
  Slot* row = links_of(child);
  std::size_t place = 0;
  for (; place < degree() && row[place] != kNoLink; ++place) {
    if ((row[place] & kSlotMask) == parent) {
      row[place] |= kTreeFlag;
      return;
    }
  }
  if (place == degree()) {
    // Rows are sorted by distance: the last occluded edge is the farthest of those.
    place = degree() - 1;
    for (std::size_t i = degree(); i-- > 0;) {
      if ((row[i] & kOccludedFlag) != 0) {
        place = i;
        break;
      }
    }
  }
  row[place] = parent | kTreeFlag;
}

// Each node's neighbours anew, from what a search finds around it and from its row.
void Graph::refine(const std::vector<Slot>& nodes, std::size_t rows, Lists& lists,
                   std::size_t num_threads, ScratchPool& scratches,
                   const std::function<void(double)>& poll) const {
  // A third of what an insertion searches with: a row brings near neighbours of its own. See
  // docs/optimizations.md for what other widths gave.
  const std::size_t beam = std::max(kNarrowest, options_.ef_construction * 2 / 5);
  constexpr std::size_t kRound = 8;  // tasks: some 50 ms
  const std::size_t tasks = (nodes.size() + kTask - 1) / kTask;
  const auto between = [&](double share) { poll(0.5 + 0.35 * share); };
  parallel_rounds(tasks, num_threads, kRound, between, [&](std::size_t task) {
    std::vector<Batch::Edge> edges;
    std::vector<Neighbor> own;
    take_turns(
        *this, scratches, task * kTask, std::min(nodes.size(), (task + 1) * kTask),
        [&](std::size_t i, Scratch& scratch) {
          // As a query comes, so that where that way ends in another cluster, a link is made there.
          // From the node itself it is 4 % faster and leaves clusters apart.
          start(vectors_.query(nodes[i]), {0, beam, rows, false}, scratch);
        },
        [&](std::size_t i, Scratch& scratch) {
          const Slot node = nodes[i];
          sharpen(layer(0), scratch);
          scratch.candidates.clear();
          for (std::size_t c = 0; c < scratch.pool.size(); ++c) {
            if (scratch.pool[c].id != node) scratch.candidates.push_back(scratch.pool[c]);
          }
          // Its row too: the way from one cluster to another is far longer than the beam is wide.
          const Slot* row = links_of(node);
          std::size_t count = 0;
          for (std::size_t l = 0; l < degree() && row[l] != kNoLink; ++l) {
            const Slot id = row[l] & kSlotMask;
            if (!is_among(id, scratch.candidates)) scratch.slots[count++] = id;
          }
          vectors_.distances(scratch.query, scratch.slots.data(), count, scratch.near.data());
          own.clear();
          for (std::size_t l = 0; l < count; ++l)
            own.push_back({scratch.near[l], scratch.slots[l]});
          merge_new(own, scratch.candidates);
          choose(degree(), scratch, edges);
          lists.set(node, edges);
        });
  });
}

void Graph::bulk(const std::vector<Slot>& nodes, std::size_t rows, std::size_t num_threads,
                 ScratchPool& scratches, const std::function<void(double)>& poll) {
  if (entry_ == kNoLink) entry_ = nodes.front();
  Lists lists(rows, degree());
  {
    const Lists near = near_in_leaves(vectors_, nodes, rows, options_.seed, num_threads, poll);
    for_nodes(nodes, num_threads, scratches, poll, 0.3, 0.4, [&](Slot node, Scratch& scratch) {
      std::vector<Batch::Edge> edges;
      make_room(scratch);
      scratch.candidates.clear();
      append_new(near[2 * node], scratch.candidates);
      merge_new(near[2 * node + 1], scratch.candidates);
      // Half a row: the other half is for those that choose this node.
      choose(options_.M, scratch, edges);
      lists.set(node, edges);
    });
  }
  join(nodes, rows, lists, false, num_threads, scratches, poll, 0.4, 0.5);
  refine(nodes, rows, lists, num_threads, scratches, poll);
  join(nodes, rows, lists, true, num_threads, scratches, poll, 0.85, 1);
  plant_tree(nodes, rows, scratches);
  seeds_.offer(vectors_, nodes, num_threads);
}

}  // namespace annx
