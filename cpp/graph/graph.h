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
#include <span>
#include <vector>

#include "base/bits.h"
#include "base/buffer.h"
#include "base/gate.h"
#include "base/types.h"
#include "graph/edits.h"
#include "graph/passing.h"
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
  Array<Slot> down;        // number of the same node one level below
  Array<Slot> slots;       // its slot
  Array<Slot> links;       // M a node, by number on this level
  std::vector<Slot> free;  // numbers below count that no node has

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

  // Searches for nodes that pass a filter; false if `budget` distances did not do.
  // Through the others: ef that pass, and what lies between, left in scratch.wide.
  bool search_through(const Query& query, std::size_t ef, std::size_t rows, const Passing& passing,
                      std::size_t budget, Scratch& scratch, Walk& walk) const;
  // All within `radius`, as far as they hang together over at most ef beyond it; in scratch.wide.
  bool search_within(const Query& query, float radius, std::size_t ef, std::size_t rows,
                     std::size_t budget, Scratch& scratch, Walk& walk) const;
  // Over them, from `start` (kNoLink: none) and `seeds`: ef that pass, left in scratch.pool.
  bool search_among(const Query& query, std::size_t ef, std::size_t rows, const Passing& passing,
                    Slot start, std::span<const Slot> seeds, std::size_t budget, Scratch& scratch,
                    Walk& walk) const;
  Slot nearest_by(const Query& query, Scratch& scratch, Walk& walk) const;
  double passing_near(Slot node, const Passing& passing) const;

  // Highest level of a slot, from the seed alone.
  std::size_t level_of(Slot slot) const noexcept;

  // --- Insertion, by one writer. Searches are shut out of reserve(), begin() and abandon() by the
  // caller, of link() by itself and only while it copies what it has made. ---

  // Room for `rows` slots.
  void reserve(std::size_t rows) { links_.grow(rows * degree()); }
  // Numbers the nodes; their rows are in place. No search sees them yet.
  Batch begin(const std::vector<Slot>& slots);
  // Takes begin() back.
  void abandon() noexcept;
  // Chooses the neighbours of node i among the graph and the nodes before it in the batch, on its
  // levels from `lowest` up.
  void plan(Batch& batch, std::size_t i, std::size_t rows, std::size_t lowest,
            Scratch& scratch) const;
  // Writes the edges that were planned. The result does not depend on `num_threads`. `publish` is
  // called with the gate closed as soon as the nodes hang in the tree of level 0.
  void link(const Batch& batch, std::size_t lowest, std::size_t num_threads, ScratchPool& scratch,
            Gate& gate, const std::function<void()>& publish);
  // Makes an empty row for a slot that is no node.
  void clear(Slot slot) noexcept { std::fill_n(&links_[slot * degree()], degree(), kNoLink); }

  // --- Removal, by the same writer (remove.cpp, repair.cpp). A dead node is no result and no new
  // node's neighbour, but searches pass through it. ---

  void bury(Slot slot) { dead_.set(slot); }
  void reserve_dead(std::size_t rows) { dead_.reserve(rows); }
  const Bits& dead() const noexcept { return dead_; }
  // Takes all dead nodes, sorted, out of the graph, and mends what they leave; `alive` is the
  // lowest node that stays. Closes the gate for moments only. What `poll` throws ends the work with
  // a valid graph, the nodes still dead.
  void purge(const std::vector<Slot>& dead, Slot alive, std::size_t rows, std::size_t num_threads,
             ScratchPool& scratches, Gate& gate, const std::function<void(double)>& poll);
  // Makes the tree of level 0 span the live `nodes` again, if a file was not as it should be. Stops
  // where `go_on` says so, and returns the number of trees that are left over.
  std::size_t replant(const std::vector<Slot>& nodes, std::size_t rows, ScratchPool& scratches,
                      Gate& gate, const std::function<bool()>& go_on);
  // Forgets all nodes.
  void reset() noexcept;

  // Level 0 of an empty graph at once; upper levels have been linked. Deterministic likewise.
  // `poll` is called with the share of the work done.
  void bulk(const std::vector<Slot>& nodes, std::size_t rows, std::size_t num_threads,
            ScratchPool& scratch, const std::function<void(double)>& poll);

  // --- State, for files ---
  const Slot* links() const noexcept { return links_.data(); }
  Slot* links() noexcept { return links_.data(); }
  // Upper levels with their nodes numbered by slot, and the entry point's number.
  struct Numbered {
    std::vector<std::vector<Slot>> down, links;
    Slot entry = 0;
  };
  Numbered numbered() const;
  std::size_t top() const noexcept { return top_; }  // levels above 0
  Slot entry() const noexcept { return entry_; }
  void set_levels(std::vector<UpperLevel> levels, Slot entry);
  // Everything, by what was made elsewhere.
  void replace(Array<Slot>&& links, std::vector<UpperLevel>&& levels, Bits&& dead, Slot entry);
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

  // filtered.cpp
  Slot descend(const Query& query, Scratch& scratch) const;
  template <class Counts>
  bool beam_through(const Query& query, std::size_t ef, std::size_t rows, std::size_t budget,
                    Scratch& scratch, Walk& walk, const Counts& counts) const;
  std::size_t gather_passing(Slot node, const Passing& passing, Scratch& scratch) const;

  // select.cpp
  void select(const Layer& layer, std::size_t most, Scratch& scratch,
              std::vector<Batch::Edge>& edges) const;

  // link.cpp
  std::size_t tree_degree(const Slot* row) const noexcept;
  std::size_t tree_degree(Slot slot) const noexcept {
    return tree_degree(links() + std::size_t{slot} * degree());
  }
  Slot find_parent(const std::vector<Batch::Edge>& forward, const RowEdits& rows) const;
  Slot find_parent(const std::vector<Batch::Edge>& forward) const {
    return find_parent(forward, RowEdits(links(), degree()));
  }
  Slot adopt(Slot child, std::vector<Batch::Edge> forward, RowEdits& rows, Scratch& scratch) const;
  void accept_base(Slot* row, Slot target, Slot source, float distance, Slot flag,
                   Scratch& scratch) const;
  void accept_base(Slot target, Slot source, float distance, Slot flag, Scratch& scratch) {
    accept_base(links() + std::size_t{target} * degree(), target, source, distance, flag, scratch);
  }
  void accept_upper(Slot* row, const Proposal& proposal, Scratch& scratch) const;
  // Where rows of level 0 change once searches may see them.
  void write(Slot slot, const Slot* row) noexcept {
    std::copy_n(row, degree(), links() + std::size_t{slot} * degree());
  }
  void write(const RowEdits& rows, std::size_t from, Gate& gate);

  // build.cpp
  void find_alive(const Query& query, Slot start, std::size_t rows, Scratch& scratch) const;

  // remove.cpp
  void leave_tree(const std::vector<Slot>& dead, Scratch& scratch, Gate& gate,
                  const std::function<void(double)>& poll);
  void hang_again(Slot root, Slot near, RowEdits& rows, Scratch& scratch) const;
  Slot with_room(Slot start, const RowEdits& rows) const;
  void forget_numbers(Slot alive, Gate& gate);

  // repair.cpp
  void around_dead(const Layer& layer, Slot node, std::size_t nodes, Scratch& scratch) const;
  void mend_base(Slot slot, std::size_t rows, Scratch& scratch, std::vector<Slot>& row) const;
  void mend_upper(std::size_t level, Scratch& scratch, Gate& gate,
                  const std::function<void(double)>& poll);

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
  Bits dead_;
  // Numbers that begin() gave and link() has not used yet, by level from 1.
  std::vector<std::vector<Slot>> pending_;
  // What searches see: the number of levels above 0, and the entry point on the highest.
  std::size_t top_ = 0;
  Slot entry_ = kNoLink;
};

}  // namespace annx
