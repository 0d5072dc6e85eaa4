// Adding rows: in batches, or all at once into an empty index.
#include <algorithm>
#include <array>
#include <iterator>
#include <limits>
#include <new>
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

bool are_slots(std::span<const Label> labels, const std::vector<Slot>& slots) {
  return std::equal(labels.begin(), labels.end(), slots.begin(), slots.end(),
                    [](Label label, Slot slot) { return label == static_cast<Label>(slot); });
}

}  // namespace

void Index::make_room(std::size_t rows) {
  Twins::Table table = twins_.prepare(rows, kept().base());
  const std::lock_guard exclusive(gate_);
  if (rows > vectors_.capacity()) {
    // Untouched pages of the reserve are not resident, so that growing by half costs address space
    // alone.
    const std::size_t room = std::min(
        kMaxRows, std::max({rows, vectors_.capacity() + vectors_.capacity() / 2, std::size_t{64}}));
    graph_.reserve(room);
    if (originals_) originals_->reserve(room);
    vectors_.reserve(room);
  }
  twins_.adopt(std::move(table));
  labels_.reserve_erased(rows);
  graph_.reserve_dead(rows);
}

void Index::reserve(std::size_t capacity) {
  refuse_if_mapped();
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

void Index::add(const std::byte* input, std::size_t count,
                std::optional<std::span<const Label>> labels, bool upsert, std::size_t num_threads,
                const Poll& poll) {
  refuse_if_mapped();
  const std::lock_guard writer(writer_);
  recover();
  const std::size_t used = size_ - free_.size();
  if (count > kMaxRows - used) {
    throw CapacityError("expected at most " + std::to_string(kMaxRows) + " rows in all, got " +
                        std::to_string(used) + " + " + std::to_string(count));
  }
  std::vector<Label> numbered;
  if (labels) {
    labels_.check(*labels, upsert);
  } else {
    const Label next = labels_.next();
    if (count > static_cast<std::uint64_t>(std::numeric_limits<Label>::max() - next)) {
      throw LabelError("no labels are left above " + std::to_string(next - 1));
    }
    numbered.resize(count);
    for (std::size_t i = 0; i < count; ++i) numbered[i] = next + static_cast<Label>(i);
    labels = numbered;
  }
  if (size_ == 0 && count >= kBulk) {
    add_bulk(input, count, *labels, num_threads, poll);
    learn(count, num_threads);
    return;
  }
  for (std::size_t done = 0; done < count;) {
    const std::size_t batch = std::min(batch_for(labels_.count()), count - done);
    add_batch(input + done * space().input_bytes(), batch, labels->subspan(done, batch),
              num_threads);
    done += batch;
    learn(batch, num_threads);
    const auto tick = [&] {
      if (poll) poll(done);
    };
    tick();
    tidy(num_threads, tick);
  }
}

void Index::store(const std::byte* input, const std::vector<Slot>& slots, std::size_t num_threads) {
  const std::size_t bytes = space().input_bytes();
  parallel_for(slots.size(), num_threads, [&](std::size_t i) {
    vectors_.set(slots[i], input + i * bytes);
    if (originals_) originals_->set(slots[i], input + i * bytes);
  });
}

void Index::add_batch(const std::byte* input, std::size_t count, std::span<const Label> labels,
                      std::size_t num_threads) {
  make_room(size_ + count);
  unfinished_ = true;
  std::vector<Slot> slots(count);
  std::size_t end = size_;
  const std::size_t reused = std::min(count, free_.size());
  for (std::size_t i = 0; i < count; ++i) {
    slots[i] = i < reused ? free_[free_.size() - 1 - i] : static_cast<Slot>(end++);
  }
  store(input, slots, num_threads);
  std::vector<Slot> fresh, replaced;
  Twins::Pairs twins;
  fresh.reserve(count);
  replaced.reserve(count);
  for (const Slot slot : slots) {
    const Slot representative = twins_.intern(slot, kept().base());
    if (representative == slot) {
      fresh.push_back(slot);
    } else {
      twins.emplace_back(slot, representative);
    }
  }
  try {
    // With twins, a replaced row's label may move to another slot.
    const bool moving = !(twins.empty() && twins_.empty()) &&
                        std::any_of(labels.begin(), labels.end(),
                                    [&](Label label) { return labels_.find(label).has_value(); });
    LabelMap::Growth growth = labels_.prepare(end, moving || !are_slots(labels, slots));
    Batch batch;
    {
      const std::lock_guard exclusive(gate_);
      labels_.adopt(std::move(growth));
      batch = graph_.begin(fresh);
      free_.reserve(end);
      twins_.make_room(twins);
    }
    // Rows a task: work for every thread, then several, so that they take turns.
    const std::size_t task = std::clamp<std::size_t>(fresh.size() / num_threads, 1, 32);
    parallel_for((fresh.size() + task - 1) / task, num_threads, [&](std::size_t t) {
      graph_.plan(batch, t * task, std::min(fresh.size(), (t + 1) * task), end, scratch_);
    });
    // Only in a graph that a file left in pieces does its entry lead to no live node.
    if (!fresh.empty() && batch.nodes[0].forward[0].empty() && live_nodes() > 0) {
      graph_.hang_to(batch.nodes[0], lowest_alive());
    }
    // From here on nothing throws.
    graph_.link(batch, 0, num_threads, scratch_, gate_, [&] {
      for (const Label label : labels) {
        const std::optional<Slot> slot = labels_.find(label);
        if (!slot) continue;
        labels_.erase(*slot);
        replaced.push_back(*slot);
      }
      for (const auto& [slot, representative] : twins) graph_.clear(slot);
      twins_.put(twins);
      for (std::size_t i = 0; i < count; ++i) labels_.assign(slots[i], labels[i]);
      size_ = end;
      ++epoch_;
      free_.resize(free_.size() - reused);
      vacate(replaced);
      unfinished_ = false;
    });
  } catch (...) {
    {
      const std::lock_guard exclusive(gate_);
      graph_.abandon();
      twins_.drop_room();
    }
    for (const Slot slot : fresh) twins_.forget(slot, kept().base());
    unfinished_ = false;
    throw;
  }
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
      graph_.plan_upper(batch, i, *lease);
    });
    graph_.link(batch, 1, num_threads, scratch_, gate_, nullptr);
    at += size;
    poll(0.05 + 0.05 * static_cast<double>(at) / static_cast<double>(tall.size()));
  }
}

void Index::add_bulk(const std::byte* input, std::size_t count, std::span<const Label> labels,
                     std::size_t num_threads, const Poll& poll) {
  make_room(count);
  unfinished_ = true;
  const auto share = [&](double done) {
    if (poll) poll(static_cast<std::size_t>(done * static_cast<double>(count)));
  };
  std::vector<Slot> slots(count);
  for (std::size_t i = 0; i < count; ++i) slots[i] = static_cast<Slot>(i);
  const std::size_t bytes = space().input_bytes();
  constexpr std::size_t kRows = 256;   // rows a task
  constexpr std::size_t kRound = 128;  // tasks: some 50 ms
  const auto between = [&](double done) { share(0.05 * done); };
  std::vector<Slot> fresh;
  Twins::Pairs twins;
  try {
    parallel_rounds(
        (count + kRows - 1) / kRows, num_threads, kRound, between, [&](std::size_t task) {
          for (std::size_t i = task * kRows; i < std::min(count, (task + 1) * kRows); ++i) {
            vectors_.set(static_cast<Slot>(i), input + i * bytes);
            if (originals_) originals_->set(static_cast<Slot>(i), input + i * bytes);
          }
        });
    const Twins::Hashes hashes = twins_.hash_all(count, kept().base(), num_threads);
    for (const Slot slot : slots) {
      const Slot representative = twins_.intern(slot, kept().base(), hashes);
      if (representative == slot) {
        fresh.push_back(slot);
      } else {
        twins.emplace_back(slot, representative);
        graph_.clear(slot);
      }
    }
    link_upper(fresh, num_threads, share);
    graph_.bulk(fresh, count, num_threads, scratch_, share);
    if (edges_) edges_->encode_all(vectors_, count, num_threads, [&](double) { share(1); });
    LabelMap::Growth growth = labels_.prepare(count, !are_slots(labels, slots));
    const std::lock_guard exclusive(gate_);
    twins_.make_room(twins);
    labels_.adopt(std::move(growth));
  } catch (...) {
    const std::lock_guard exclusive(gate_);
    graph_.reset();
    twins_.clear();
    unfinished_ = false;
    throw;
  }
  const std::lock_guard exclusive(gate_);
  twins_.put(twins);
  for (const Slot slot : slots) labels_.assign(slot, labels[slot]);
  size_ = count;
  ++epoch_;
  unfinished_ = false;
}

// After as many additions as there are rows: they may be others by then.
void Index::learn(std::size_t added, std::size_t num_threads) noexcept {
  const std::size_t left = until_learning_ - std::min<std::size_t>(until_learning_, added);
  until_learning_ = left;
  const Metric metric = space().metric();
  // Only of distances that cannot be negative is one so many times as far as another.
  if (left > 0 || (metric != Metric::kL2 && metric != Metric::kCosine)) return;
  constexpr std::size_t kSample = 64;
  std::array<Slot, kSample> sample;
  const std::size_t nodes = live_nodes();
  if (nodes == 0) return;
  for (std::size_t i = 0; i < kSample; ++i) {
    auto slot = static_cast<Slot>((2 * i + 1) * size_ / (2 * kSample));
    while (!labels_.has(slot) || twins_.representative(slot) != slot) {
      slot = static_cast<Slot>((slot + std::size_t{1}) % size_);
    }
    sample[i] = slot;
  }
  try {
    const Growth growth = graph_.learn_growth(sample, size_, num_threads, scratch_);
    const std::lock_guard exclusive(gate_);
    graph_.set_growth(growth);
  } catch (const std::bad_alloc&) {
    // The rows are in: only how soon searches end is not known any better.
  }
  until_learning_ = std::clamp(nodes, kFirstLearning, kLastLearning);
}

// A child of fork may find rows that another thread of its parent was about to add: they are no
// more. Searches have never seen them.
void Index::recover() {
  if (!unfinished_) return;
  const std::lock_guard exclusive(gate_);
  graph_.abandon();
  twins_.drop_room();
  if (size_ == 0) graph_.reset();
  Twins::Table none;
  none.places.grow(64);
  none.mask = 63;
  twins_.adopt(std::move(none));
  twins_.adopt(twins_.prepare(size_, kept().base()));
  for (std::size_t i = 0; i < size_; ++i) {
    const auto slot = static_cast<Slot>(i);
    if (labels_.has(slot) && twins_.representative(slot) == slot) {
      twins_.intern(slot, kept().base());
    }
  }
  free_.clear();
  for (std::size_t i = size_; i-- > 0;) {
    const auto slot = static_cast<Slot>(i);
    if (!labels_.has(slot) && !graph_.dead().test(slot)) free_.push_back(slot);
  }
  unfinished_ = false;
}

}  // namespace annx
