// Adding rows: in batches, or all at once into an empty index.
#include <algorithm>
#include <iterator>
#include <limits>
#include <string>

#include "base/errors.h"
#include "base/thread_pool.h"
#include "index/index.h"

namespace annx {
namespace {

// Rows inserted together. The nodes of a batch are compared with each other by brute force, 64
// distances a row on average against some 1,500 of the search; fewer would leave threads idle.
constexpr std::size_t kBatch = 128;
// While the index is small, batches are too, so that most edges come from searches.
constexpr std::size_t kBatchShare = 4;
// An empty index takes this many rows or more at once by bulk build.
constexpr std::size_t kBulk = 5000;

std::size_t batch_for(std::size_t rows) {
  return std::clamp<std::size_t>(rows / kBatchShare, 1, kBatch);
}

}  // namespace

void Index::grow(std::size_t rows, bool custom_labels) {
  if (rows > vectors_.capacity()) {
    // Untouched pages of the reserve are not resident, so that growing by half costs address space
    // alone.
    const std::size_t room = std::min(
        kMaxRows, std::max({rows, vectors_.capacity() + vectors_.capacity() / 2, std::size_t{64}}));
    graph_.reserve(room);
    if (originals_) originals_->reserve(room);
    vectors_.reserve(room);
  }
  labels_.reserve(rows, custom_labels);
  twins_.reserve(rows, kept().base());
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
  if (originals_) originals_->reserve(capacity);
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
  if (size_ == 0 && count >= kBulk) {
    add_bulk(input, count, *labels, num_threads, poll);
    return first;
  }
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
  parallel_for(count, num_threads, [&](std::size_t i) {
    const auto slot = static_cast<Slot>(size_ + i);
    vectors_.set(slot, input + i * space().input_bytes());
    if (originals_) originals_->set(slot, input + i * space().input_bytes());
  });
  for (std::size_t i = 0; i < count; ++i) {
    const auto slot = static_cast<Slot>(size_ + i);
    const Slot representative = twins_.intern(slot, kept().base());
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
      graph_.plan(batch, i, rows, 0, *lease);
    });
  } catch (...) {
    const std::lock_guard exclusive(gate_);
    graph_.abandon(batch);
    twins_.truncate(size_, kept().base());
    throw;
  }
  const std::lock_guard exclusive(gate_);
  graph_.link(batch, 0, num_threads, scratch_);
  for (const auto& [slot, representative] : twins) {
    graph_.clear(slot);
    twins_.add(slot, representative);
  }
  labels_.append(labels);
  size_ = rows;
}

// The levels above 0 of an index whose level 0 is built otherwise.
void Index::link_upper(const std::vector<Slot>& slots, std::size_t num_threads,
                       const std::function<void(double)>& poll) {
  std::vector<Slot> tall;
  std::copy_if(slots.begin(), slots.end(), std::back_inserter(tall),
               [&](Slot slot) { return graph_.level_of(slot) > 0; });
  for (std::size_t at = 0; at < tall.size();) {
    const std::size_t size = std::min(batch_for(at), tall.size() - at);
    const auto from = tall.begin() + static_cast<std::ptrdiff_t>(at);
    Batch batch = graph_.begin({from, from + static_cast<std::ptrdiff_t>(size)});
    parallel_for(size, num_threads, [&](std::size_t i) {
      ScratchPool::Lease lease(scratch_);
      graph_.plan(batch, i, slots.back() + std::size_t{1}, 1, *lease);
    });
    graph_.link(batch, 1, num_threads, scratch_);
    at += size;
    poll(0.05 + 0.05 * static_cast<double>(at) / static_cast<double>(tall.size()));
  }
}

void Index::add_bulk(const std::byte* input, std::size_t count, std::span<const Label> labels,
                     std::size_t num_threads, const Poll& poll) {
  bool custom = false;
  for (std::size_t i = 0; i < count; ++i) custom |= labels[i] != static_cast<Label>(i);
  {
    const std::lock_guard exclusive(gate_);
    grow(count, custom);
  }
  const auto share = [&](double done) {
    if (poll) poll(static_cast<std::size_t>(done * static_cast<double>(count)));
  };
  const std::size_t bytes = space().input_bytes();
  constexpr std::size_t kRows = 256;   // rows a task
  constexpr std::size_t kRound = 128;  // tasks: some 50 ms
  const auto between = [&](double done) { share(0.05 * done); };
  parallel_rounds((count + kRows - 1) / kRows, num_threads, kRound, between, [&](std::size_t task) {
    for (std::size_t i = task * kRows; i < std::min(count, (task + 1) * kRows); ++i) {
      vectors_.set(static_cast<Slot>(i), input + i * bytes);
      if (originals_) originals_->set(static_cast<Slot>(i), input + i * bytes);
    }
  });
  std::vector<Slot> fresh;
  std::vector<std::pair<Slot, Slot>> twins;
  for (std::size_t i = 0; i < count; ++i) {
    const auto slot = static_cast<Slot>(i);
    const Slot representative = twins_.intern(slot, kept().base());
    if (representative == slot) {
      fresh.push_back(slot);
    } else {
      twins.emplace_back(slot, representative);
      graph_.clear(slot);
    }
  }
  try {
    link_upper(fresh, num_threads, share);
    graph_.bulk(fresh, count, num_threads, scratch_, share);
    graph_.encode_edges(count, num_threads);
  } catch (...) {
    graph_.set_levels({}, kNoLink);
    twins_.truncate(0, kept().base());
    throw;
  }
  const std::lock_guard exclusive(gate_);
  for (const auto& [slot, representative] : twins) twins_.add(slot, representative);
  labels_.append(labels);
  size_ = count;
}

}  // namespace annx
