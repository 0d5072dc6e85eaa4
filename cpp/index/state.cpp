// Index to plain arrays and back.
#include <algorithm>
#include <cstring>
#include <thread>

#include "index/index.h"

namespace annx {

IndexState Index::export_state() const {
  const Gate::Reader reader(gate_);
  IndexState state;
  const std::size_t stride = space().stride();
  state.rows.resize(size_ * stride);
  state.links.resize(size_ * graph_.degree());
  for (std::size_t i = 0; i < size_; ++i) {
    const auto slot = static_cast<Slot>(i);
    std::memcpy(state.rows.data() + i * stride, vectors_.row(slot), stride);
    std::copy_n(graph_.links_of(slot), graph_.degree(), &state.links[i * graph_.degree()]);
  }
  if (originals_) {
    const auto* kept = reinterpret_cast<const std::uint8_t*>(originals_->base());
    state.originals.assign(kept, kept + size_ * originals_->space().stride());
  }
  state.labels.resize(size_);
  for (std::size_t i = 0; i < size_; ++i) state.labels[i] = labels_[static_cast<Slot>(i)];
  if (normalises()) {
    state.norms.resize(size_);
    for (std::size_t i = 0; i < size_; ++i) state.norms[i] = kept().norm(static_cast<Slot>(i));
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
  for (std::size_t l = 0; size_ > 0 && l < graph_.top(); ++l) {
    const UpperLevel& level = graph_.levels()[l];
    // The nodes of a batch on its way have numbers already, the last ones.
    std::size_t count = level.count;
    while (count > 0 && level.slots[count - 1] >= size_) --count;
    const std::size_t links = count * graph_.options().M;
    state.levels.push_back({{level.down.data(), level.down.data() + count},
                            {level.links.data(), level.links.data() + links}});
  }
  state.entry = size_ == 0 ? 0 : graph_.entry();
  return state;
}

void Index::import_state(const IndexState& state) {
  const std::lock_guard writer(writer_);
  const std::lock_guard exclusive(gate_);
  const std::size_t rows = state.labels.size();
  bool custom = false;
  for (std::size_t i = 0; i < rows; ++i) custom |= state.labels[i] != static_cast<Label>(i);

  std::vector<UpperLevel> levels;
  for (const IndexState::Level& from : state.levels) {
    UpperLevel level;
    level.count = from.down.size();
    level.grow(level.count, graph_.options().M);
    std::copy(from.down.begin(), from.down.end(), level.down.data());
    std::copy(from.links.begin(), from.links.end(), level.links.data());
    for (std::size_t i = 0; i < level.count; ++i) {
      level.slots[i] = levels.empty() ? from.down[i] : levels.back().slots[from.down[i]];
    }
    levels.push_back(std::move(level));
  }
  graph_.reserve(rows);
  if (originals_) originals_->reserve(rows);
  vectors_.reserve(rows);
  labels_.reserve(rows, custom);
  if (rows == 0) return;
  const std::size_t stride = space().stride();
  for (std::size_t i = 0; i < rows; ++i) {
    const auto slot = static_cast<Slot>(i);
    std::memcpy(vectors_.row(slot), state.rows.data() + i * stride, stride);
    std::copy_n(&state.links[i * graph_.degree()], graph_.degree(), graph_.links_of(slot));
  }
  graph_.encode_edges(rows, std::thread::hardware_concurrency());
  if (originals_) {
    std::memcpy(originals_->row(0), state.originals.data(), state.originals.size());
  }
  std::copy(state.norms.begin(), state.norms.end(),
            originals_ ? originals_->norms() : vectors_.norms());
  twins_.reserve(rows, kept().base());
  std::size_t twin = 0;
  for (std::size_t i = 0; i < rows; ++i) {
    if (twin < state.twins.size() && state.twins[twin] == i) {
      twins_.add(state.twins[twin], state.twins[twin + 1]);
      twin += 2;
    } else {
      twins_.intern(static_cast<Slot>(i), kept().base());
    }
  }
  labels_.append(state.labels);
  graph_.set_levels(std::move(levels), state.entry);
  size_ = rows;
}

MemoryUse Index::memory() const {
  const Gate::Reader reader(gate_);
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
