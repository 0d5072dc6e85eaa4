#include "index/index.h"

#include <algorithm>
#include <limits>
#include <string>

#include "base/errors.h"
#include "base/thread_pool.h"
#include "exact/exact.h"

namespace annx {
namespace {

// Rows inserted together. The nodes of a batch are compared with each other by brute force, 64
// distances a row on average against some 1,500 of the search; fewer would leave threads idle.
constexpr std::size_t kBatch = 128;
// While the index is small, batches are too, so that most edges come from searches.
constexpr std::size_t kBatchShare = 4;

std::size_t batch_for(std::size_t rows) {
  return std::clamp<std::size_t>(rows / kBatchShare, 1, kBatch);
}

}  // namespace

Index::Index(const Space& space, const GraphOptions& options)
    : vectors_(space), twins_(space.stride()), graph_(vectors_, options) {}

std::size_t Index::size() const {
  const Gate::Reader reader(gate_);
  return size_;
}

void Index::grow(std::size_t rows, bool custom_labels) {
  if (rows > vectors_.capacity()) {
    // Untouched pages of the reserve are not resident, so that growing by half costs address
    // space alone.
    const std::size_t room = std::min(
        kMaxRows, std::max({rows, vectors_.capacity() + vectors_.capacity() / 2, std::size_t{64}}));
    graph_.reserve(room);
    vectors_.reserve(room);
  }
  labels_.reserve(rows, custom_labels);
  twins_.reserve(rows, vectors_.base());
}

void Index::reserve(std::size_t capacity) {
  if (capacity > kMaxRows) {
    throw CapacityError("expected a capacity up to " + std::to_string(kMaxRows) + ", got " +
                        std::to_string(capacity));
  }
  const std::lock_guard writer(writer_);
  if (capacity <= vectors_.capacity()) return;
  const std::lock_guard exclusive(gate_);
  graph_.reserve(capacity);
  vectors_.reserve(capacity);
}

std::size_t Index::add(const std::byte* input, std::size_t count,
                       std::optional<std::span<const Label>> labels, std::size_t num_threads,
                       const Poll& poll) {
  const std::lock_guard writer(writer_);
  if (count > kMaxRows - size_) {
    throw CapacityError("expected at most " + std::to_string(kMaxRows) + " rows in all, got " +
                        std::to_string(size_) + " + " + std::to_string(count));
  }
  std::vector<Label> numbered;
  if (labels) {
    labels_.check(*labels);
  } else {
    const Label next = labels_.next();
    if (count > static_cast<std::uint64_t>(std::numeric_limits<Label>::max() - next)) {
      throw LabelError("no labels are left above " + std::to_string(next - 1));
    }
    numbered.resize(count);
    for (std::size_t i = 0; i < count; ++i) numbered[i] = next + static_cast<Label>(i);
    labels = numbered;
  }
  const std::size_t first = size_;
  for (std::size_t done = 0; done < count;) {
    const std::size_t batch = std::min(batch_for(size_), count - done);
    add_batch(input + done * space().input_bytes(), batch, labels->subspan(done, batch),
              num_threads);
    done += batch;
    if (poll) poll(done);
  }
  return first;
}

void Index::add_batch(const std::byte* input, std::size_t count, std::span<const Label> labels,
                      std::size_t num_threads) {
  const std::size_t rows = size_ + count;
  bool custom = false;
  for (std::size_t i = 0; i < count; ++i) custom |= labels[i] != static_cast<Label>(size_ + i);
  {
    const std::lock_guard exclusive(gate_);
    grow(rows, custom);
  }
  std::vector<Slot> fresh;
  std::vector<std::pair<Slot, Slot>> twins;
  fresh.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    const auto slot = static_cast<Slot>(size_ + i);
    vectors_.set(slot, input + i * space().input_bytes());
  }
  for (std::size_t i = 0; i < count; ++i) {
    const auto slot = static_cast<Slot>(size_ + i);
    const Slot representative = twins_.intern(slot, vectors_.base());
    if (representative == slot) {
      fresh.push_back(slot);
    } else {
      twins.emplace_back(slot, representative);
    }
  }
  Batch batch;
  {
    const std::lock_guard exclusive(gate_);
    batch = graph_.begin(fresh);
  }
  try {
    parallel_for(fresh.size(), num_threads, [&](std::size_t i) {
      ScratchPool::Lease lease(scratch_);
      graph_.plan(batch, i, rows, *lease);
    });
  } catch (...) {
    const std::lock_guard exclusive(gate_);
    graph_.abandon(batch);
    twins_.truncate(size_, vectors_.base());
    throw;
  }
  const std::lock_guard exclusive(gate_);
  graph_.link(batch, num_threads, scratch_);
  for (const auto& [slot, representative] : twins) {
    graph_.clear(slot);
    twins_.add(slot, representative);
  }
  labels_.append(labels);
  size_ = rows;
}

template <class Body>
void Index::for_queries(std::size_t count, std::size_t num_threads, const Poll& poll,
                        const Body& body) const {
  // Queries a task: enough to amortise a wake-up, few enough to spread over threads.
  constexpr std::size_t kTask = 16;
  // Tasks between polls: some ten milliseconds of work on each thread.
  const std::size_t round = kTask * num_threads * 8;
  for (std::size_t first = 0; first < count; first += round) {
    const std::size_t end = std::min(count, first + round);
    parallel_for((end - first + kTask - 1) / kTask, num_threads, [&](std::size_t task) {
      ScratchPool::Lease lease(scratch_);
      const std::size_t from = first + task * kTask;
      for (std::size_t i = from; i < std::min(end, from + kTask); ++i) body(i, *lease);
    });
    if (poll) poll(end);
  }
}

void Index::search_one(const std::byte* query, std::size_t k, std::size_t ef, Scratch& scratch,
                       Label* labels, float* distances) const {
  scratch.work.resize(space().stride());
  const Query prepared = space().prepare(query, scratch.work.data());
  const Gate::Reader reader(gate_);
  graph_.search(prepared, std::min(std::max(ef, k), std::max<std::size_t>(size_, 1)), size_,
                scratch);
  std::size_t found = 0;
  const auto put = [&](Slot slot, float distance) {
    labels[found] = labels_[slot];
    distances[found] = distance;
    ++found;
  };
  for (std::size_t i = 0; i < scratch.pool.size() && found < k; ++i) {
    const Neighbor hit = scratch.pool[i];
    put(hit.id, hit.distance);
    if (twins_.empty()) continue;
    for (const Slot twin : twins_.of(hit.id)) {
      if (found == k) break;
      put(twin, hit.distance);
    }
  }
  for (; found < k; ++found) {
    labels[found] = kNoLabel;
    distances[found] = std::numeric_limits<float>::infinity();
  }
}

void Index::search(const std::byte* queries, std::size_t count, std::size_t k, std::size_t ef,
                   std::size_t num_threads, const Poll& poll, Label* labels,
                   float* distances) const {
  for_queries(count, num_threads, poll, [&](std::size_t i, Scratch& scratch) {
    search_one(queries + i * space().input_bytes(), k, ef, scratch, labels + i * k,
               distances + i * k);
  });
}

void Index::exact_search(const std::byte* queries, std::size_t count, std::size_t k,
                         std::size_t num_threads, const Poll& poll, Label* labels,
                         float* distances) const {
  for_queries(count, num_threads, poll, [&](std::size_t i, Scratch& scratch) {
    scratch.work.resize(space().stride());
    const Query query = space().prepare(queries + i * space().input_bytes(), scratch.work.data());
    const Gate::Reader reader(gate_);
    const std::vector<Neighbor> hits = annx::exact_search(vectors_, query, size_, k);
    for (std::size_t j = 0; j < k; ++j) {
      labels[i * k + j] = j < hits.size() ? labels_[hits[j].id] : kNoLabel;
      distances[i * k + j] =
          j < hits.size() ? hits[j].distance : std::numeric_limits<float>::infinity();
    }
  });
}

std::optional<std::pair<std::size_t, Defect>> Index::find_bad_row(const std::byte* input,
                                                                  std::size_t count) const {
  for (std::size_t i = 0; i < count; ++i) {
    if (const auto defect = space().defect(input + i * space().input_bytes())) {
      return std::pair(i, *defect);
    }
  }
  return std::nullopt;
}

bool Index::contains(Label label) const {
  const Gate::Reader reader(gate_);
  return labels_.find(label).has_value();
}

void Index::get(std::span<const Label> labels, std::byte* output) const {
  const Gate::Reader reader(gate_);
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const std::optional<Slot> slot = labels_.find(labels[i]);
    if (!slot) throw LabelError("label " + std::to_string(labels[i]) + " is not in the index");
    space().decode(vectors_.row(*slot), vectors_.norm(*slot), output + i * space().input_bytes());
  }
}

std::vector<Label> Index::labels() const {
  const Gate::Reader reader(gate_);
  std::vector<Label> all(size_);
  for (std::size_t i = 0; i < size_; ++i) all[i] = labels_[static_cast<Slot>(i)];
  return all;
}

}  // namespace annx
