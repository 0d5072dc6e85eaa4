// Label of each slot and slot of each label. Labels 0, 1, 2, ... in order of insertion, the
// default, take no memory.
#pragma once

#include <cstddef>
#include <optional>
#include <span>

#include "base/buffer.h"
#include "base/types.h"

namespace annx {

class LabelMap {
 public:
  std::size_t size() const noexcept { return size_; }
  Label operator[](Slot slot) const noexcept { return identity_ ? Label{slot} : labels_[slot]; }
  std::optional<Slot> find(Label label) const noexcept;
  // One above the highest label so far.
  Label next() const noexcept { return next_; }

  // Throws LabelError unless `labels` are valid, distinct and new.
  void check(std::span<const Label> labels) const;
  // Room for `slots` labels, the last of them not numbered on if `custom`.
  void reserve(std::size_t slots, bool custom);
  // Labels of the next slots; room must have been reserved.
  void append(std::span<const Label> labels) noexcept;

  std::size_t label_bytes() const noexcept { return labels_.bytes(); }
  std::size_t table_bytes() const noexcept { return table_.bytes(); }

 private:
  void insert(Slot slot) noexcept;

  bool identity_ = true;
  std::size_t size_ = 0;
  Label next_ = 0;
  Array<Label> labels_;
  // Open addressing by linear probing; slot + 1, or 0 where empty.
  Array<Slot> table_;
  std::size_t mask_ = 0;
};

}  // namespace annx
