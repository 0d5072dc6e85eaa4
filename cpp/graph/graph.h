// The HNSW graph (Malkov & Yashunin, "Efficient and robust approximate nearest neighbor search
// using Hierarchical Navigable Small World graphs", TPAMI 2018) over the rows of a Vectors.
//
// Level 0 has one fixed-degree row of links a slot. Each upper level numbers its own nodes, so
// that the nodes that are on level 0 alone, all but 1 in M, pay nothing for the levels.
//
// Level 0 also holds a spanning tree of undirected edges (kTreeFlag in both directions) that is
// never pruned: every node is reachable from every other, whatever the pruning does.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <vector>

#include "base/buffer.h"
#include "base/types.h"
#include "graph/pool.h"
#include "graph/scratch.h"
#include "storage/vectors.h"

namespace annx {

struct GraphOptions {
  std::size_t M = 16;
  std::size_t ef_construction = 200;
  std::uint64_t seed = 0;
};

// A level above 0.
struct UpperLevel {
  std::size_t count = 0;
  Array<Slot> down;   // number of the same node one level below
  Array<Slot> slots;  // its slot
  Array<Slot> links;  // M a node, by number on this level

  void grow(std::size_t nodes, std::size_t degree);
};

// New nodes on their way into the graph.
struct Batch {
  struct Edge {
    Slot id;  // number on its level
    float distance;
    bool occluded;
  };
  struct Node {
    Slot slot;
    std::vector<Slot> numbers;               // by level, from 0
    std::vector<std::vector<Edge>> forward;  // chosen neighbours by level, nearest first
  };
  std::vector<Node> nodes;
};

// Rows of neighbours by slot (see bulk.cpp).
class Lists;

class Graph {
 public:
  Graph(const Vectors& vectors, const GraphOptions& options)
      : vectors_(vectors), options_(options) {}

  const GraphOptions& options() const noexcept { return options_; }
  std::size_t degree() const noexcept { return 2 * options_.M; }

  // Greedy descent, then a beam of width `ef` on level 0, left in scratch.pool. `rows` is an upper
  // bound of the slots.
  void search(const Query& query, std::size_t ef, std::size_t rows, Scratch& scratch) const;

  // Highest level of a slot, from the seed alone.
  std::size_t level_of(Slot slot) const noexcept;

  // --- Insertion, by one writer. begin() and link() exclude searches, plan()
  // does not. ---

  // Room for `rows` slots.
  void reserve(std::size_t rows) { links_.grow(rows * degree()); }
  // Numbers the nodes; their rows are in place. No search sees them yet.
  Batch begin(const std::vector<Slot>& slots);
  // Takes begin() back.
  void abandon(const Batch& batch) noexcept;
  // Chooses the neighbours of node i among the graph and the nodes before it in the batch, on its
  // levels from `lowest` up.
  void plan(Batch& batch, std::size_t i, std::size_t rows, std::size_t lowest,
            Scratch& scratch) const;
  // Writes the edges that were planned. The result does not depend on `num_threads`.
  void link(const Batch& batch, std::size_t lowest, std::size_t num_threads, ScratchPool& scratch);
  // Makes an empty row for a slot that is no node.
  void clear(Slot slot) noexcept { std::fill_n(&links_[slot * degree()], degree(), kNoLink); }

  // Level 0 of an empty graph at once; upper levels have been linked. Deterministic likewise.
  // `poll` is called with the share of the work done.
  void bulk(const std::vector<Slot>& nodes, std::size_t rows, std::size_t num_threads,
            ScratchPool& scratch, const std::function<void(double)>& poll);

  // --- State, for files ---
  const Slot* links() const noexcept { return links_.data(); }
  Slot* links() noexcept { return links_.data(); }
  const std::vector<UpperLevel>& levels() const noexcept { return levels_; }
  std::size_t top() const noexcept { return top_; }  // levels above 0
  Slot entry() const noexcept { return entry_; }
  void set_levels(std::vector<UpperLevel> levels, Slot entry);
  std::size_t link_bytes() const noexcept { return links_.bytes(); }
  std::size_t upper_bytes() const noexcept;

 private:
  // What differs between level 0 and the others.
  struct Layer {
    const Slot* links;
    std::size_t degree;
    const Slot* slots;  // null on level 0, where number and slot are one

    Slot slot(Slot id) const noexcept { return slots == nullptr ? id : slots[id]; }
  };
  struct Proposal {
    std::size_t level;
    Slot target;
    Slot source;
    float distance;
  };

  Layer layer(std::size_t level) const noexcept;
  // search.cpp
  void make_room(Scratch& scratch) const;
  std::size_t gather(const Layer& layer, Slot node, Scratch& scratch, bool unvisited) const;
  Slot greedy(const Query& query, const Layer& layer, Slot start, Scratch& scratch) const;
  void beam(const Query& query, const Layer& layer, Slot start, std::size_t ef, std::size_t nodes,
            Scratch& scratch) const;

  // select.cpp
  void select(const Layer& layer, std::size_t most, Scratch& scratch,
              std::vector<Batch::Edge>& edges) const;

  // link.cpp
  std::size_t tree_degree(Slot slot) const noexcept;
  Slot find_parent(const std::vector<Batch::Edge>& forward) const;
  Slot adopt(Slot child, std::vector<Batch::Edge> forward, Scratch& scratch);
  void accept_base(Slot target, Slot source, float distance, Slot flag, Scratch& scratch);
  void accept_upper(const Proposal& proposal, Scratch& scratch);

  // bulk.cpp
  void choose(std::size_t most, Scratch& scratch, std::vector<Batch::Edge>& edges) const;
  void write_row(Slot slot, const std::vector<Batch::Edge>& edges) noexcept;
  void join(const std::vector<Slot>& nodes, std::size_t rows, const Lists& lists,
            std::size_t num_threads, ScratchPool& scratches,
            const std::function<void(double)>& poll, double from, double to);
  void plant_tree(const std::vector<Slot>& nodes, std::size_t rows, ScratchPool& scratches);
  void hang(Slot child, Slot parent) noexcept;

  const Vectors& vectors_;
  GraphOptions options_;
  Array<Slot> links_;
  std::vector<UpperLevel> levels_;
  // What searches see: the number of levels above 0, and the entry point on the highest.
  std::size_t top_ = 0;
  Slot entry_ = kNoLink;
};

}  // namespace annx
