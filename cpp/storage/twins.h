// Rows equal byte for byte. Only one of each, the representative, is a node of the graph: equal
// vectors as neighbours of each other would fill its lists and cut it in pieces.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/bits.h"
#include "base/buffer.h"
#include "base/types.h"

namespace annx {

class Twins {
 public:
  // Of rows of `bytes` bytes, `pitch` apart.
  Twins(std::size_t bytes, std::size_t pitch) : bytes_(bytes), pitch_(pitch) {}

  // --- By content. Only the writer reads or changes these. ---

  // Open addressing by linear probing over representatives; slot + 1, or 0 where empty.
  struct Table {
    Array<Slot> places;
    std::size_t mask = 0;
  };
  // A larger table for `rows` representatives, found again under `base`; with mask 0 if this one
  // does. Others may read bytes() until adopt.
  Table prepare(std::size_t rows, const std::byte* base) const;
  void adopt(Table&& table) noexcept;
  // The representative of the row at `slot`: an earlier one, or itself, which is then noted.
  Slot intern(Slot slot, const std::byte* base) noexcept;
  // For many rows at once: their hashes by slot, and intern() with these where they are of all rows
  // that are noted. It looks at other rows only where hashes are equal.
  using Hashes = std::vector<std::uint64_t>;
  Hashes hash_all(std::size_t rows, const std::byte* base, std::size_t num_threads) const;
  Slot intern(Slot slot, const std::byte* base, const Hashes& hashes) noexcept;
  // Takes back that the row at `slot`, unchanged since, is noted.
  void forget(Slot slot, const std::byte* base) noexcept;

  // --- Pairs. ---

  void add(Slot slot, Slot representative);
  // Makes room for pairs, and then adds them without throwing. Nothing else may happen between,
  // but for drop_room(), which gives it back.
  using Pairs = std::vector<std::pair<Slot, Slot>>;
  void make_room(const Pairs& pairs);
  void put(const Pairs& pairs) noexcept;
  void drop_room() noexcept;
  void remove(Slot slot) noexcept;
  bool empty() const noexcept { return representative_.empty(); }
  std::size_t count() const noexcept { return representative_.size(); }
  // The other rows equal to a representative, by slot.
  std::span<const Slot> of(Slot representative) const noexcept;
  // Of a twin; of any other slot, the slot itself.
  Slot representative(Slot slot) const noexcept;
  const std::unordered_map<Slot, std::vector<Slot>>& groups() const noexcept { return groups_; }

  void clear() noexcept;
  std::size_t bytes() const noexcept {
    return table_.places.bytes() + with_twins_.bytes() + count() * 4 * sizeof(Slot);
  }

 private:
  std::size_t home(Slot slot, const std::byte* base, const Table& table) const noexcept;
  std::size_t place(Slot slot, const std::byte* base, const Table& table) const noexcept;

  std::size_t bytes_;
  std::size_t pitch_;
  std::unordered_map<Slot, std::vector<Slot>> groups_;
  Bits with_twins_;  // whose group is not empty: a search asks of each result, and few are there
  std::unordered_map<Slot, Slot> representative_;
  std::unordered_map<Slot, Slot> room_;  // nodes on their way into it
  Table table_;
};

}  // namespace annx
