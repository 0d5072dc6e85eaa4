#include "storage/label_map.h"

#include <algorithm>
#include <string>
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
    if (label < 0 || static_cast<std::size_t>(label) >= size_) return std::nullopt;
    return static_cast<Slot>(label);
  }
  for (std::size_t i = hash(label) & mask_;; i = (i + 1) & mask_) {
    if (table_[i] == 0) return std::nullopt;
    if (labels_[table_[i] - 1] == label) return table_[i] - 1;
  }
}

void LabelMap::check(std::span<const Label> labels) const {
  for (const Label label : labels) {
    if (label == kNoLabel) throw LabelError("expected labels other than -1, which marks no result");
    if (find(label))
      throw LabelError("label " + std::to_string(label) + " is already in the index");
  }
  std::vector<Label> sorted(labels.begin(), labels.end());
  std::sort(sorted.begin(), sorted.end());
  const auto twice = std::adjacent_find(sorted.begin(), sorted.end());
  if (twice != sorted.end()) {
    throw LabelError("expected distinct labels, got " + std::to_string(*twice) + " twice");
  }
}

void LabelMap::reserve(std::size_t slots, bool custom) {
  if (identity_ && !custom) return;
  labels_.grow(slots);
  // At most 3/4 full, so that a probe for a missing label ends.
  std::size_t places = std::max<std::size_t>(64, mask_ + 1);
  while (places / 4 * 3 < slots) places *= 2;
  const bool rehash = identity_ || places != mask_ + 1;
  if (!rehash) return;
  Array<Slot> fresh;
  fresh.grow(places);
  if (identity_) {
    for (std::size_t slot = 0; slot < size_; ++slot) labels_[slot] = static_cast<Label>(slot);
    identity_ = false;
  }
  table_ = std::move(fresh);
  mask_ = places - 1;
  for (std::size_t slot = 0; slot < size_; ++slot) insert(static_cast<Slot>(slot));
}

void LabelMap::insert(Slot slot) noexcept {
  std::size_t i = hash(labels_[slot]) & mask_;
  while (table_[i] != 0) i = (i + 1) & mask_;
  table_[i] = slot + 1;
}

void LabelMap::append(std::span<const Label> labels) noexcept {
  for (const Label label : labels) {
    if (!identity_) {
      labels_[size_] = label;
      insert(static_cast<Slot>(size_));
    }
    ++size_;
    next_ = std::max(next_, label == INT64_MAX ? label : label + 1);
  }
}

}  // namespace annx
