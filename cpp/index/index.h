// An index: rows, labels, twins and graph, safe to use from any threads.
#pragma once

#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "base/gate.h"
#include "base/types.h"
#include "graph/graph.h"
#include "storage/label_map.h"
#include "storage/twins.h"
#include "storage/vectors.h"

namespace annx {

// Called between batches on the caller's thread with the number of rows finished; may throw.
using Poll = std::function<void(std::size_t)>;

// Everything that an index holds, as plain arrays (see State in _backends/base.py).
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
  std::vector<Slot> twins;  // pairs of slot and representative
  std::vector<Level> levels;
  Slot entry = 0;
};

struct MemoryUse {
  std::size_t rows, originals, links, upper, labels, lookup, scratch;
};

class Index {
 public:
  // The graph is walked in `space`; where `exact` is given, vectors are kept in it too, and the
  // nearest hits are compared again there. Both take the same input.
  Index(std::unique_ptr<const Space> space, std::unique_ptr<const Space> exact,
        const GraphOptions& options);

  const Space& space() const noexcept { return vectors_.space(); }
  const GraphOptions& options() const noexcept { return graph_.options(); }
  // Vectors are kept as unit vectors and norms.
  bool normalises() const noexcept { return kept().space().normalises(); }
  std::size_t size() const;

  void reserve(std::size_t capacity);
  // `input` holds `count` rows; an empty `labels` numbers on. Returns the first slot.
  std::size_t add(const std::byte* input, std::size_t count,
                  std::optional<std::span<const Label>> labels, std::size_t num_threads,
                  const Poll& poll);

  // Writes k labels and distances a query, padded with kNoLabel and infinity.
  void search(const std::byte* queries, std::size_t count, std::size_t k, std::size_t ef,
              std::size_t num_threads, const Poll& poll, Label* labels, float* distances) const;
  void exact_search(const std::byte* queries, std::size_t count, std::size_t k,
                    std::size_t num_threads, const Poll& poll, Label* labels,
                    float* distances) const;

  bool contains(Label label) const;
  // Throws LabelError if one is missing.
  void get(std::span<const Label> labels, std::byte* output) const;
  std::vector<Label> labels() const;

  IndexState export_state() const;
  // Of validated arrays, into an empty index.
  void import_state(const IndexState& state);
  MemoryUse memory() const;

 private:
  void add_batch(const std::byte* input, std::size_t count, std::span<const Label> labels,
                 std::size_t num_threads);
  void add_bulk(const std::byte* input, std::size_t count, std::span<const Label> labels,
                std::size_t num_threads, const Poll& poll);
  void link_upper(const std::vector<Slot>& slots, std::size_t num_threads,
                  const std::function<void(double)>& poll);
  void grow(std::size_t rows, bool custom_labels);
  void begin(const std::byte* query, std::size_t k, std::size_t ef, Scratch& scratch) const;
  void finish(const std::byte* query, std::size_t k, Scratch& scratch, Label* labels,
              float* distances) const;
  // Vectors as near to the input as they are kept.
  const Vectors& kept() const noexcept { return originals_ ? *originals_ : vectors_; }
  void rerank(const std::byte* query, std::size_t k, Scratch& scratch) const;

  std::mutex writer_;  // one writer at a time
  mutable Gate gate_;  // held by readers, and by the writer while it changes
                       // what they read
  std::optional<EdgeCodes> edges_;
  Vectors vectors_;
  std::optional<Vectors> originals_;
  LabelMap labels_;
  Twins twins_;
  Graph graph_;
  std::size_t size_ = 0;
  mutable ScratchPool scratch_;
};

}  // namespace annx
