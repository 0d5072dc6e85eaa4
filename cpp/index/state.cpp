// Index to plain arrays and back.
#include <algorithm>
#include <cstring>
#include <thread>

#include "base/thread_pool.h"
#include "index/index.h"

namespace annx {

StateView IndexState::view() const {
  StateView view{std::as_bytes(std::span(rows)),
                 std::as_bytes(std::span(originals)),
                 links,
                 labels,
                 norms,
                 twins,
                 {},
                 entry,
                 seeds,
                 growth};
  for (const Level& level : levels) view.levels.push_back({level.down, level.links});
  return view;
}

IndexState Index::export_state() const {
  const Gate::Reader reader(gate_);
  settle_twins();
  touch_all();
  IndexState state;
  // Free slots are nobody's: the writer may be filling them.
  const auto free = [&](Slot slot) { return !labels_.has(slot) && !graph_.dead().test(slot); };
  const auto copy = [&](std::vector<std::uint8_t>& to, const Vectors& from) {
    const std::size_t stride = from.space().stride();
    to.resize(size_ * stride);
    for (std::size_t i = 0; i < size_; ++i) {
      const auto slot = static_cast<Slot>(i);
      if (free(slot)) continue;
      std::memcpy(to.data() + i * stride, from.row(slot), stride);
    }
  };
  copy(state.rows, vectors_);
  if (originals_) copy(state.originals, *originals_);
  state.links.resize(size_ * graph_.degree());
  for (std::size_t i = 0; i < size_; ++i) {
    std::copy_n(graph_.links_of(static_cast<Slot>(i)), graph_.degree(),
                &state.links[i * graph_.degree()]);
  }
  state.labels.resize(size_, kNoLabel);
  for (std::size_t i = 0; i < size_; ++i) {
    const auto slot = static_cast<Slot>(i);
    if (labels_.has(slot)) state.labels[i] = labels_[slot];
  }
  if (normalises()) {
    state.norms.resize(size_);
    for (std::size_t i = 0; i < size_; ++i) {
      const auto slot = static_cast<Slot>(i);
      if (!free(slot)) state.norms[i] = kept().norm(slot);
    }
  }
  std::vector<std::pair<Slot, Slot>> twins;
  for (const auto& [representative, slots] : twins_.groups()) {
    for (const Slot slot : slots) twins.emplace_back(slot, representative);
  }
  std::sort(twins.begin(), twins.end());
  for (const auto& [slot, representative] : twins) {
    state.twins.push_back(slot);
    state.twins.push_back(representative);
  }
  // A bulk build writes the graph while the index is empty.
  if (size_ == 0) return state;
  Graph::Numbered levels = graph_.numbered();
  for (std::size_t l = 0; l < levels.down.size(); ++l) {
    state.levels.push_back({std::move(levels.down[l]), std::move(levels.links[l])});
  }
  state.entry = levels.entry;
  const std::span<const Slot> seeds = graph_.seeds();
  state.seeds.assign(seeds.begin(), seeds.end());
  const Growth::Profile& profile = graph_.growth().profile();
  if (const std::size_t left = until_learning_; profile[0] > 0 || left != first_learning(size_)) {
    state.growth.push_back(static_cast<float>(left));
    state.growth.insert(state.growth.end(), profile.begin(), profile.end());
  }
  return state;
}

IndexState Index::encode(const std::byte* input, std::size_t count, std::size_t num_threads) const {
  IndexState state;
  constexpr std::size_t kTask = 256;  // rows: some tens of microseconds
  const std::size_t bytes = space().input_bytes();
  const auto fill = [&](std::vector<std::uint8_t>& to, const Space& as) {
    const std::size_t stride = as.stride();
    to.resize(count * stride);
    if (as.normalises()) state.norms.resize(count);
    parallel_for((count + kTask - 1) / kTask, num_threads, [&](std::size_t task) {
      for (std::size_t i = task * kTask; i < std::min(count, (task + 1) * kTask); ++i) {
        auto* row = reinterpret_cast<std::byte*>(to.data() + i * stride);
        const float norm = as.encode(input + i * bytes, row);
        if (as.normalises()) state.norms[i] = norm;
      }
    });
  };
  fill(state.rows, space());
  if (originals_) fill(state.originals, originals_->space());
  return state;
}

Index::Content Index::make(const StateView& state, std::size_t num_threads) const {
  const std::size_t rows = state.labels.size();
  Content to{vectors_.empty(),
             originals_ ? std::make_optional(originals_->empty()) : std::nullopt,
             {},
             Twins(kept().space().stride(), kept().pitch()),
             {},
             {},
             {},
             {},
             {},
             state.growth,
             rows};
  to.seeds.set(state.seeds);
  for (const StateView::Level& from : state.levels) {
    UpperLevel level;
    level.count = from.down.size();
    level.grow(level.count, graph_.options().M);
    std::copy(from.down.begin(), from.down.end(), level.down.data());
    std::copy(from.links.begin(), from.links.end(), level.links.data());
    for (std::size_t i = 0; i < level.count; ++i) {
      level.slots[i] = to.levels.empty() ? from.down[i] : to.levels.back().slots[from.down[i]];
    }
    to.levels.push_back(std::move(level));
  }
  if (rows == 0) return to;
  to.vectors.reserve(rows);
  const std::size_t stride = space().stride(), degree = graph_.degree();
  if (to.originals) to.originals->reserve(rows);
  Vectors& kept = to.originals ? *to.originals : to.vectors;
  std::copy(state.norms.begin(), state.norms.end(), kept.norms());
  if (!edges_) to.links.grow(state.links.size());
  // Memory that is new is given page by page as it is written, which takes longer than to copy.
  constexpr std::size_t kTask = 4096;  // rows
  const std::size_t beside = to.originals ? kept.space().stride() : 0;
  parallel_for((rows + kTask - 1) / kTask, num_threads, [&](std::size_t task) {
    for (std::size_t i = task * kTask; i < std::min(rows, (task + 1) * kTask); ++i) {
      const auto slot = static_cast<Slot>(i);
      std::memcpy(to.vectors.row(slot), state.rows.data() + i * stride, stride);
      if (beside > 0) std::memcpy(kept.row(slot), state.originals.data() + i * beside, beside);
      Slot* links =
          edges_ ? reinterpret_cast<Slot*>(to.vectors.lead(slot)) : to.links.data() + i * degree;
      std::copy_n(&state.links[i * degree], degree, links);
    }
  });
  if (edges_) edges_->encode_all(to.vectors, rows, num_threads, [](double) {});

  bool custom = false;
  for (std::size_t i = 0; i < rows; ++i) {
    custom |= state.labels[i] != kNoLabel && state.labels[i] != static_cast<Label>(i);
  }
  to.labels.adopt(to.labels.prepare(rows, custom));
  to.labels.reserve_erased(rows);
  to.dead.reserve(rows);
  to.twins.adopt(to.twins.prepare(rows, kept.base()));
  const Twins::Hashes hashes = to.twins.hash_all(rows, kept.base(), num_threads);
  std::size_t twin = 0;
  for (std::size_t i = 0; i < rows; ++i) {
    const auto slot = static_cast<Slot>(i);
    if (state.labels[i] == kNoLabel) {
      to.labels.leave_out(slot);
      if (state.links[i * graph_.degree()] == kNoLink) {
        to.free.push_back(slot);
      } else {
        to.dead.set(slot);
      }
      continue;
    }
    to.labels.assign(slot, state.labels[i]);
    if (twin < state.twins.size() && state.twins[twin] == slot) {
      to.twins.add(slot, state.twins[twin + 1]);
      twin += 2;
    } else {
      to.twins.intern(slot, kept.base(), hashes);
    }
  }
  std::reverse(to.free.begin(), to.free.end());
  return to;
}

// With the gate closed.
void Index::take(Content&& content, Slot entry) noexcept {
  content.labels.number_from(labels_.next());
  vectors_.take(std::move(content.vectors));
  if (originals_) originals_->take(std::move(*content.originals));
  labels_ = std::move(content.labels);
  twins_ = std::move(content.twins);
  size_ = content.slots;
  ++epoch_;
  graph_.replace(std::move(content.links), std::move(content.levels), std::move(content.dead),
                 size_ == 0 ? kNoLink : entry, std::move(content.seeds));
  set_growth(content.growth);
  free_ = std::move(content.free);
}

void Index::set_growth(std::span<const float> growth) noexcept {
  Growth::Profile profile{};
  until_learning_ = first_learning(size_);
  if (!growth.empty()) {
    until_learning_ = static_cast<std::size_t>(growth[0]);
    std::copy(growth.begin() + 1, growth.end(), profile.begin());
  }
  Growth fresh;
  fresh.set(profile);
  graph_.set_growth(fresh);
}

void Index::import_state(const StateView& state) {
  const std::lock_guard writer(writer_);
  Content content = make(state, std::max(1U, std::thread::hardware_concurrency()));
  const std::lock_guard exclusive(gate_);
  take(std::move(content), state.entry);
}

MemoryUse Index::memory() const {
  const Gate::Reader reader(gate_);
  settle_twins();
  const std::size_t norm = normalises() ? sizeof(float) : 0;
  return {size_ * (space().stride() + (originals_ ? 0 : norm)),
          originals_ ? size_ * (originals_->space().stride() + norm) : 0,
          size_ * std::max(graph_.degree() * sizeof(Slot), graph_.edge_bytes()),
          graph_.upper_bytes(),
          labels_.label_bytes(),
          labels_.table_bytes() + twins_.bytes(),
          scratch_.bytes()};
}

}  // namespace annx
