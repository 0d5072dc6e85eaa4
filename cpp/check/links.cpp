#include "check/links.h"

#include <algorithm>
#include <bit>

namespace annx {

LinkCheck::LinkCheck(std::size_t degree, std::size_t nodes, Slot mask)
    : degree_(degree), nodes_(nodes), mask_(mask) {
  const std::size_t places = std::bit_ceil(4 * degree);
  if (degree > kFew) seen_.assign(places, 0);
  shift_ = static_cast<unsigned>(32 - std::countr_zero(places));
}

const char* LinkCheck::defect(const Slot* row, std::size_t node) {
  std::size_t count = 0;
  while (count < degree_ && row[count] != kNoLink) ++count;
  for (std::size_t i = count; i < degree_; ++i) {
    if (row[i] != kNoLink) return "a link follows padding";
  }
  Slot highest = 0;
  bool to_itself = false;
  for (std::size_t i = 0; i < count; ++i) {
    const Slot other = row[i] & mask_;
    highest = std::max(highest, other);
    to_itself |= other == node;
  }
  if (count > 0 && highest >= nodes_) return "a link is out of range";
  if (to_itself) return "a link to itself";
  return (degree_ <= kFew ? twice_of_few(row, count) : twice(row, count)) ? "the same link twice"
                                                                          : nullptr;
}

// Each with each: some 2 ns a link at 32, where a table takes 8.
bool LinkCheck::twice_of_few(const Slot* row, std::size_t count) const noexcept {
  alignas(64) Slot nodes[kFew];
  const std::size_t width = (count + 7) / 8 * 8;
  for (std::size_t i = 0; i < count; ++i) nodes[i] = row[i] & mask_;
  for (std::size_t i = count; i < width; ++i) nodes[i] = kNoLink;
  Slot equal[8] = {};
  for (std::size_t i = 0; i < count; ++i) {
    const Slot node = nodes[i];
    for (std::size_t j = 0; j < width; j += 8) {
      for (std::size_t l = 0; l < 8; ++l) equal[l] += nodes[j + l] == node ? 1U : 0U;
    }
  }
  Slot total = 0;
  for (const Slot lane : equal) total += lane;
  return total != count;  // each is equal to itself
}

bool LinkCheck::twice(const Slot* row, std::size_t count) noexcept {
  ++turn_;
  bool twice = false;
  for (std::size_t i = 0; i < count; ++i) {
    const Slot other = row[i] & mask_;
    const std::uint64_t entry = turn_ << 32 | other;
    // Fibonacci hashing (Knuth 6.4).
    std::size_t place = (other * 0x9e3779b9U) >> shift_;
    while (seen_[place] >> 32 == turn_ && seen_[place] != entry) {
      place = (place + 1) & (seen_.size() - 1);
    }
    twice |= seen_[place] == entry;
    seen_[place] = entry;
  }
  return twice;
}

}  // namespace annx
