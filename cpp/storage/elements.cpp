#include "storage/elements.h"

#include <bit>
#include <cfloat>
#include <cmath>

#include "kernels/dispatch.h"

namespace annx {
namespace {

// Below this the squares of float32 lose digits to subnormals.
constexpr float kTinySquare = 1e-30F;
// |a - b|^2 <= 4 max(|a|^2, |b|^2): beneath it no distance overflows and no NaN can arise.
constexpr double kLargestSquare = FLT_MAX / 4.0;
// Beneath it 1 / |row| overflows float32.
constexpr double kNoDirection = 1e-76;

}  // namespace

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

float from_half(std::uint16_t bits) noexcept {
  const std::uint32_t sign = std::uint32_t{bits & 0x8000U} << 16;
  const std::uint32_t magnitude = std::uint32_t{bits & 0x7fffU} << 13;
  if (magnitude >= 0x0f800000U) return std::bit_cast<float>(sign | 0x7f800000U | magnitude);
  // Scaling by 2^112 moves the exponent from bias 15 to 127 and normalises subnormals.
  const float scaled = std::bit_cast<float>(magnitude) * 0x1p112F;
  return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(scaled));
}

std::uint16_t to_half(float value) noexcept {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = bits >> 16 & 0x8000U;
  const std::uint32_t magnitude = bits & 0x7fffffffU;
  if (magnitude > 0x7f800000U) return static_cast<std::uint16_t>(sign | 0x7e00U);   // NaN
  if (magnitude >= 0x477ff000U) return static_cast<std::uint16_t>(sign | 0x7c00U);  // >= 65520
  if (magnitude < 0x38800000U) {
    // A subnormal half: adding 1/2 aligns the fraction with float32's last bits, rounded.
    const float shifted = std::bit_cast<float>(magnitude) + 0.5F;
    return static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(shifted) - 0x3f000000U));
  }
  const std::uint32_t rounded = magnitude + 0xfffU + (magnitude >> 13 & 1U);
  return static_cast<std::uint16_t>(sign | ((rounded - 0x38000000U) >> 13));
}

namespace {

// What `use` makes of a function from i to element i of a row, exactly. One loop for each type: a
// choice for each element kept compilers from vectors.
template <class Use>
auto with_elements(const void* row, Codec codec, const Use& use) noexcept {
  const auto* words = static_cast<const std::uint16_t*>(row);
  switch (codec) {
    case Codec::kF32:
      return use([x = static_cast<const float*>(row)](std::size_t i) noexcept { return x[i]; });
    case Codec::kF16:
      return use([words](std::size_t i) noexcept { return from_half(words[i]); });
    case Codec::kBF16:
      return use([words](std::size_t i) noexcept {
        return std::bit_cast<float>(std::uint32_t{words[i]} << 16);
      });
    case Codec::kI8:
      return use([x = static_cast<const std::int8_t*>(row)](std::size_t i) noexcept {
        return static_cast<float>(x[i]);
      });
    default:
      return use([x = static_cast<const std::uint8_t*>(row)](std::size_t i) noexcept {
        return static_cast<float>(x[i]);
      });
  }
}

// In as many chains as hide the latency of an addition.
template <class At>
double sum_squares(std::size_t count, const At& at) noexcept {
  constexpr std::size_t kChains = 8;
  double sums[kChains] = {};
  std::size_t i = 0;
  for (; i + kChains <= count; i += kChains) {
    for (std::size_t c = 0; c < kChains; ++c) {
      const double x = at(i + c);
      sums[c] += x * x;
    }
  }
  for (std::size_t c = 0; i + c < count; ++c) {
    const double x = at(i + c);
    sums[c] += x * x;
  }
  return ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
}

}  // namespace

double squared_norm(const void* row, std::size_t columns, Codec codec) noexcept {
  return with_elements(row, codec, [=](const auto& at) noexcept {
    return sum_squares(columns, [=](std::size_t i) noexcept { return double{at(i)}; });
  });
}

void to_floats(const void* row, std::size_t columns, Codec codec, float scale,
               float* __restrict x) noexcept {
  with_elements(row, codec, [=](const auto& at) noexcept {
    for (std::size_t i = 0; i < columns; ++i) x[i] = scale * at(i);
  });
}

void from_floats(const float* x, std::size_t columns, Codec codec, void* row) noexcept {
  if (codec == Codec::kF16) {
    auto* halves = static_cast<std::uint16_t*>(row);
    for (std::size_t i = 0; i < columns; ++i) halves[i] = to_half(x[i]);
    return;
  }
  auto* bytes = static_cast<std::uint8_t*>(row);
  for (std::size_t i = 0; i < columns; ++i) {
    bytes[i] = static_cast<std::uint8_t>(static_cast<std::int32_t>(x[i]));
  }
}

std::optional<Defect> find_defect(const void* row, std::size_t columns, Codec codec,
                                  Metric metric) noexcept {
  if (codec == Codec::kB1) return std::nullopt;
  // The kernel decides the ordinary case; the slow sum has the last word on others.
  const float fast = kernels::selected_table().dot[kernel_type(codec)].one(row, row, columns);
  if (fast >= kTinySquare && fast <= kLargestSquare) return std::nullopt;
  const double square = squared_norm(row, columns, codec);
  if (std::isnan(square)) return Defect::kNaN;
  if (std::isinf(square)) return Defect::kInfinite;
  if (square > kLargestSquare) return Defect::kOverflow;
  if (square < kNoDirection && metric == Metric::kCosine) return Defect::kZero;
  return std::nullopt;
}

}  // namespace annx
