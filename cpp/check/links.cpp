#include "check/links.h"

#include <bit>

namespace annx {

LinkCheck::LinkCheck(std::size_t degree, std::size_t nodes, Slot mask)
    : degree_(degree), nodes_(nodes), mask_(mask) {
  const std::size_t places = std::bit_ceil(4 * degree);
  seen_.assign(places, 0);
  shift_ = static_cast<unsigned>(32 - std::countr_zero(places));
}

const char* LinkCheck::defect(const Slot* row, std::size_t node) {
  std::size_t count = 0;
  while (count < degree_ && row[count] != kNoLink) ++count;
  for (std::size_t i = count; i < degree_; ++i) {
    if (row[i] != kNoLink) return "a link follows padding";
  }
  ++turn_;
  bool twice = false;
  bool to_itself = false;
  for (std::size_t i = 0; i < count; ++i) {
    const Slot other = row[i] & mask_;
    if (other >= nodes_) return "a link is out of range";
    to_itself |= other == node;
    const std::uint64_t entry = turn_ << 32 | other;
    // Fibonacci hashing (Knuth 6.4).
    std::size_t place = (other * 0x9e3779b9U) >> shift_;
    while (seen_[place] >> 32 == turn_ && seen_[place] != entry) {
      place = (place + 1) & (seen_.size() - 1);
    }
    twice |= seen_[place] == entry;
    seen_[place] = entry;
  }
  if (to_itself) return "a link to itself";
  return twice ? "the same link twice" : nullptr;
}

}  // namespace annx
