// Removing rows: at once for searches, from the graph in batches, from memory by compact().
#include <algorithm>
#include <chrono>
#include <functional>
#include <string>

#include "base/errors.h"
#include "index/index.h"

namespace annx {
namespace {

// Dead nodes that wait until the graph is mended: some half a second's work at most, and few
// enough for searches to pass through them unnoticed.
std::size_t patience(std::size_t nodes) { return std::clamp<std::size_t>(nodes / 256, 32, 4096); }

}  // namespace

// Rows whose labels are gone leave, with the gate closed. A row that twins equal stays as the node
// of the lowest of them, whose own slot is free then.
void Index::vacate(const std::vector<Slot>& slots) {
  const std::size_t before = free_.size();
  for (const Slot slot : slots) {
    if (twins_.representative(slot) != slot) {
      twins_.remove(slot);
      free_.push_back(slot);
      continue;
    }
    const std::span<const Slot> twins = twins_.of(slot);
    const auto heir =
        std::find_if(twins.begin(), twins.end(), [&](Slot twin) { return labels_.has(twin); });
    if (heir != twins.end()) {
      const Slot twin = *heir;
      labels_.move(twin, slot);
      ++epoch_;
      twins_.remove(twin);
      free_.push_back(twin);
    } else {
      twins_.forget(slot, kept().base());
      graph_.bury(slot);
      // Only a file that is not as it should be has such a node. A state cannot tell it from a free
      // slot, whatever leads to it.
      lone_ |= *graph_.links_of(slot) == kNoLink;
    }
  }
  if (free_.size() != before) std::sort(free_.begin(), free_.end(), std::greater());
}

void Index::remove(std::span<const Label> labels, std::size_t num_threads, const Poll& poll) {
  refuse_if_mapped();
  const std::lock_guard writer(writer_);
  recover();
  labels_.check(labels, true);
  for (const Label label : labels) {
    if (!labels_.find(label)) {
      throw LabelError("label " + std::to_string(label) + " is not in the index");
    }
  }
  if (!twins_.empty()) {
    // A twin's label may move to another slot.
    LabelMap::Growth growth = labels_.prepare(size_, true);
    const std::lock_guard exclusive(gate_);
    labels_.adopt(std::move(growth));
  }
  constexpr std::size_t kLabels = 256;  // some 100 microseconds
  for (std::size_t at = 0; at < labels.size();) {
    const std::lock_guard exclusive(gate_);
    free_.reserve(size_);
    std::vector<Slot> slots;
    slots.reserve(kLabels);
    // From here on nothing throws.
    for (const std::size_t end = std::min(labels.size(), at + kLabels); at < end; ++at) {
      slots.push_back(*labels_.find(labels[at]));
      labels_.erase(slots.back());
    }
    vacate(slots);
  }
  tidy(num_threads, [&] {
    if (poll) poll(labels.size());
  });
}

void Index::tidy(std::size_t num_threads, const std::function<void()>& poll) {
  if (size_ > 0 && labels_.count() == 0) {
    const std::lock_guard exclusive(gate_);
    labels_.clear();
    twins_.clear();
    graph_.reset();
    free_.clear();
    size_ = 0;
    lone_ = false;
    ++epoch_;
    return;
  }
  if (lone_ || graph_.dead().count() > patience(live_nodes())) purge(num_threads, poll);
}

Slot Index::lowest_alive() const noexcept {
  for (std::size_t i = 0; i < size_; ++i) {
    const auto slot = static_cast<Slot>(i);
    if (labels_.has(slot) && twins_.representative(slot) == slot) return slot;
  }
  return kNoLink;
}

void Index::purge(std::size_t num_threads, const std::function<void()>& poll) {
  std::vector<Slot> dead;
  for (std::size_t i = 0; i < size_; ++i) {
    const auto slot = static_cast<Slot>(i);
    if (graph_.dead().test(slot)) dead.push_back(slot);
  }
  if (dead.empty()) return;
  unfinished_ = true;
  std::vector<Slot> ends;
  try {
    ends = graph_.purge(dead, lowest_alive(), size_, num_threads, scratch_, gate_,
                        [&](double) { poll(); });
  } catch (...) {
    unfinished_ = false;
    throw;
  }
  lone_ = false;
  {
    const std::lock_guard exclusive(gate_);
    free_.insert(free_.end(), dead.begin(), dead.end());
    std::sort(free_.begin(), free_.end(), std::greater());
    unfinished_ = false;
  }
  graph_.mend_ways(std::move(ends), size_, num_threads, scratch_, gate_, poll);
}

std::size_t Index::repair(double seconds, std::size_t num_threads, const Poll& poll) {
  refuse_if_mapped();
  const std::lock_guard writer(writer_);
  recover();
  using Clock = std::chrono::steady_clock;
  const Clock::time_point start = Clock::now();
  const auto tick = [&] {
    if (poll) poll(0);
  };
  tidy(num_threads, tick);
  purge(num_threads, tick);
  std::vector<Slot> nodes;
  for (std::size_t i = 0; i < size_; ++i) {
    const auto slot = static_cast<Slot>(i);
    if (labels_.has(slot) && twins_.representative(slot) == slot) nodes.push_back(slot);
  }
  return graph_.replant(nodes, size_, scratch_, gate_, [&] {
    tick();
    return std::chrono::duration<double>(Clock::now() - start).count() < seconds;
  });
}

void Index::compact(std::size_t num_threads, const Poll& poll) {
  refuse_if_mapped();
  const std::lock_guard writer(writer_);
  recover();
  const auto tick = [&] {
    if (poll) poll(0);
  };
  tidy(num_threads, tick);
  purge(num_threads, tick);
  IndexState state = export_state();
  tick();
  std::vector<Slot> renamed(state.labels.size(), kNoLink);
  Slot count = 0;
  for (std::size_t i = 0; i < renamed.size(); ++i) {
    if (state.labels[i] != kNoLabel) renamed[i] = count++;
  }
  // What is left moves forward, row by row.
  const auto shift = [&](auto& rows, std::size_t width) {
    for (std::size_t i = 0; i < renamed.size(); ++i) {
      if (renamed[i] == kNoLink || renamed[i] == i) continue;
      std::copy_n(rows.begin() + static_cast<std::ptrdiff_t>(i * width), width,
                  rows.begin() + static_cast<std::ptrdiff_t>(renamed[i] * width));
    }
    rows.resize(count * width);
    rows.shrink_to_fit();
  };
  shift(state.rows, space().stride());
  if (originals_) shift(state.originals, originals_->space().stride());
  if (!state.norms.empty()) shift(state.norms, 1);
  tick();
  shift(state.links, graph_.degree());
  for (Slot& link : state.links) {
    if (link != kNoLink) link = renamed[link & kSlotMask] | (link & ~kSlotMask);
  }
  shift(state.labels, 1);
  for (Slot& slot : state.twins) slot = renamed[slot];
  if (state.levels.empty()) {
    if (count > 0) state.entry = renamed[state.entry];
  } else {
    for (Slot& slot : state.levels[0].down) slot = renamed[slot];
  }
  for (Slot& seed : state.seeds) seed = renamed[seed];
  tick();
  Content content = make(state.view(), num_threads);
  tick();
  const std::lock_guard exclusive(gate_);
  take(std::move(content), state.entry);
  scratch_.drop();  // as wide as there were slots
}

}  // namespace annx
