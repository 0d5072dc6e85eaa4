#include "storage/space.h"

#include <cfloat>
#include <cmath>
#include <cstring>

#include "kernels/dispatch.h"

namespace annx {
namespace {

// Below this the squares of float32 lose digits to subnormals.
constexpr float kTinySquare = 1e-30F;
// |a - b|^2 <= 4 max(|a|^2, |b|^2): beneath it no distance overflows and no NaN can arise.
constexpr double kLargestSquare = FLT_MAX / 4.0;

// Beneath it 1 / |row| overflows float32.
constexpr double kNoDirection = 1e-76;

std::size_t element_bytes(Codec codec) {
  switch (codec) {
    case Codec::kF32:
      return 4;
    case Codec::kF16:
    case Codec::kBF16:
      return 2;
    default:
      return 1;
  }
}

kernels::Type kernel_type(Codec codec) {
  switch (codec) {
    case Codec::kF32:
      return kernels::kF32;
    case Codec::kF16:
      return kernels::kF16;
    case Codec::kBF16:
      return kernels::kBF16;
    case Codec::kI8:
      return kernels::kI8;
    default:
      return kernels::kU8;
  }
}

double from_half(std::uint16_t bits) {
  const int exponent = bits >> 10 & 31;
  const int fraction = bits & 1023;
  const double magnitude = exponent == 31  ? (fraction != 0 ? NAN : INFINITY)
                           : exponent == 0 ? std::ldexp(fraction, -24)
                                           : std::ldexp(fraction + 1024, exponent - 25);
  return (bits & 0x8000) != 0 ? -magnitude : magnitude;
}

double from_bfloat(std::uint16_t bits) {
  const std::uint32_t word = std::uint32_t{bits} << 16;
  float value;
  std::memcpy(&value, &word, sizeof value);
  return value;
}

}  // namespace

Space::Space(std::size_t dim, Metric metric, Codec codec)
    : metric_(metric),
      codec_(codec),
      has_scale_(metric == Metric::kCosine && codec != Codec::kF32),
      columns_(codec == Codec::kB1 ? dim / 8 : dim),
      input_bytes_(columns_ * element_bytes(codec)),
      stride_((input_bytes_ + 3) / 4 * 4 + (has_scale_ ? sizeof(float) : 0)) {
  const kernels::KernelTable& table = kernels::selected_table();
  const kernels::Type type = kernel_type(codec);
  dot_ = table.dot[type];
  kernel_ = metric == Metric::kL2        ? table.l2[type]
            : metric == Metric::kHamming ? table.hamming
                                         : table.dot[type];
}

double Space::element(const void* input, std::size_t i) const noexcept {
  switch (codec_) {
    case Codec::kF32:
      return static_cast<const float*>(input)[i];
    case Codec::kF16:
      return from_half(static_cast<const std::uint16_t*>(input)[i]);
    case Codec::kBF16:
      return from_bfloat(static_cast<const std::uint16_t*>(input)[i]);
    case Codec::kI8:
      return static_cast<const std::int8_t*>(input)[i];
    default:
      return static_cast<const std::uint8_t*>(input)[i];
  }
}

// In double and in a fixed order, so that equal rows are stored alike on every machine.
double Space::squared_norm(const void* input) const noexcept {
  double a = 0, b = 0;
  std::size_t i = 0;
  for (; i + 2 <= columns_; i += 2) {
    const double x = element(input, i), y = element(input, i + 1);
    a += x * x;
    b += y * y;
  }
  if (i < columns_) a += element(input, i) * element(input, i);
  return a + b;
}

std::optional<Defect> Space::defect(const void* input) const noexcept {
  if (codec_ == Codec::kB1) return std::nullopt;
  // The kernel decides the ordinary case; the slow sum has the last word on others.
  const float fast = dot_.one(input, input, columns_);
  if (fast >= kTinySquare && fast <= kLargestSquare) return std::nullopt;
  const double square = squared_norm(input);
  if (std::isnan(square)) return Defect::kNaN;
  if (std::isinf(square)) return Defect::kInfinite;
  if (square > kLargestSquare) return Defect::kOverflow;
  if (square < kNoDirection && metric_ == Metric::kCosine) return Defect::kZero;
  return std::nullopt;
}

float Space::scale_of(const std::byte* stored) const noexcept {
  float scale;
  std::memcpy(&scale, stored + stride_ - sizeof scale, sizeof scale);
  return scale;
}

float Space::encode(const void* input, std::byte* stored) const noexcept {
  if (normalises()) {
    const double norm = std::sqrt(squared_norm(input));
    const double inverse = 1 / norm;
    const auto* from = static_cast<const float*>(input);
    auto* to = reinterpret_cast<float*>(stored);
    for (std::size_t i = 0; i < columns_; ++i) to[i] = static_cast<float>(from[i] * inverse);
    return static_cast<float>(norm);
  }
  std::memset(stored + stride_ - 4, 0, 4);
  std::memcpy(stored, input, input_bytes_);
  if (has_scale_) {
    const std::size_t padded = stride_ - sizeof(float);
    std::memset(stored + input_bytes_, 0, padded - input_bytes_);
    const auto scale = static_cast<float>(1 / std::sqrt(squared_norm(input)));
    std::memcpy(stored + padded, &scale, sizeof scale);
  }
  return 1;
}

void Space::decode(const std::byte* stored, float norm, void* input) const noexcept {
  std::memcpy(input, stored, input_bytes_);
  if (!normalises() || norm == 1.0F) return;
  auto* x = static_cast<float*>(input);
  for (std::size_t i = 0; i < columns_; ++i) x[i] *= norm;
}

Query Space::prepare(const void* input, std::byte* work) const noexcept {
  if (metric_ != Metric::kCosine) return {input, 1};
  encode(input, work);
  return from_stored(work);
}

Query Space::from_stored(const std::byte* stored) const noexcept {
  return {stored, has_scale_ ? scale_of(stored) : 1};
}

void Space::distances(const Query& query, const std::byte* base, const Slot* slots,
                      std::size_t count, float* out) const noexcept {
  kernel_.many(query.data, reinterpret_cast<const unsigned char*>(base), stride_, slots, count,
               columns_, out);
  if (metric_ == Metric::kL2 || metric_ == Metric::kHamming) return;
  if (!has_scale_) {
    for (std::size_t i = 0; i < count; ++i) out[i] = 1 - out[i];
    return;
  }
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t slot = slots != nullptr ? slots[i] : i;
    out[i] = 1 - out[i] * query.scale * scale_of(base + slot * stride_);
  }
}

}  // namespace annx
