#include "check/check.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <string>
#include <vector>

#include "base/bits.h"
#include "check/graph.h"

namespace annx {
namespace {

bool rising(std::span<const Label> labels) noexcept {
  bool rising = true;
  for (std::size_t i = 1; i < labels.size(); ++i) rising &= labels[i - 1] < labels[i];
  return rising;
}

// Labels other than kNoLabel come once: sorted in parts that a cache holds.
void refuse_twice(std::span<const Label> labels, const Work& work) {
  if (rising(labels)) return;
  constexpr std::size_t kParts = 256;
  const auto part_of = [](Label label) {
    // Multiplicative hashing: labels that differ in their last bits alone are spread too.
    return static_cast<std::size_t>(static_cast<std::uint64_t>(label) * 0x9e3779b97f4a7c15U >> 56);
  };
  std::array<std::size_t, kParts + 1> starts{};
  for (const Label label : labels) {
    if (label != kNoLabel) ++starts[part_of(label) + 1];
  }
  for (std::size_t p = 0; p < kParts; ++p) starts[p + 1] += starts[p];
  std::vector<Label> parts(starts.back());
  std::array<std::size_t, kParts + 1> next = starts;
  for (const Label label : labels) {
    if (label != kNoLabel) parts[next[part_of(label)]++] = label;
  }
  std::mutex mutex;
  std::optional<Label> found;
  for_ranges(kParts, 1, work, [&](std::size_t p, std::size_t) {
    const auto first = parts.begin() + static_cast<std::ptrdiff_t>(starts[p]);
    const auto last = parts.begin() + static_cast<std::ptrdiff_t>(starts[p + 1]);
    std::sort(first, last);
    const auto twice = std::adjacent_find(first, last);
    if (twice == last) return;
    const std::lock_guard lock(mutex);
    if (!found || *twice < *found) found = *twice;
  });
  if (found) throw FormatError("label " + std::to_string(*found) + " appears twice");
}

void check_rows(const std::string& part, const RowFormat& format, std::span<const std::byte> rows,
                const Outside& outside, const Work& work) {
  const RowCheck check(format);
  refuse(part, rows.size() / format.stride, format.stride, work, [&](std::size_t i) {
    return check.defect(rows.data() + i * format.stride, outside.free(i));
  });
}

void check_norms(const StateView& state, const Outside& outside, const Work& work) {
  refuse("row", state.norms.size(), sizeof(float), work, [&](std::size_t i) -> const char* {
    const float norm = state.norms[i];
    if (outside.free(i)) return norm != 0 ? "a free slot has a norm" : nullptr;
    return std::isfinite(norm) && norm > 0 ? nullptr : "norm is not positive";
  });
}

void check_twins(const StateFormat& format, const StateView& state, Outside& outside,
                 const Work& work) {
  const std::span<const Slot> twins = state.twins;
  const std::size_t n = state.labels.size(), count = twins.size() / 2;
  refuse("twin", count, 8, work, [&](std::size_t i) -> const char* {
    if (twins[2 * i] >= n) return "row out of range";
    if (twins[2 * i + 1] >= n) return "its representative is out of range";
    return i > 0 && twins[2 * i] <= twins[2 * i - 2] ? "not in order" : nullptr;
  });
  outside.reserve(n);
  for (std::size_t i = 0; i < count; ++i) outside.add_twin(twins[2 * i]);
  const RowCheck kept(format.originals ? *format.originals : format.rows);
  const std::byte* rows = (format.originals ? state.originals : state.rows).data();
  const std::size_t stride = kept.format().stride;
  // Without the scale, whose last digit depends on who computed it; that of codes says how far the
  // row is from those with equal codes.
  const std::size_t bytes = kept.format().scaled ? stride : kept.element_bytes();
  refuse("twin", count, 2 * stride, work, [&](std::size_t i) -> const char* {
    const std::size_t slot = twins[2 * i], other = twins[2 * i + 1];
    if (outside.twin(other)) return "its representative is a twin";
    const bool equal = std::memcmp(rows + slot * stride, rows + other * stride, bytes) == 0;
    return equal ? nullptr : "differs from its representative";
  });
  refuse("row", outside.twin_count() == 0 ? 0 : n, 1, work, [&](std::size_t i) {
    return outside.twin(i) && outside.removed(i) ? "a removed row is a twin" : nullptr;
  });
  refuse("twin", count, 8, work, [&](std::size_t i) {
    return outside.removed(twins[2 * i + 1]) ? "its representative was removed" : nullptr;
  });
}

}  // namespace

void check_state(const StateFormat& format, const StateView& state, bool spanning,
                 const Work& work) {
  const std::size_t n = state.labels.size();
  Outside outside(state, 2 * format.M);
  if (n > 0 && outside.removed_count() == n) {
    throw FormatError("labels: expected a row that was not removed, or none at all");
  }
  refuse_twice(state.labels, work);
  check_rows("row", format.rows, state.rows, outside, work);
  if (format.originals) {
    check_rows("original of row", *format.originals, state.originals, outside, work);
  }
  check_norms(state, outside, work);
  check_twins(format, state, outside, work);
  check_level0(state, 2 * format.M, outside, work);
  std::size_t size = n;
  for (std::size_t number = 1; number <= state.levels.size(); ++number) {
    const StateView::Level& level = state.levels[number - 1];
    check_upper(number, level, size, format.M, number == 1 ? &outside : nullptr, work);
    size = level.down.size();
  }
  if (state.entry >= std::max<std::size_t>(size, 1)) {
    throw FormatError("entry: expected less than " + std::to_string(size) + ", got " +
                      std::to_string(state.entry));
  }
  if (n > 0 && state.levels.empty() && outside(state.entry)) {
    throw FormatError("entry: row " + std::to_string(state.entry) + " is not in the graph");
  }
  check_seeds(state.seeds, n, outside);
  check_growth(state.growth);
  check_tree(state, 2 * format.M, outside, spanning, work);
}

}  // namespace annx
