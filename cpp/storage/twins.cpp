#include "storage/twins.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/thread_pool.h"

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

std::size_t Twins::home(Slot slot, const std::byte* base, const Table& table) const noexcept {
  return hash(base + slot * pitch_, bytes_) & table.mask;
}

std::size_t Twins::place(Slot slot, const std::byte* base, const Table& table) const noexcept {
  const std::byte* row = base + slot * pitch_;
  const Array<Slot>& places = table.places;
  std::size_t i = home(slot, base, table);
  while (places[i] != 0 && std::memcmp(base + (places[i] - 1) * pitch_, row, bytes_) != 0) {
    i = (i + 1) & table.mask;
  }
  return i;
}

Twins::Table Twins::prepare(std::size_t rows, const std::byte* base) const {
  Table fresh;
  const std::size_t before = table_.mask == 0 ? 0 : table_.mask + 1;
  std::size_t places = std::max<std::size_t>(64, before);
  while (places / 4 * 3 < rows) places *= 2;
  if (places == before) return fresh;
  fresh.places.grow(places);
  fresh.mask = places - 1;
  for (std::size_t i = 0; i < before; ++i) {
    const Slot entry = table_.places[i];
    if (entry != 0) fresh.places[place(entry - 1, base, fresh)] = entry;
  }
  return fresh;
}

void Twins::adopt(Table&& table) noexcept {
  if (table.mask != 0) table_ = std::move(table);
}

Slot Twins::intern(Slot slot, const std::byte* base) noexcept {
  Slot& entry = table_.places[place(slot, base, table_)];
  if (entry == 0) entry = slot + 1;
  return entry - 1;
}

Twins::Hashes Twins::hash_all(std::size_t rows, const std::byte* base,
                              std::size_t num_threads) const {
  Hashes hashes(rows);
  constexpr std::size_t kTask = 1024;  // rows: some 100 microseconds
  parallel_for((rows + kTask - 1) / kTask, num_threads, [&](std::size_t task) {
    for (std::size_t i = task * kTask; i < std::min(rows, (task + 1) * kTask); ++i) {
      hashes[i] = hash(base + i * pitch_, bytes_);
    }
  });
  return hashes;
}

Slot Twins::intern(Slot slot, const std::byte* base, const Hashes& hashes) noexcept {
  const std::uint64_t mine = hashes[slot];
  const std::byte* row = base + slot * pitch_;
  std::size_t i = mine & table_.mask;
  for (; table_.places[i] != 0; i = (i + 1) & table_.mask) {
    const Slot other = table_.places[i] - 1;
    if (hashes[other] == mine && std::memcmp(base + other * pitch_, row, bytes_) == 0) return other;
  }
  table_.places[i] = slot + 1;
  return slot;
}

void Twins::forget(Slot slot, const std::byte* base) noexcept {
  Array<Slot>& places = table_.places;
  const std::size_t mask = table_.mask;
  std::size_t hole = place(slot, base, table_);
  if (places[hole] != slot + 1) return;
  // Whoever follows without a gap and may stand at the hole moves there (Knuth 6.4, algorithm R).
  for (std::size_t i = (hole + 1) & mask; places[i] != 0; i = (i + 1) & mask) {
    const std::size_t wanted = home(places[i] - 1, base, table_);
    if (((i - wanted) & mask) < ((i - hole) & mask)) continue;
    places[hole] = places[i];
    hole = i;
  }
  places[hole] = 0;
}

void Twins::add(Slot slot, Slot representative) {
  with_twins_.reserve(representative + 1);
  std::vector<Slot>& group = groups_[representative];
  representative_.emplace(slot, representative);
  group.insert(std::upper_bound(group.begin(), group.end(), slot), slot);
  with_twins_.set(representative);
}

void Twins::make_room(const Pairs& pairs) {
  std::unordered_map<Slot, std::size_t> more;
  for (const auto& [slot, representative] : pairs) {
    ++more[representative];
    room_.emplace(slot, representative);
  }
  representative_.reserve(representative_.size() + room_.size());
  for (const auto& [representative, count] : more) {
    with_twins_.reserve(representative + 1);
    std::vector<Slot>& group = groups_[representative];
    // At least by half, so that rows that come one by one do not copy it each time.
    const std::size_t wanted = group.size() + count;
    if (wanted > group.capacity()) group.reserve(std::max(wanted, group.size() * 3 / 2));
  }
}

void Twins::put(const Pairs& pairs) noexcept {
  representative_.merge(room_);
  for (const auto& [slot, representative] : pairs) {
    std::vector<Slot>& group = groups_.find(representative)->second;
    group.insert(std::upper_bound(group.begin(), group.end(), slot), slot);
    with_twins_.set(representative);
  }
  room_.clear();
}

void Twins::drop_room() noexcept {
  room_.clear();
  std::erase_if(groups_, [](const auto& group) { return group.second.empty(); });
}

void Twins::remove(Slot slot) noexcept {
  const auto pair = representative_.find(slot);
  const auto group = groups_.find(pair->second);
  std::vector<Slot>& slots = group->second;
  slots.erase(std::lower_bound(slots.begin(), slots.end(), slot));
  if (slots.empty()) {
    with_twins_.reset(pair->second);
    groups_.erase(group);
  }
  representative_.erase(pair);
}

std::span<const Slot> Twins::of(Slot representative) const noexcept {
  if (!with_twins_.test(representative)) return {};
  return groups_.find(representative)->second;
}

Slot Twins::representative(Slot slot) const noexcept {
  const auto found = representative_.find(slot);
  return found == representative_.end() ? slot : found->second;
}

void Twins::clear() noexcept {
  room_.clear();
  groups_.clear();
  with_twins_.clear();
  representative_.clear();
  table_ = {};
}

}  // namespace annx
