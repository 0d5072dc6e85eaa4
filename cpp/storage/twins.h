// Rows equal byte for byte. Only the first of each, the representative, is a node of the graph:
// equal vectors as neighbours of each other would fill its lists and cut it in pieces.
#pragma once

#include <cstddef>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/buffer.h"
#include "base/types.h"

namespace annx {

class Twins {
 public:
  // Of rows of `bytes` bytes, `pitch` apart.
  Twins(std::size_t bytes, std::size_t pitch) : bytes_(bytes), pitch_(pitch) {}

  // Room in the table of contents for `rows` representatives, found again under `base`.
  void reserve(std::size_t rows, const std::byte* base);
  // The representative of the row at `slot`: an earlier one, or itself, which is then noted.
  Slot intern(Slot slot, const std::byte* base) noexcept;

  // Takes back what was interned from slot `rows` on.
  void truncate(std::size_t rows, const std::byte* base) noexcept;

  void add(Slot slot, Slot representative);
  bool empty() const noexcept { return count_ == 0; }
  std::size_t count() const noexcept { return count_; }
  // The other rows equal to a representative, in order of insertion.
  std::span<const Slot> of(Slot representative) const noexcept;
  const std::unordered_map<Slot, std::vector<Slot>>& groups() const noexcept { return groups_; }

  std::size_t bytes() const noexcept { return table_.bytes() + count_ * sizeof(Slot); }

 private:
  std::size_t place(Slot slot, const std::byte* base) const noexcept;

  std::size_t bytes_;
  std::size_t pitch_;
  std::unordered_map<Slot, std::vector<Slot>> groups_;
  std::size_t count_ = 0;
  // Open addressing by linear probing over representatives; slot + 1, or 0 where empty.
  Array<Slot> table_;
  std::size_t mask_ = 0;
};

}  // namespace annx
