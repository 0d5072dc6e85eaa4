// A state that stays in its file: what is small is checked at once, the rest when it is used.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "check/check.h"
#include "storage/guard.h"
#include "storage/state.h"

namespace annx {

// Bit of a slot in the list of removed ones: nothing leads there.
inline constexpr Slot kFreeFlag = Slot{1} << 31;

struct MappedState {
  StateView view;
  std::span<const Slot> removed;  // slots with flags
  std::span<const Slot> upper;    // the links of all levels above 0, one after the other
  // Of what the view shows; null where it shows nothing.
  std::shared_ptr<const Guard> rows, originals, links, upper_links, labels, norms;
  std::shared_ptr<const void> owner;  // keeps the file mapped
};

// Where a section is in its file, for messages, and the checksums of its blocks.
struct SectionSums {
  std::size_t offset = 0;
  std::span<const std::uint32_t> sums;
};
struct MappedSums {
  SectionSums rows, originals, links, upper, labels, norms;
};

// Checks levels, twins and removed rows, and guards the rest. Throws FormatError.
void guard(const StateFormat& format, const MappedSums& sums, MappedState& state);

}  // namespace annx
