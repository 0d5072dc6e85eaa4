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
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "base/bits.h"
#include "base/buffer.h"
#include "base/gate.h"
#include "base/types.h"
#include "graph/edges.h"
#include "graph/edits.h"
#include "graph/growth.h"
#include "graph/passing.h"
#include "graph/pool.h"
#include "graph/scratch.h"
#include "graph/seeds.h"
#include "storage/guard.h"
#include "storage/vectors.h"

namespace annx {

struct GraphOptions {
  std::size_t M = 16;
  std::size_t ef_construction = 200;
  std::uint64_t seed = 0;
  // Bits a dimension of the codes of edges, which then lead the rows; 0 for none.
  unsigned edge_bits = 0;
};

// A level above 0.
struct UpperLevel {
  std::size_t count = 0;
  Array<Slot> down;                    // number of the same node one level below
  Array<Slot> slots;                   // its slot
  Array<Slot> links;                   // M a node, by number on this level
  std::shared_ptr<const Guard> guard;  // of links that are borrowed,
  std::size_t guarded = 0;             // which begin there among what it guards
  std::vector<Slot> free;              // numbers below count that no node has

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
  // With `edges`, rows of the same have room for their bytes() as lead.
  Graph(Vectors& vectors, std::optional<EdgeCodes> edges, const GraphOptions& options)
      : vectors_(vectors), options_(options), edges_(std::move(edges)) {}

  const GraphOptions& options() const noexcept { return options_; }
  std::size_t degree() const noexcept { return 2 * options_.M; }

  // A search for the k nearest is start() and then advance() until it returns false; they are then
  // in scratch.pool. Each step ends by asking for the memory that the next will read, so that a
  // thread that takes several searches in turns does not wait for it. `query` lives as long.
  void start(const Query& query, const Beam& beam, Scratch& scratch) const;
  bool advance(Scratch& scratch) const;
  // All of a beam, comparing rows. `rows` is an upper bound of the slots.
  void search(const Query& query, std::size_t ef, std::size_t rows, Scratch& scratch) const;

  // Searches for nodes that pass a filter; false if `budget` distances did not do.
  // Through the others: ef that pass, and what lies between, left in scratch.wide.
  bool search_through(const Query& query, std::size_t k, std::size_t ef, std::size_t rows,
                      const Passing& passing, std::size_t budget, Scratch& scratch,
                      Walk& walk) const;
  // All within `radius`, as far as they hang together over at most ef beyond it; in scratch.wide.
  bool search_within(const Query& query, float radius, std::size_t ef, std::size_t rows,
                     std::size_t budget, Scratch& scratch, Walk& walk) const;
  // Over them, from `start` (kNoLink: none) and `seeds`: ef that pass, left in scratch.pool.
  bool search_among(const Query& query, std::size_t k, std::size_t ef, std::size_t rows,
                    const Passing& passing, Slot start, std::span<const Slot> seeds,
                    std::size_t budget, Scratch& scratch, Walk& walk) const;
  Slot nearest_by(const Query& query, Scratch& scratch, Walk& walk) const;
  double passing_near(Slot node, const Passing& passing) const;

  // Highest level of a slot, from the seed alone.
  std::size_t level_of(Slot slot) const noexcept;

  // --- Insertion, by one writer. Searches are shut out of reserve(), begin() and abandon() by the
  // caller, of link() by itself and only while it copies what it has made. ---

  // Room for `rows` slots.
  void reserve(std::size_t rows) {
    if (!edges_) links_.grow(rows * degree());
  }
  // Numbers the nodes; their rows are in place. No search sees them yet.
  Batch begin(const std::vector<Slot>& slots);
  // Takes begin() back.
  void abandon() noexcept;
  // Chooses the neighbours of the nodes of a batch from one to before another, each among the graph
  // and the nodes before it in the batch.
  void plan(Batch& batch, std::size_t from, std::size_t to, std::size_t rows,
            ScratchPool& scratches) const;
  // Those of node i on its levels above 0.
  void plan_upper(Batch& batch, std::size_t i, Scratch& scratch) const;
  // Plans an edge to a node of level 0, where no other was found.
  void hang_to(Batch::Node& node, Slot parent) const;
  // Writes the edges that were planned. The result does not depend on `num_threads`. `publish` is
  // called with the gate closed as soon as the nodes hang in the tree of level 0.
  void link(const Batch& batch, std::size_t lowest, std::size_t num_threads, ScratchPool& scratch,
            Gate& gate, const std::function<void()>& publish);
  // Makes an empty row for a slot that is no node.
  void clear(Slot slot) noexcept;

  // --- Removal, by the same writer (remove.cpp, repair.cpp). A dead node is no result and no new
  // node's neighbour, but searches pass through it. ---

  void bury(Slot slot) { dead_.set(slot); }
  void reserve_dead(std::size_t rows) { dead_.reserve(rows); }
  const Bits& dead() const noexcept { return dead_; }
  // Takes all dead nodes, sorted, out of the graph, and mends what they leave; `alive` is the
  // lowest node that stays. Closes the gate for moments only. What `poll` throws ends the work with
  // a valid graph, the nodes still dead.
  // Returns where ways ended that led through them, for mend_ways().
  std::vector<Slot> purge(const std::vector<Slot>& dead, Slot alive, std::size_t rows,
                          std::size_t num_threads, ScratchPool& scratches, Gate& gate,
                          const std::function<void(double)>& poll);
  // Leads to each of these nodes that a search does not find. What `poll` throws ends the work.
  void mend_ways(std::vector<Slot> ends, std::size_t rows, std::size_t num_threads,
                 ScratchPool& scratches, Gate& gate, const std::function<void()>& poll);
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
  // The row of level 0.
  const Slot* links_of(Slot slot) const noexcept { return base_links().row(slot); }
  Slot* links_of(Slot slot) noexcept { return const_cast<Slot*>(base_links().row(slot)); }
  // Upper levels with their nodes numbered by slot, and the entry point's number.
  struct Numbered {
    std::vector<std::vector<Slot>> down, links;
    Slot entry = 0;
  };
  Numbered numbered() const;
  std::size_t top() const noexcept { return top_; }  // levels above 0
  Slot entry() const noexcept { return entry_; }
  std::span<const Slot> seeds() const noexcept { return seeds_.nodes(); }
  const Growth& growth() const noexcept { return growth_; }
  void set_growth(const Growth& growth) noexcept { growth_ = growth; }
  // By searches for the neighbours of these nodes.
  Growth learn_growth(std::span<const Slot> sample, std::size_t rows, std::size_t num_threads,
                      ScratchPool& scratches) const;
  void set_levels(std::vector<UpperLevel> levels, Slot entry);
  // Everything, by what was made elsewhere; with edges, the rows hold the links and their codes.
  void replace(Array<Slot>&& links, std::vector<UpperLevel>&& levels, Bits&& dead, Slot entry,
               Seeds&& seeds) noexcept;
  // The same for reading alone; links of level 0 are verified when they are first used.
  void borrow(Array<Slot>&& links, std::shared_ptr<const Guard> guard,
              std::vector<UpperLevel>&& levels, Bits&& dead, Slot entry,
              std::span<const Slot> seeds);
  void touch_all() const;
  std::size_t edge_bytes() const noexcept { return edges_ ? edges_->bytes() : 0; }
  std::size_t upper_bytes() const noexcept;

 private:
  // What differs between level 0 and the others.
  struct Layer {
    LinkRows links;
    std::size_t degree;
    const Slot* slots;  // null on level 0, where number and slot are one
    const Guard* guard;
    std::size_t guarded;

    Slot slot(Slot id) const noexcept { return slots == nullptr ? id : slots[id]; }
    const Slot* row(Slot id) const noexcept { return links.row(id); }
    // Before a row is read that may be mapped. Throws FormatError.
    void touch(Slot id) const {
      if (guard == nullptr) return;
      const std::size_t bytes = degree * sizeof(Slot);
      guard->touch(guarded + id * bytes, bytes);
    }
  };
  LinkRows base_links() const noexcept {
    if (!edges_) return {links_.data(), degree(), degree()};
    return {reinterpret_cast<const Slot*>(vectors_.lead(0)), vectors_.pitch() / sizeof(Slot),
            degree()};
  }
  struct Proposal {
    std::size_t level;
    Slot target;
    Slot source;
    float distance;
  };

  Layer layer(std::size_t level) const noexcept;
  const Slot* read_links(Slot slot) const {
    layer(0).touch(slot);
    return links_of(slot);
  }
  // `node` is any: it tells how far distances may be from the truth.
  Stop stop_for(const Query& query, std::size_t k, std::size_t ef, std::size_t nodes,
                Slot node) const noexcept {
    if (k == 0 || node == kNoLink) return growth_.stop(k, ef, nodes, 0);
    const double error = vectors_.space().error(query, vectors_.row(node));
    return growth_.stop(k, ef, nodes, static_cast<float>(deviations(k, ef) * error));
  }
  // How many standard deviations a distance may be off. Of coarse ones three take 5 % longer than
  // one to the same recall where they tell rows apart. Where they hardly do, one leaves out for
  // good what a beam of any width should find: of 4,000 rows in 48 dimensions that drift away from
  // 0, 23 % at ef = 80 k, three 2 %.
  double deviations(std::size_t k, std::size_t ef) const noexcept {
    if (!vectors_.space().is_coarse()) return 3;
    return std::clamp(static_cast<double>(ef) / (16.0 * static_cast<double>(k)), 1.0, 3.0);
  }
  // descent.cpp
  void make_room(Scratch& scratch) const;
  void enter(const Query& query, Scratch& scratch) const;
  void descend(Scratch& scratch) const;
  Slot descend_to(std::size_t level, const Query& query, Scratch& scratch) const;
  Slot find_start(const Query& query, Scratch& scratch) const;
  // search.cpp
  std::size_t gather(const Layer& layer, Slot node, Scratch& scratch, bool unvisited) const;
  void open(const Layer& layer, Slot start, std::size_t ef, std::size_t nodes,
            Scratch& scratch) const;
  bool hop(const Layer& layer, Scratch& scratch) const;
  void sharpen(const Layer& layer, Scratch& scratch) const;
  bool advance_by_rows(Scratch& scratch) const;
  void beam(const Query& query, const Layer& layer, Slot start, std::size_t ef, std::size_t nodes,
            Scratch& scratch) const;

  // walk.cpp
  void fetch(Slot node) const noexcept;
  void start_by_edges(Slot start, std::size_t ef, std::size_t rows, Scratch& scratch) const;
  bool advance_by_edges(Scratch& scratch) const;
  void gather_estimated(Scratch& scratch) const;
  bool compare_estimated(Scratch& scratch) const;
  // filtered.cpp
  template <class Counts>
  bool beam_through(const Query& query, std::size_t ef, std::size_t rows, std::size_t budget,
                    Scratch& scratch, Walk& walk, std::size_t k, const Counts& counts) const;
  std::size_t gather_passing(Slot node, const Passing& passing, Scratch& scratch) const;

  // select.cpp
  void select(const Layer& layer, std::size_t most, Scratch& scratch,
              std::vector<Batch::Edge>& edges) const;

  // link.cpp
  std::size_t tree_degree(const Slot* row) const noexcept;
  std::size_t tree_degree(Slot slot) const noexcept { return tree_degree(links_of(slot)); }
  Slot find_parent(const std::vector<Batch::Edge>& forward, const RowEdits& rows) const;
  Slot find_parent(const std::vector<Batch::Edge>& forward) const {
    return find_parent(forward, RowEdits(base_links()));
  }
  Slot adopt(Slot child, std::vector<Batch::Edge> forward, RowEdits& rows, Scratch& scratch) const;
  void accept_base(Slot* row, Slot target, Slot source, float distance, Slot flag,
                   Scratch& scratch) const;
  void accept_base(Slot target, Slot source, float distance, Slot flag, Scratch& scratch) {
    accept_base(links_of(target), target, source, distance, flag, scratch);
  }
  void accept_upper(Slot* row, const Proposal& proposal, Scratch& scratch) const;
  // write.cpp
  void reserve_ready(std::size_t rows);
  void make_ready(std::span<const Slot> ids, const Slot* rows, std::size_t num_threads) noexcept;
  void put(std::span<const Slot> ids, const Slot* rows) noexcept;
  void write(std::span<const Slot> ids, const Slot* rows, std::size_t num_threads,
             Gate& gate) noexcept;

  // build.cpp
  void weigh(Batch& batch, std::size_t i, std::size_t level, Scratch& scratch) const;
  void find_alive(std::size_t rows, Scratch& scratch) const;

  // remove.cpp
  void leave_tree(const std::vector<Slot>& dead, std::size_t num_threads, Scratch& scratch,
                  Gate& gate, const std::function<void(double)>& poll);
  void hang_again(Slot root, Slot near, RowEdits& rows, Scratch& scratch) const;
  Slot with_room(Slot start, const RowEdits& rows) const;
  void forget_numbers(Slot alive, Seeds seeds, Gate& gate);
  Seeds living_seeds(Scratch& scratch) const;

  // ways.cpp
  std::vector<Slot> ends_of_ways(const std::vector<Slot>& dead, std::size_t num_threads,
                                 ScratchPool& scratches) const;
  void lead(Slot* row, Slot from, Slot target, Scratch& scratch) const;

  // repair.cpp
  void around_dead(const Layer& layer, Slot node, std::size_t nodes, Scratch& scratch) const;
  void mend_base(Slot slot, std::size_t rows, Scratch& scratch, Slot* row) const;
  void mend_upper(std::size_t level, Scratch& scratch, Gate& gate,
                  const std::function<void(double)>& poll);

  // bulk.cpp
  void refine(const std::vector<Slot>& nodes, std::size_t rows, Lists& lists,
              std::size_t num_threads, ScratchPool& scratches,
              const std::function<void(double)>& poll) const;
  void choose(std::size_t most, Scratch& scratch, std::vector<Batch::Edge>& edges) const;
  void write_row(Slot slot, const std::vector<Batch::Edge>& edges) noexcept;
  void join(const std::vector<Slot>& nodes, std::size_t rows, const Lists& lists, bool prune,
            std::size_t num_threads, ScratchPool& scratches,
            const std::function<void(double)>& poll, double from, double to);
  void plant_tree(const std::vector<Slot>& nodes, std::size_t rows, ScratchPool& scratches);
  void hang(Slot child, Slot parent) noexcept;

  Vectors& vectors_;
  GraphOptions options_;
  std::optional<EdgeCodes> edges_;
  std::vector<std::byte> ready_;        // the writer's: leads of rows, with edges_
  EdgeCodes::Room room_;                // where there is no memory for more
  Array<Slot> links_;                   // unless edges_: then they lead the rows
  std::shared_ptr<const Guard> guard_;  // of links_ that are borrowed
  std::vector<UpperLevel> levels_;
  Bits dead_;
  // Numbers that begin() gave and link() has not used yet, by level from 1.
  std::vector<std::vector<Slot>> pending_;
  // What searches see: the number of levels above 0, and the entry point on the highest.
  std::size_t top_ = 0;
  Slot entry_ = kNoLink;
  Seeds seeds_;
  Growth growth_;
};

}  // namespace annx
