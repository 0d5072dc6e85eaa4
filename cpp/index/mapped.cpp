// An index whose arrays stay in a file: opened at once, and for reading alone.
#include <string>

#include "base/errors.h"
#include "index/index.h"

namespace annx {

void Index::refuse_if_mapped() const {
  if (!label_guard_) return;
  throw ReadOnlyError(
      "this index is mapped from a file and cannot be changed; annx.load(path) without mmap, or "
      "copy.deepcopy(index), gives one that can");
}

void Index::map(MappedState&& state) {
  const StateView& view = state.view;
  const std::lock_guard writer(writer_);
  const std::lock_guard exclusive(gate_);
  Bits gone, dead;
  gone.reserve(view.labels.size());
  for (const Slot entry : state.removed) {
    gone.set(entry & ~kFreeFlag);
    if ((entry & kFreeFlag) != 0) continue;
    dead.set(entry);
  }
  std::vector<UpperLevel> levels;
  std::size_t guarded = 0;
  for (const StateView::Level& from : view.levels) {
    UpperLevel level;
    level.count = from.down.size();
    level.down.borrow(from.down, state.owner);
    level.links.borrow(from.links, state.owner);
    level.guard = state.upper_links;
    level.guarded = guarded;
    guarded += from.links.size_bytes();
    if (levels.empty()) {
      level.slots.borrow(from.down, state.owner);
    } else {
      level.slots.grow(level.count);
      for (std::size_t i = 0; i < level.count; ++i) {
        level.slots[i] = levels.back().slots[from.down[i]];
      }
    }
    levels.push_back(std::move(level));
  }
  vectors_.borrow(view.rows, state.rows, originals_ ? std::span<const float>() : view.norms,
                  state.norms, state.owner);
  if (originals_) {
    originals_->borrow(view.originals, state.originals, view.norms, state.norms, state.owner);
  }
  Array<Slot> links;
  links.borrow(view.links, state.owner);
  graph_.borrow(std::move(links), state.links, std::move(levels), std::move(dead),
                view.labels.empty() ? kNoLink : view.entry, view.seeds);
  labels_.borrow(view.labels, std::move(gone), state.owner);
  size_ = view.labels.size();
  set_growth(view.growth);
  ++epoch_;
  twin_pairs_ = view.twins;
  label_guard_ = state.labels;
}

// The list of removed rows was believed until a row's label was read.
void Index::refuse_unlisted(Slot slot) {
  throw FormatError("row " + std::to_string(slot) + ": was removed, and is not listed as such");
}

// Lookups that take time to make are made when they are first needed. No one else changes them.
void Index::settle_twins() const {
  if (!label_guard_) return;
  std::call_once(twins_settled_, [this] {
    Twins& twins = const_cast<Twins&>(twins_);
    twins.clear();  // what a call left that ran out of memory
    for (std::size_t i = 0; i < twin_pairs_.size(); i += 2) {
      twins.add(twin_pairs_[i], twin_pairs_[i + 1]);
    }
  });
}

void Index::settle_labels() const {
  if (!label_guard_) return;
  std::call_once(labels_settled_, [this] {
    label_guard_->touch_all();
    const_cast<LabelMap&>(labels_).index();
  });
}

void Index::touch_all() const {
  if (!label_guard_) return;
  vectors_.touch_all();
  if (originals_) originals_->touch_all();
  graph_.touch_all();
  label_guard_->touch_all();
}

}  // namespace annx
