// Is a list of links one that was ever written?
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/types.h"

namespace annx {

class LinkCheck {
 public:
  // Lists of up to `degree` links among `nodes` nodes; `mask` leaves a link's node.
  LinkCheck(std::size_t degree, std::size_t nodes, Slot mask);

  // What is wrong with the list of a node, or null.
  const char* defect(const Slot* row, std::size_t node);

 private:
  static constexpr std::size_t kFew = 64;
  bool twice_of_few(const Slot* row, std::size_t count) const noexcept;
  bool twice(const Slot* row, std::size_t count) noexcept;

  std::size_t degree_;
  std::size_t nodes_;
  Slot mask_;
  // The nodes of the list at hand by a hash of theirs, each with the list's turn in its upper
  // half, so that nothing is cleared between lists.
  std::vector<std::uint64_t> seen_;
  unsigned shift_;
  std::uint64_t turn_ = 0;
};

}  // namespace annx
