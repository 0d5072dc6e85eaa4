// An index: rows, labels, twins and graph, safe to use from any threads.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "base/fork.h"
#include "base/gate.h"
#include "base/thread_pool.h"
#include "base/types.h"
#include "check/mapped.h"
#include "graph/graph.h"
#include "index/filter.h"
#include "index/report.h"
#include "storage/label_map.h"
#include "storage/state.h"
#include "storage/twins.h"
#include "storage/vectors.h"

namespace annx {

// Called between batches on the caller's thread with the number of rows finished; may throw.
using Poll = std::function<void(std::size_t)>;

// A copy of everything that an index holds, as plain arrays (see StateView).
struct IndexState {
  struct Level {
    std::vector<Slot> down;
    std::vector<Slot> links;
  };
  std::vector<std::uint8_t> rows;
  std::vector<std::uint8_t> originals;
  std::vector<Slot> links;
  std::vector<Label> labels;
  std::vector<float> norms;
  std::vector<Slot> twins;
  std::vector<Level> levels;
  Slot entry = 0;
  std::vector<Slot> seeds;
  std::vector<float> growth;

  StateView view() const;
};

struct MemoryUse {
  std::size_t rows, originals, links, upper, labels, lookup, scratch;
};

class Index final : private Forkable {
 public:
  // The graph is walked in `space`; where `exact` is given, vectors are kept in it too, and the
  // nearest hits are compared again there. Both take the same input.
  Index(std::unique_ptr<const Space> space, std::unique_ptr<const Space> exact,
        const GraphOptions& options);
  ~Index() { retire(); }

  const Space& space() const noexcept { return vectors_.space(); }
  const GraphOptions& options() const noexcept { return graph_.options(); }
  // Vectors are kept as unit vectors and norms.
  bool normalises() const noexcept { return kept().space().normalises(); }
  std::size_t size() const;

  void reserve(std::size_t capacity);
  // `input` holds `count` rows; an empty `labels` numbers on. With `upsert`, rows of labels that
  // are there take the place of the rows before.
  void add(const std::byte* input, std::size_t count, std::optional<std::span<const Label>> labels,
           bool upsert, std::size_t num_threads, const Poll& poll);
  // Throws LabelError if one is missing or given twice, and changes nothing.
  void remove(std::span<const Label> labels, std::size_t num_threads, const Poll& poll);
  // Numbers the slots anew, without those that hold no row, and gives memory back.
  void compact(std::size_t num_threads, const Poll& poll);

  // Writes k labels and distances a query, padded with kNoLabel and infinity.
  void search(const std::byte* queries, std::size_t count, std::size_t k, std::size_t ef,
              std::size_t num_threads, const Poll& poll, Label* labels, float* distances) const;
  void exact_search(const std::byte* queries, std::size_t count, std::size_t k,
                    std::size_t num_threads, const Poll& poll, Label* labels,
                    float* distances) const;

  // Takes what is dead out of the graph and mends its tree, for some `seconds` at most. Returns the
  // number of parts that are still cut off.
  std::size_t repair(double seconds, std::size_t num_threads, const Poll& poll);

  // As search, or exact_search, of rows that pass: `filters` are one for all queries, one for each,
  // or none. Writes a report a query too.
  void planned_search(const std::byte* queries, std::size_t count, std::size_t k, std::size_t ef,
                      std::span<const Filter* const> filters, bool exact, std::size_t num_threads,
                      const Poll& poll, Label* labels, float* distances, Report* reports) const;

  // All rows that pass and are nearer than `radius`, nearest first, for each query.
  struct Hits {
    std::vector<Label> labels;
    std::vector<float> distances;
  };
  std::vector<Hits> range_search(const std::byte* queries, std::size_t count, float radius,
                                 std::size_t ef, std::span<const Filter* const> filters, bool exact,
                                 std::size_t num_threads, const Poll& poll) const;

  bool contains(Label label) const;
  // Throws LabelError if one is missing.
  void get(std::span<const Label> labels, std::byte* output) const;
  // By slot.
  std::vector<Label> labels() const;

  // The rows, originals and norms that an index would hold of this input; it holds nothing new.
  IndexState encode(const std::byte* input, std::size_t count, std::size_t num_threads) const;
  IndexState export_state() const;
  // Of validated arrays, into an empty index.
  void import_state(const StateView& state);
  // The same, but that the arrays stay where they are, and the index is for reading alone.
  void map(MappedState&& state);
  MemoryUse memory() const;

 private:
  // mapped.cpp
  void refuse_if_mapped() const;
  void settle_twins() const;
  void settle_labels() const;
  void touch_all() const;
  [[noreturn]] static void refuse_unlisted(Slot slot);
  Label label_of(Slot slot) const {
    if (label_guard_) {
      label_guard_->touch(slot * sizeof(Label), sizeof(Label));
      if (labels_[slot] == kNoLabel) refuse_unlisted(slot);
    }
    return labels_[slot];
  }

  // What changes hands as a whole when the index is read or compacted.
  struct Content {
    Vectors vectors;
    std::optional<Vectors> originals;
    LabelMap labels;
    Twins twins;
    std::vector<UpperLevel> levels;
    Array<Slot> links;
    Bits dead;
    std::vector<Slot> free;
    Seeds seeds;
    std::span<const float> growth;
    std::size_t slots = 0;
  };

  void add_batch(const std::byte* input, std::size_t count, std::span<const Label> labels,
                 std::size_t num_threads);
  void add_bulk(const std::byte* input, std::size_t count, std::span<const Label> labels,
                std::size_t num_threads, const Poll& poll);
  void link_upper(const std::vector<Slot>& slots, std::size_t num_threads,
                  const std::function<void(double)>& poll);
  void make_room(std::size_t rows);
  void store(const std::byte* input, const std::vector<Slot>& slots, std::size_t num_threads);
  void recover();
  void learn(std::size_t added, std::size_t num_threads) noexcept;
  void before_fork() noexcept override;
  void after_fork(bool in_child) noexcept override;

  // remove.cpp
  void vacate(const std::vector<Slot>& slots);
  void tidy(std::size_t num_threads, const std::function<void()>& poll);
  void purge(std::size_t num_threads, const std::function<void()>& poll);
  Slot lowest_alive() const noexcept;  // of the nodes; kNoLink if there is none
  std::size_t live_nodes() const noexcept { return labels_.count() - twins_.count(); }

  // state.cpp
  Content make(const StateView& state, std::size_t num_threads) const;
  void take(Content&& content, Slot entry) noexcept;
  void set_growth(std::span<const float> growth) noexcept;

  void keep_alive(std::size_t k, std::size_t ef, Scratch& scratch) const;
  void compare_all(const std::byte* query, std::size_t k, Scratch& scratch, Label* labels,
                   float* distances) const;
  // search.cpp
  std::size_t beam_width(std::size_t k, std::size_t ef) const;
  void begin(const std::byte* query, std::size_t k, std::size_t ef, Scratch& scratch) const;
  void finish(const std::byte* query, std::size_t k, std::size_t ef, Scratch& scratch,
              Label* labels, float* distances) const;
  // range.cpp
  std::vector<Neighbor> near_by_graph(const std::byte* input, float radius, std::size_t ef,
                                      Scratch& scratch, bool& done) const;
  Hits range_one(const std::byte* input, float radius, std::size_t ef, const Filter* filter,
                 bool exact, Scratch& scratch) const;

  // planned.cpp
  std::shared_ptr<const Filter::Slots> resolve(const Filter& filter) const;
  void list_dense(std::span<const std::uint8_t> by_label, Filter::Slots& out) const;
  bool through(const Query& query, std::size_t width, std::size_t k, const Passing& nodes,
               std::size_t budget, Scratch& scratch, Walk& cost) const;
  bool among(const Query& query, std::size_t width, std::size_t k, std::size_t pass, double share,
             const Filter::Slots* slots, const Passing& nodes, bool deny, Scratch& scratch,
             Walk& cost) const;
  std::vector<Slot> spread(const Filter::Slots* slots, bool deny, std::size_t turn,
                           const Passing& passing) const;
  void planned_one(const std::byte* input, std::size_t k, std::size_t ef, const Filter* filter,
                   bool exact, Scratch& scratch, Label* labels, float* distances,
                   Report& report) const;

  // Vectors as near to the input as they are kept.
  const Vectors& kept() const noexcept { return originals_ ? *originals_ : vectors_; }
  // Hits are compared again, by kept vectors or by codes that hold more than a walk reads.
  bool reranks() const noexcept { return originals_ || space().has_more(); }
  void rerank(const std::byte* query, std::size_t k, Scratch& scratch) const;
  // Calls body(from, to) for ranges of queries.
  template <class Body>
  void for_ranges(std::size_t count, std::size_t num_threads, const Poll& poll,
                  const Body& body) const {
    // Queries a task: enough to amortise a wake-up, few enough to spread over threads.
    constexpr std::size_t kTask = 16, kLongTask = 64;
    // Between polls there are as many queries as take some tens of milliseconds.
    constexpr std::chrono::milliseconds kShort(10), kLong(40);
    std::size_t round = kTask * num_threads;
    for (std::size_t first = 0; first < count;) {
      const auto start = std::chrono::steady_clock::now();
      const std::size_t end = std::min(count, first + round);
      const std::size_t task = std::clamp<std::size_t>(round / (4 * num_threads), 1, kLongTask);
      parallel_for((end - first + task - 1) / task, num_threads, [&](std::size_t t) {
        const std::size_t from = first + t * task;
        body(from, std::min(end, from + task));
      });
      if (poll) poll(end);
      first = end;
      const auto taken = std::chrono::steady_clock::now() - start;
      if (taken < kShort && round < 64 * kTask * num_threads) round *= 2;
      if (taken > kLong && round > num_threads) round /= 2;
    }
  }
  // Calls body(query, scratch) for each.
  template <class Body>
  void for_queries(std::size_t count, std::size_t num_threads, const Poll& poll,
                   const Body& body) const {
    for_ranges(count, num_threads, poll, [&](std::size_t from, std::size_t to) {
      ScratchPool::Lease lease(scratch_);
      for (std::size_t i = from; i < to; ++i) body(i, *lease);
    });
  }

  std::mutex writer_;  // one writer at a time
  mutable Gate gate_;  // held by readers, and by the writer while it changes
                       // what they read
  std::optional<EdgeCodes> edges_;
  Vectors vectors_;
  std::optional<Vectors> originals_;
  LabelMap labels_;
  Twins twins_;
  Graph graph_;
  // Slots so far. One that has no label is a dead node of the graph, or free.
  std::size_t size_ = 0;
  std::vector<Slot> free_;  // the lowest last
  // Changes with what labels the slots have, but for removed ones.
  std::size_t epoch_ = 1;
  // The writer is at work on what searches do not see. A child of fork clears up after it.
  bool unfinished_ = false;
  bool lone_ = false;  // a dead node has no links
  // Rows to be added until it is learned anew how distances grow.
  static constexpr std::size_t kFirstLearning = 1024;
  static constexpr std::size_t kLastLearning = std::size_t{1} << 24;  // a float32 holds it
  std::atomic<std::size_t> until_learning_ = kFirstLearning;
  // What that is if as many rows have been added as there are slots.
  static std::size_t first_learning(std::size_t slots) noexcept {
    return kFirstLearning - std::min(kFirstLearning, slots);
  }
  mutable ScratchPool scratch_;
  // Of a mapped index: what it has not looked at yet.
  std::shared_ptr<const Guard> label_guard_;
  std::span<const Slot> twin_pairs_;
  mutable std::once_flag twins_settled_, labels_settled_;
};

}  // namespace annx
