// Label of each slot and slot of each label. Labels 0, 1, 2, ... in order of insertion, the
// default, take no memory.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/bits.h"
#include "base/buffer.h"
#include "base/types.h"

namespace annx {

class LabelMap {
 public:
  // Slots so far, and those of them that have a label.
  std::size_t slots() const noexcept { return slots_; }
  std::size_t count() const noexcept { return slots_ - without_.count(); }
  bool has(Slot slot) const noexcept { return slot < slots_ && !without_.test(slot); }
  // Of a slot that has one.
  Label operator[](Slot slot) const noexcept { return identity_ ? Label{slot} : labels_[slot]; }
  std::optional<Slot> find(Label label) const noexcept;
  // One above the highest label so far.
  Label next() const noexcept { return next_; }

  // Throws LabelError unless `labels` are valid and distinct, and new unless `known` are allowed.
  void check(std::span<const Label> labels, bool known) const;

  // A larger table, made while others still read the one in use.
  struct Growth {
    bool table = false;
    bool convert = false;  // labels cease to be their slots
    std::size_t slots = 0;
    Array<Label> labels;
    Array<Slot> places;
    std::size_t mask = 0;
  };
  // For `slots` slots, whose labels are other than the slots if `custom`.
  Growth prepare(std::size_t slots, bool custom) const;
  void adopt(Growth&& growth);

  // Room must have been made.
  void assign(Slot slot, Label label) noexcept;
  void erase(Slot slot) noexcept;
  // Counts a slot that has never had a label.
  void leave_out(Slot slot) {
    without_.set(slot);
    slots_ = slot + std::size_t{1};
  }
  // What slot `from` has goes to `to`, which has none.
  void move(Slot from, Slot to) noexcept;
  // Room to erase any slot.
  void reserve_erased(std::size_t slots) { without_.reserve(slots); }
  // Forgets all labels; numbering goes on.
  void clear() noexcept;
  // Labels of someone else's, for reading alone, but for the slots that are `without`. find() takes
  // index() first, which throws FormatError where two are equal or one is none.
  void borrow(std::span<const Label> labels, Bits without, std::shared_ptr<const void> owner);
  void index();
  // Numbers on from `label` at least.
  void number_from(Label label) noexcept { next_ = label > next_ ? label : next_; }

  std::size_t label_bytes() const noexcept { return labels_.bytes() + without_.bytes(); }
  std::size_t table_bytes() const noexcept { return table_.bytes(); }

 private:
  static void place(Slot slot, const Label* labels, Array<Slot>& table, std::size_t mask) noexcept;

  bool identity_ = true;
  bool rising_ = false;  // borrowed labels that need no table
  std::size_t slots_ = 0;
  Label next_ = 0;
  Bits without_;
  Array<Label> labels_;
  // Open addressing by linear probing; slot + 1, or 0 where empty.
  Array<Slot> table_;
  std::size_t mask_ = 0;
};

}  // namespace annx
