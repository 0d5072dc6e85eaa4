#include "storage/scaled_space.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/dispatch.h"
#include "storage/elements.h"
#include "storage/rounding.h"

namespace annx {
namespace {

constexpr float kRoot2 = 1.41421356F;

// In units of 1 / inverse.
void round(const float* __restrict x, std::size_t count, float inverse,
           std::int8_t* __restrict codes) noexcept {
  for (std::size_t i = 0; i < count; ++i) {
    codes[i] = static_cast<std::int8_t>(nearest_integer(x[i] * inverse));
  }
}

// In units of 4 / inverse, so that what is left of 1 / inverse is -2 to 1.
void round_quarters(const float* __restrict x, std::size_t count, float inverse,
                    std::int8_t* __restrict codes) noexcept {
  for (std::size_t i = 0; i < count; ++i) {
    codes[i] = static_cast<std::int8_t>((nearest_integer(x[i] * inverse) + 2) >> 2);
  }
}

// That, four of them a byte.
void keep_rest(const float* x, std::size_t count, float inverse, const std::int8_t* codes,
               unsigned char* low) noexcept {
  for (std::size_t i = 0; i < count; ++i) {
    const int rest = nearest_integer(x[i] * inverse) + 2 - 4 * codes[i];
    low[i / 4] |= static_cast<unsigned char>(rest << (i % 4 * 2));
  }
}

}  // namespace

ScaledSpace::ScaledSpace(std::size_t dim, Metric metric, std::uint64_t seed, const Layout& layout)
    : Space(metric, dim, dim * sizeof(float), layout.stride, false),
      layout_(layout),
      rotation_(dim, seed),
      fine_(kernels::selected_table().fine) {}

float ScaledSpace::encode(const void* input, std::byte* stored) const {
  std::vector<float> rotated(columns());
  std::vector<std::int8_t> codes(columns());
  encode(static_cast<const float*>(input), rotated.data(), codes.data(), true, stored);
  return 1;
}

// A query needs no `lower` bits: what reads those of rows takes it as it came.
void ScaledSpace::encode(const float* input, float* rotated, std::int8_t* codes, bool lower,
                         std::byte* stored) const noexcept {
  const double square = squared_norm(input, columns(), Codec::kF32);
  const double norm = std::sqrt(square);
  const double unit = metric() == Metric::kCosine ? 1 / norm : 1.0;
  for (std::size_t i = 0; i < columns(); ++i) rotated[i] = static_cast<float>(input[i] * unit);
  rotation_.apply(rotated);
  const float largest = largest_of(rotated, columns());
  // Beneath 2^-119 the inverse of a step overflows; such a row is stored as zeros.
  const float step = largest > 0x1p-119F ? largest / static_cast<float>(layout_.top) : 1.0F;
  std::memset(stored, 0, stride());
  if (layout_.more) {
    round_quarters(rotated, columns(), 4 / step, codes);
    if (lower) {
      keep_rest(rotated, columns(), 4 / step, codes,
                reinterpret_cast<unsigned char*>(stored + layout_.low));
    }
  } else {
    round(rotated, columns(), 1 / step, codes);
  }
  pack(codes, stored);
  const bool l2 = metric() == Metric::kL2;
  const Factors f{static_cast<float>(l2 ? square : norm), l2 ? step * kRoot2 : step};
  std::memcpy(stored + layout_.factors, &f, sizeof f);
}

void ScaledSpace::decode(const std::byte* stored, float, void* input) const noexcept {
  const Factors f = factors(stored);
  auto* x = static_cast<float*>(input);
  expand(stored, step_of(f) * (metric() == Metric::kCosine ? f.length : 1.0F), layout_.more, x);
  rotation_.invert(x);
}

void ScaledSpace::unpack(const std::byte* stored, float* x) const noexcept {
  expand(stored, step_of(factors(stored)), false, x);
}

void ScaledSpace::unpack(const Query& query, float* x) const noexcept {
  unpack(static_cast<const std::byte*>(query.data), x);
}

std::size_t ScaledSpace::work_bytes() const noexcept {
  return stride() + input_bytes() + columns();
}

Query ScaledSpace::prepare(const void* input, std::byte* work) const noexcept {
  auto* rotated = reinterpret_cast<float*>(work + stride());
  auto* codes = reinterpret_cast<std::int8_t*>(work + stride() + input_bytes());
  encode(static_cast<const float*>(input), rotated, codes, false, work);
  return from_stored(work);
}

Query ScaledSpace::from_stored(const std::byte* stored) const noexcept {
  const Factors f = factors(stored);
  return {stored, offset(f), f.scale};
}

float ScaledSpace::error(const Query& query, const std::byte* stored) const noexcept {
  const Factors f = factors(stored);
  const float step = coarseness() * f.scale;
  if (metric() == Metric::kL2) {
    return std::sqrt((query.offset * step * step + f.length * query.scale * query.scale) / 6);
  }
  double ours = 1, theirs = 1;
  if (metric() == Metric::kInnerProduct) {
    ours = factors(static_cast<const std::byte*>(query.data)).length;
    theirs = f.length;
  }
  return static_cast<float>(std::hypot(ours * step, theirs * query.scale) / std::sqrt(12.0));
}

void ScaledSpace::finish(const Query& query, const std::byte* base, std::size_t pitch,
                         const Slot* slots, std::size_t count, float* out) const noexcept {
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t slot = slots != nullptr ? slots[i] : i;
    const Factors f = factors(base + slot * pitch);
    out[i] = positive(query.offset + offset(f) - query.scale * f.scale * out[i]);
  }
}

void ScaledSpace::sharper(const Query& query, const std::byte* base, std::size_t pitch,
                          const Slot* slots, std::size_t count, float* out) const noexcept {
  if (!layout_.more) {
    distances(query, base, pitch, slots, count, out);
    return;
  }
  const auto* rotated =
      reinterpret_cast<const float*>(static_cast<const std::byte*>(query.data) + stride());
  const float twice = metric() == Metric::kL2 ? kRoot2 : 1.0F;
  alignas(64) std::int8_t room[kPiece];
  for (std::size_t i = 0; i < count; ++i) {
    const std::byte* stored = base + (slots != nullptr ? slots[i] : i) * pitch;
    const auto* low = reinterpret_cast<const unsigned char*>(stored + layout_.low);
    const Factors f = factors(stored);
    float dot = 0;
    for (std::size_t from = 0; from < columns(); from += kPiece) {
      const std::size_t piece = std::min(kPiece, columns() - from);
      dot += fine_(rotated + from, codes(stored, from, piece, room), low + from / 4, piece);
    }
    out[i] = positive(query.offset + offset(f) - twice * f.scale / 4 * dot);
  }
}

float ScaledSpace::step_of(const Factors& f) const noexcept {
  return metric() == Metric::kL2 ? f.scale / kRoot2 : f.scale;
}

float ScaledSpace::offset(const Factors& f) const noexcept {
  return metric() == Metric::kL2 ? f.length : 0.5F;
}

// Rounding may take a small squared distance below 0.
float ScaledSpace::positive(float distance) const noexcept {
  return metric() == Metric::kL2 && distance < 0 ? 0 : distance;
}

void ScaledSpace::expand(const std::byte* stored, float step, bool whole, float* x) const noexcept {
  alignas(64) std::int8_t room[kPiece];
  const auto* low = reinterpret_cast<const unsigned char*>(stored + layout_.low);
  for (std::size_t from = 0; from < columns(); from += kPiece) {
    const std::size_t count = std::min(kPiece, columns() - from);
    const std::int8_t* high = codes(stored, from, count, room);
    for (std::size_t i = 0; i < count; ++i) x[from + i] = static_cast<float>(high[i]);
    if (!whole) continue;
    for (std::size_t i = 0; i < count; ++i) {
      const int lower = (low[(from + i) / 4] >> (i % 4 * 2) & 3) - 2;
      x[from + i] = x[from + i] * 4 + static_cast<float>(lower);
    }
  }
  const float factor = whole ? step / 4 : step;
  for (std::size_t i = 0; i < columns(); ++i) x[i] *= factor;
}

namespace {

// [int8 x columns, zeros up to a multiple of 4][lower bits, of 10][float length][float scale]
class FlatSpace final : public ScaledSpace {
 public:
  FlatSpace(std::size_t dim, Metric metric, std::uint64_t seed, bool more)
      : ScaledSpace(dim, metric, seed, layout(dim, more)),
        kernel_(kernels::selected_table().dot[kernels::kI8]) {}

  void distances(const Query& query, const std::byte* base, std::size_t pitch, const Slot* slots,
                 std::size_t count, float* out) const noexcept override {
    kernel_.many(query.data, reinterpret_cast<const unsigned char*>(base), pitch, slots, count,
                 columns(), out);
    finish(query, base, pitch, slots, count, out);
  }

 private:
  static Layout layout(std::size_t dim, bool more) {
    const std::size_t low = (dim + 3) / 4 * 4;
    const std::size_t factors = low + (more ? low_bytes(dim) : 0);
    return {factors + sizeof(Factors), factors, low, more, 127};
  }
  void pack(const std::int8_t* codes, std::byte* stored) const noexcept override {
    std::memcpy(stored, codes, columns());
  }
  const std::int8_t* codes(const std::byte* stored, std::size_t from, std::size_t,
                           std::int8_t*) const noexcept override {
    return reinterpret_cast<const std::int8_t*>(stored) + from;
  }

  kernels::Kernel kernel_;
};

}  // namespace

std::unique_ptr<const Space> make_scaled_space(std::size_t dim, Metric metric, std::uint64_t seed,
                                               bool more) {
  return std::make_unique<FlatSpace>(dim, metric, seed, more);
}

}  // namespace annx
