#include "storage/label_map.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "base/errors.h"

namespace annx {
namespace {

// Finaliser of SplitMix64 (Steele, Lea, Flood 2014): consecutive labels scatter.
std::size_t hash(Label label) noexcept {
  auto x = static_cast<std::uint64_t>(label);
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
  return x ^ (x >> 31);
}

}  // namespace

std::optional<Slot> LabelMap::find(Label label) const noexcept {
  if (identity_) {
    if (label < 0 || static_cast<std::size_t>(label) >= slots_) return std::nullopt;
    const auto slot = static_cast<Slot>(label);
    return without_.test(slot) ? std::nullopt : std::optional(slot);
  }
  if (rising_) {
    const Label* end = labels_.data() + slots_;
    const Label* at = std::lower_bound(labels_.data(), end, label);
    if (at == end || *at != label) return std::nullopt;
    return static_cast<Slot>(at - labels_.data());
  }
  for (std::size_t i = hash(label) & mask_;; i = (i + 1) & mask_) {
    if (table_[i] == 0) return std::nullopt;
    if (labels_[table_[i] - 1] == label) return table_[i] - 1;
  }
}

void LabelMap::check(std::span<const Label> labels, bool known) const {
  for (const Label label : labels) {
    if (label == kNoLabel) throw LabelError("expected labels other than -1, which marks no result");
    if (!known && find(label))
      throw LabelError("label " + std::to_string(label) + " is already in the index");
  }
  std::vector<Label> sorted(labels.begin(), labels.end());
  std::sort(sorted.begin(), sorted.end());
  const auto twice = std::adjacent_find(sorted.begin(), sorted.end());
  if (twice != sorted.end()) {
    throw LabelError("expected distinct labels, got " + std::to_string(*twice) + " twice");
  }
}

void LabelMap::place(Slot slot, const Label* labels, Array<Slot>& table,
                     std::size_t mask) noexcept {
  std::size_t i = hash(labels[slot]) & mask;
  while (table[i] != 0) i = (i + 1) & mask;
  table[i] = slot + 1;
}

LabelMap::Growth LabelMap::prepare(std::size_t slots, bool custom) const {
  Growth growth;
  growth.slots = slots;
  if (identity_ && !custom) return growth;
  growth.convert = identity_;
  // At most 3/4 full, so that a probe for a missing label ends.
  std::size_t places = std::max<std::size_t>(64, mask_ + 1);
  while (places / 4 * 3 < slots) places *= 2;
  growth.table = identity_ || places != mask_ + 1;
  if (!growth.table) return growth;
  growth.places.grow(places);
  growth.mask = places - 1;
  const Label* labels = labels_.data();
  if (identity_) {
    growth.labels.grow(slots);
    for (std::size_t slot = 0; slot < slots_; ++slot)
      growth.labels[slot] = static_cast<Label>(slot);
    labels = growth.labels.data();
  }
  for (std::size_t slot = 0; slot < slots_; ++slot) {
    if (!without_.test(slot)) place(static_cast<Slot>(slot), labels, growth.places, growth.mask);
  }
  return growth;
}

void LabelMap::adopt(Growth&& growth) {
  if (growth.convert) {
    labels_ = std::move(growth.labels);
    identity_ = false;
  }
  if (!identity_) labels_.grow(growth.slots);
  if (growth.table) {
    table_ = std::move(growth.places);
    mask_ = growth.mask;
  }
}

void LabelMap::assign(Slot slot, Label label) noexcept {
  without_.reset(slot);
  slots_ = std::max<std::size_t>(slots_, std::size_t{slot} + 1);
  if (!identity_) {
    labels_[slot] = label;
    place(slot, labels_.data(), table_, mask_);
  }
  next_ = std::max(next_, label == INT64_MAX ? label : label + 1);
}

void LabelMap::erase(Slot slot) noexcept {
  without_.set(slot);
  if (identity_) return;
  std::size_t hole = hash(labels_[slot]) & mask_;
  while (table_[hole] != slot + 1) hole = (hole + 1) & mask_;
  // Whoever follows without a gap and may stand at the hole moves there (Knuth 6.4, algorithm R).
  for (std::size_t i = (hole + 1) & mask_; table_[i] != 0; i = (i + 1) & mask_) {
    const std::size_t home = hash(labels_[table_[i] - 1]) & mask_;
    if (((i - home) & mask_) < ((i - hole) & mask_)) continue;
    table_[hole] = table_[i];
    hole = i;
  }
  table_[hole] = 0;
}

void LabelMap::move(Slot from, Slot to) noexcept {
  const Label label = (*this)[from];
  erase(from);
  assign(to, label);
}

void LabelMap::borrow(std::span<const Label> labels, Bits without,
                      std::shared_ptr<const void> owner) {
  labels_.borrow(labels, std::move(owner));
  without_ = std::move(without);
  identity_ = false;
  slots_ = labels.size();
}

void LabelMap::index() {
  rising_ = without_.empty();
  for (std::size_t i = 1; rising_ && i < slots_; ++i) rising_ = labels_[i - 1] < labels_[i];
  if (!rising_) adopt(prepare(slots_, true));
  if (find(kNoLabel)) {
    throw FormatError("row " + std::to_string(*find(kNoLabel)) +
                      ": was removed, and is not listed as such");
  }
  if (rising_) return;
  for (std::size_t i = 0; i < slots_; ++i) {
    const auto slot = static_cast<Slot>(i);
    if (!without_.test(slot) && find(labels_[slot]) != slot) {
      throw FormatError("label " + std::to_string(labels_[slot]) + " appears twice");
    }
  }
}

void LabelMap::clear() noexcept {
  const Label next = next_;
  *this = LabelMap();
  next_ = next;
}

}  // namespace annx
