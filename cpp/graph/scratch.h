// What one search or insertion needs, kept between calls so that none allocates.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "base/types.h"
#include "graph/growth.h"
#include "graph/pool.h"
#include "graph/visited.h"
#include "graph/wide_pool.h"
#include "kernels/table.h"
#include "storage/space.h"

namespace annx {

// What a search does next: go down the levels, expand its beam by rows or by codes of edges, or
// after the latter compare what was only estimated.
enum class Phase : std::uint8_t { kDescent, kRows, kEdges, kEstimated };

// Where a search is on its way down: a node by its number on its level, and its distance.
struct Descent {
  std::size_t level = 0;
  Slot at = 0;
  float nearest = 0;
};

// The beam that a search for the k nearest is to expand: its width before a stop widens it, an
// upper bound of the slots, and whether codes of edges may guide it, if there are any.
struct Beam {
  std::size_t k;
  std::size_t ef;
  std::size_t rows;
  bool by_edges = true;
};

struct Scratch {
  Pool pool;
  Pool found;  // nodes at sharper distances: by edges those expanded so far, or see sharpen()
  WidePool wide;
  Visited visited;
  // A search on its way: what it asks, where it is and what it will expand, when it stops, how
  // many nodes it has expanded, and how many gathered rows wait to be compared.
  Query query;
  Phase phase = Phase::kRows;
  Descent descent;
  Beam beam{};
  Stop stop;
  std::size_t hops = 0;
  std::size_t pending = 0;
  kernels::EdgeQuery edge_query{};
  std::vector<std::byte> edge_work;
  std::vector<Slot> ids;      // gathered neighbours, by number on their level
  std::vector<Slot> slots;    // the same by slot
  std::vector<float> near;    // their distances from one end of an edge
  std::vector<float> across;  // and from the other
  std::vector<Neighbor> candidates;
  std::vector<Slot> passing;          // gathered nodes that pass a filter
  std::vector<Slot> failing;          // and neighbours that do not
  std::vector<std::byte> work;        // a prepared query
  std::vector<std::byte> exact_work;  // the same for the exact vectors

  // Nothing is searched: the next step ends at once, with an empty pool.
  void rest() {
    pool.reset(0);
    phase = Phase::kRows;
    pending = 0;
  }

  // What the next node of the pool must not be beyond.
  float bound() const noexcept { return stop.bound(pool.kth(stop.k)); }
};

class ScratchPool {
 public:
  class Lease {
   public:
    explicit Lease(ScratchPool& pool) : pool_(pool), scratch_(pool.take()) {}
    ~Lease() { pool_.give(std::move(scratch_)); }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    Scratch& operator*() noexcept { return *scratch_; }

   private:
    ScratchPool& pool_;
    std::unique_ptr<Scratch> scratch_;
  };

  // Keeps others out, for a fork.
  void lock() noexcept { mutex_.lock(); }
  void unlock() noexcept { mutex_.unlock(); }

  // Gives back what no one uses now.
  void drop() noexcept {
    const std::lock_guard lock(mutex_);
    free_.clear();
  }

  std::size_t bytes() {
    const std::lock_guard lock(mutex_);
    std::size_t total = 0;
    for (const auto& scratch : free_) total += scratch->visited.bytes();
    return total;
  }

 private:
  std::unique_ptr<Scratch> take() {
    {
      const std::lock_guard lock(mutex_);
      if (!free_.empty()) {
        auto scratch = std::move(free_.back());
        free_.pop_back();
        return scratch;
      }
      // Room to take every scratch back, so that returning one cannot throw.
      free_.reserve(made_ + 1);
      ++made_;
    }
    return std::make_unique<Scratch>();
  }
  void give(std::unique_ptr<Scratch> scratch) noexcept {
    const std::lock_guard lock(mutex_);
    free_.push_back(std::move(scratch));
  }

  std::mutex mutex_;
  std::vector<std::unique_ptr<Scratch>> free_;
  std::size_t made_ = 0;
};

}  // namespace annx
