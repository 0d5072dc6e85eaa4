#include "storage/twins.h"

#include <algorithm>
#include <cstring>

namespace annx {
namespace {

// Multiply and fold, eight bytes a step; two lanes so that multiplications overlap. Rows are a
// multiple of 4 bytes.
std::uint64_t hash(const std::byte* row, std::size_t bytes) noexcept {
  const auto mix = [](std::uint64_t h, std::uint64_t x) noexcept {
    h = (h ^ x) * 0x9e3779b97f4a7c15U;
    return h ^ (h >> 29);
  };
  std::uint64_t a = bytes, b = 0x243f6a8885a308d3U, word[2];
  std::size_t i = 0;
  for (; i + 16 <= bytes; i += 16) {
    std::memcpy(word, row + i, 16);
    a = mix(a, word[0]);
    b = mix(b, word[1]);
  }
  word[0] = word[1] = 0;
  std::memcpy(word, row + i, bytes - i);
  return mix(mix(a, word[0]) ^ (b << 1), mix(b, word[1]));
}

}  // namespace

std::size_t Twins::place(Slot slot, const std::byte* base) const noexcept {
  const std::byte* row = base + slot * pitch_;
  std::size_t i = hash(row, bytes_) & mask_;
  while (table_[i] != 0 && std::memcmp(base + (table_[i] - 1) * pitch_, row, bytes_) != 0) {
    i = (i + 1) & mask_;
  }
  return i;
}

void Twins::reserve(std::size_t rows, const std::byte* base) {
  std::size_t places = std::max<std::size_t>(64, mask_ + 1);
  while (places / 4 * 3 < rows) places *= 2;
  if (places == mask_ + 1) return;
  Array<Slot> old;
  old.grow(places);
  std::swap(table_, old);
  const std::size_t before = mask_ == 0 ? 0 : mask_ + 1;
  mask_ = places - 1;
  for (std::size_t i = 0; i < before; ++i) {
    if (old[i] != 0) table_[place(old[i] - 1, base)] = old[i];
  }
}

Slot Twins::intern(Slot slot, const std::byte* base) noexcept {
  const std::size_t i = place(slot, base);
  if (table_[i] == 0) table_[i] = slot + 1;
  return table_[i] - 1;
}

void Twins::truncate(std::size_t rows, const std::byte* base) noexcept {
  // Linear probing has no simple removal, so the survivors are placed again, in slot order by the
  // order in which they stand: an entry only ever moves towards its hash.
  for (std::size_t i = 0; i <= mask_; ++i) {
    if (table_[i] > rows) table_[i] = 0;
  }
  for (bool moved = true; moved;) {
    moved = false;
    for (std::size_t i = 0; i <= mask_; ++i) {
      const Slot entry = table_[i];
      if (entry == 0) continue;
      table_[i] = 0;
      const std::size_t to = place(entry - 1, base);
      table_[to] = entry;
      moved |= to != i;
    }
  }
}

void Twins::add(Slot slot, Slot representative) {
  groups_[representative].push_back(slot);
  ++count_;
}

std::span<const Slot> Twins::of(Slot representative) const noexcept {
  const auto found = groups_.find(representative);
  return found == groups_.end() ? std::span<const Slot>() : std::span<const Slot>(found->second);
}

}  // namespace annx
