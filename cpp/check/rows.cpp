#include "check/rows.h"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "kernels/dispatch.h"
#include "storage/elements.h"
#include "storage/planes.h"

namespace annx {
namespace {

// How far a stored norm may be from the row's own: 65536 float32 terms in 8 lanes err by 5e-4.
constexpr double kNormTolerance = 1e-3;
// Squares beneath this lose digits in float32 and say nothing about the norm.
constexpr double kTinySquare = 1e-30;
// Beneath a quarter of float32's range for |row|^2 no distance overflows. The sum may err a little.
constexpr double kLargestSquare = FLT_MAX / 4.0 * (1 + kNormTolerance);

constexpr const char* kFreeNotZero = "a free slot is not zero";
constexpr const char* kPadding = "padding is not zero";
constexpr const char* kTooLong = "not finite, or too long";

bool all_zero(const std::byte* from, const std::byte* to) noexcept {
  return std::all_of(from, to, [](std::byte b) { return b == std::byte{0}; });
}

float float_at(const std::byte* from) noexcept {
  float value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

constexpr std::size_t kPiece = 256;

// 16 times the squared length of at most kPiece codes, of 10 bits where there are lower ones: fits
// registers and int32.
std::int32_t fine_square(const std::int8_t* high, const std::byte* lower,
                         std::size_t count) noexcept {
  alignas(64) std::uint8_t low[kPiece];
  for (std::size_t i = 0; i < count; i += 4) {
    const auto packed = std::to_integer<std::uint32_t>(lower[i / 4]);
    // Two bits into each of four bytes.
    const std::uint32_t spread = (packed | packed << 6 | packed << 12 | packed << 18) & 0x03030303U;
    std::memcpy(low + i, &spread, sizeof spread);
  }
  std::int32_t sum = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const auto code = static_cast<std::int16_t>(4 * high[i] + low[i] - 2);
    sum += std::int32_t{code} * code;
  }
  return sum;
}

bool carries_scale(Metric metric, Codec codec) noexcept {
  return metric == Metric::kCosine && codec != Codec::kF32;
}

constexpr std::size_t round_up(std::size_t bytes) noexcept { return (bytes + 3) / 4 * 4; }

}  // namespace

RowFormat plain_format(Metric metric, Codec codec, std::size_t dim) {
  const std::size_t columns = codec == Codec::kB1 ? dim / 8 : dim;
  const std::size_t stride =
      round_up(columns * element_bytes(codec)) + (carries_scale(metric, codec) ? sizeof(float) : 0);
  return {metric, codec, false, false, false, dim, columns, stride};
}

RowFormat scaled_format(Metric metric, std::size_t dim, bool more, bool planes) {
  const std::size_t stride = (planes ? 2 * plane_bytes(dim) : round_up(dim)) +
                             (more ? (dim + 15) / 16 * 4 : 0) + 2 * sizeof(float);
  return {metric, Codec::kF32, true, more, planes, dim, dim, stride};
}

RowCheck::RowCheck(const RowFormat& format)
    : format_(format),
      bytes_(format.scaled ? format.dim : format.columns * annx::element_bytes(format.codec)),
      padding_end_(format.stride),
      factors_(format.stride - 2 * sizeof(float)),
      lower_(round_up(format.dim)),
      has_scale_(!format.scaled && carries_scale(format.metric, format.codec)),
      unit_(!format.scaled && format.metric == Metric::kCosine && format.codec == Codec::kF32),
      square_(kernels::selected_table()
                  .dot[format.scaled ? kernels::kI8 : kernel_type(format.codec)]
                  .one) {
  if (has_scale_) padding_end_ -= sizeof(float);
  if (format.scaled) padding_end_ = lower_;
  if (format.planes) {
    bytes_ = padding_end_ = factors_ = plane_bytes(format.dim);
    lower_ = 2 * factors_ + 2 * sizeof(float);
  }
}

const char* RowCheck::defect(const std::byte* row, bool free) const noexcept {
  if (free) return all_zero(row, row + format_.stride) ? nullptr : kFreeNotZero;
  if (!all_zero(row + bytes_, row + padding_end_)) return kPadding;
  return format_.scaled ? codes(row) : elements(row);
}

const char* RowCheck::elements(const std::byte* row) const noexcept {
  if (format_.codec == Codec::kB1) return nullptr;
  const bool whole = format_.codec == Codec::kI8 || format_.codec == Codec::kU8;
  if (whole && !has_scale_) return nullptr;
  const float square = square_(row, row, format_.columns);
  if (!(square <= static_cast<float>(kLargestSquare))) return kTooLong;
  if (has_scale_) {
    const float scale = float_at(row + padding_end_);
    if (!std::isfinite(scale) || !(scale > 0)) return "scale is not positive";
    const bool unit = std::abs(square * scale * scale - 1) <= static_cast<float>(kNormTolerance);
    if (!unit && square > static_cast<float>(kTinySquare)) {
      return "its norm and its elements disagree";
    }
  } else if (unit_ && !(std::abs(square - 1) <= static_cast<float>(kNormTolerance))) {
    return "its norm and its elements disagree";
  }
  return nullptr;
}

// Squared length of a row's codes; negative if one is none.
double RowCheck::square_of_codes(const std::byte* row) const noexcept {
  if (!format_.planes && !format_.more) return double{square_(row, row, format_.dim)};
  double total = 0;
  alignas(64) std::int8_t room[kPiece];
  for (std::size_t first = 0; first < format_.dim; first += kPiece) {
    const std::size_t count = std::min(kPiece, format_.dim - first);
    const auto* high = reinterpret_cast<const std::int8_t*>(row) + first;
    if (format_.planes) {
      const std::byte* low = row + factors_ + 2 * sizeof(float) + first / 2;
      join_planes(row + first / 2, low, count, room);
      high = room;
      // Halves that are no code's wrap around to 120 and more, or are -120 and less.
      const auto [least, most] = std::minmax_element(room, room + count);
      if (*least < -kLargestCode || *most > kLargestCode) return -1;
    }
    total += format_.more ? fine_square(high, row + lower_ + first / 4, count) / 16.0
                          : double{square_(high, high, count)};
  }
  return total;
}

const char* RowCheck::codes(const std::byte* row) const noexcept {
  const std::byte* factors = row + factors_;
  double length = float_at(factors), step = float_at(factors + sizeof(float));
  if (!std::isfinite(length) || !std::isfinite(step) || !(length >= 0) || !(step > 0)) {
    return "length or step is not finite and positive";
  }
  if (format_.planes) {
    // Halves past the end are those of a code of 0.
    const auto empty = [&](const std::byte* plane) {
      const std::size_t used = format_.dim / 2;
      if (format_.dim % 2 != 0 && std::to_integer<unsigned>(plane[used]) >> 4 != 8) return false;
      return std::all_of(plane + (format_.dim + 1) / 2, plane + plane_bytes(format_.dim),
                         [](std::byte b) { return b == std::byte{0x88}; });
    };
    if (!empty(row) || !empty(row + factors_ + 2 * sizeof(float))) return kPadding;
  }
  if (format_.more) {
    const std::byte* lower = row + lower_;
    const std::size_t used = format_.dim / 4;
    const std::size_t partial = format_.dim % 4;
    if (partial != 0 && std::to_integer<unsigned>(lower[used]) >> (2 * partial) != 0) {
      return kPadding;
    }
    const std::byte* end = lower + (format_.dim + 15) / 16 * 4;
    if (!all_zero(lower + used + (partial != 0 ? 1 : 0), end)) return kPadding;
  }
  const double square = square_of_codes(row);
  if (square < 0) return "a code is out of range";
  if (format_.metric == Metric::kL2) {
    length = std::sqrt(length);
    step /= std::sqrt(2.0);
  } else if (format_.metric == Metric::kCosine) {
    if (length == 0) return "zero under cosine";
    length = 1;
  }
  // Each coordinate is within half a step of its code.
  const double bound =
      step * std::sqrt(static_cast<double>(format_.dim)) / 2 + kNormTolerance * length;
  if (!(std::abs(step * std::sqrt(square) - length) <= bound + std::sqrt(kTinySquare))) {
    return "its length and its codes disagree";
  }
  return length * length > kLargestSquare ? kTooLong : nullptr;
}

}  // namespace annx
