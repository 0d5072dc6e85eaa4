// Vectors of float32 rotated and rounded to 8 bits, each with a scale of its own:
//
//   [int8 x columns, zeros up to a multiple of 4][float length][float scale]
//
// or to 10 bits, in the same place the code's upper 8, rounded, and before the factors what is
// left, -2 to 1 plus 2, as 2 bits a column, 4 bytes for each 16 columns. A quarter of a step then
// counts as a step of the whole.
//
// With q' and x' the codes and s the step of a code, every metric is
//   offset(q) + offset(x) - scale(q) scale(x) q'.x'
//   l2: length and offset |x|^2, scale sqrt(2) s;
//   ip, cosine: offset 1/2, scale s, length |x|, which only decoding needs.
// Rounding is uniform within half a step of each coordinate, so that the error of a dot product
// has the variance (|q|^2 s_x^2 + |x|^2 s_q^2) / 12.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "kernels/dispatch.h"
#include "storage/elements.h"
#include "storage/rotation.h"
#include "storage/space.h"

namespace annx {
namespace {

class ScaledSpace : public Space {
 public:
  ScaledSpace(std::size_t dim, Metric metric, std::uint64_t seed, bool more)
      : Space(metric, dim, dim * sizeof(float),
              (dim + 3) / 4 * 4 + (more ? low_bytes(dim) : 0) + sizeof(Factors), false),
        more_(more),
        rotation_(dim, seed),
        kernel_(kernels::selected_table().dot[kernels::kI8]),
        fine_(kernels::selected_table().fine) {}

  float encode(const void* input, std::byte* stored) const override {
    std::vector<float> rotated(columns());
    return encode(static_cast<const float*>(input), rotated.data(), stored);
  }

  void decode(const std::byte* stored, float, void* input) const noexcept override {
    const Factors f = factors(stored);
    auto* x = static_cast<float*>(input);
    expand(stored, step_of(f) * (metric() == Metric::kCosine ? f.length : 1.0F), x);
    rotation_.invert(x);
  }

  // What distances() reads: without the lower bits.
  void unpack(const std::byte* stored, float* x) const noexcept override {
    const float step = step_of(factors(stored));
    const auto* high = reinterpret_cast<const std::int8_t*>(stored);
    for (std::size_t i = 0; i < columns(); ++i) x[i] = step * static_cast<float>(high[i]);
  }
  void unpack(const Query& query, float* x) const noexcept override {
    unpack(static_cast<const std::byte*>(query.data), x);
  }
  bool is_rotated() const noexcept override { return true; }

  std::size_t work_bytes() const noexcept override { return stride() + input_bytes(); }

  Query prepare(const void* input, std::byte* work) const noexcept override {
    auto* rotated = reinterpret_cast<float*>(work + stride());
    encode(static_cast<const float*>(input), rotated, work);
    return from_stored(work);
  }

  Query from_stored(const std::byte* stored) const noexcept override {
    const Factors f = factors(stored);
    return {stored, offset(f), f.scale};
  }

  float error(const Query& query, const std::byte* stored) const noexcept override {
    const Factors f = factors(stored);
    if (metric() == Metric::kL2) {
      return std::sqrt((query.offset * f.scale * f.scale + f.length * query.scale * query.scale) /
                       6);
    }
    // |x| is not stored: a rotated vector's largest coordinate, 127 steps, is some 3.5 times its
    // root mean square.
    return query.scale * f.scale * 36 * std::sqrt(static_cast<float>(columns()) / 6);
  }

  void distances(const Query& query, const std::byte* base, std::size_t pitch, const Slot* slots,
                 std::size_t count, float* out) const noexcept override {
    kernel_.many(query.data, reinterpret_cast<const unsigned char*>(base), pitch, slots, count,
                 columns(), out);
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t slot = slots != nullptr ? slots[i] : i;
      const Factors f = factors(base + slot * pitch);
      out[i] = positive(query.offset + offset(f) - query.scale * f.scale * out[i]);
    }
  }

  bool has_more() const noexcept override { return more_; }

  // The query as it came, not its codes.
  void sharper(const Query& query, const std::byte* base, std::size_t pitch, const Slot* slots,
               std::size_t count, float* out) const noexcept override {
    if (!more_) {
      distances(query, base, pitch, slots, count, out);
      return;
    }
    const auto* rotated =
        reinterpret_cast<const float*>(static_cast<const std::byte*>(query.data) + stride());
    const float twice = metric() == Metric::kL2 ? kRoot2 : 1.0F;
    for (std::size_t i = 0; i < count; ++i) {
      const std::byte* stored = base + (slots != nullptr ? slots[i] : i) * pitch;
      const Factors f = factors(stored);
      const float dot =
          fine_(rotated, reinterpret_cast<const std::int8_t*>(stored), low_of(stored), columns());
      out[i] = positive(query.offset + offset(f) - twice * f.scale / 4 * dot);
    }
  }

 private:
  struct Factors {
    float length;
    float scale;
  };
  static constexpr float kRoot2 = 1.41421356F;

  static constexpr std::size_t low_bytes(std::size_t dim) { return (dim + 15) / 16 * 4; }

  const unsigned char* low_of(const std::byte* stored) const noexcept {
    return reinterpret_cast<const unsigned char*>(stored + (columns() + 3) / 4 * 4);
  }

  float step_of(const Factors& f) const noexcept {
    return metric() == Metric::kL2 ? f.scale / kRoot2 : f.scale;
  }

  void expand(const std::byte* stored, float step, float* x) const noexcept {
    const auto* high = reinterpret_cast<const std::int8_t*>(stored);
    if (!more_) {
      for (std::size_t i = 0; i < columns(); ++i) x[i] = step * static_cast<float>(high[i]);
      return;
    }
    const unsigned char* low = low_of(stored);
    for (std::size_t i = 0; i < columns(); ++i) {
      const int code = 4 * high[i] + (low[i / 4] >> (i % 4 * 2) & 3) - 2;
      x[i] = step / 4 * static_cast<float>(code);
    }
  }

  // Rounding may take a small squared distance below 0.
  float positive(float distance) const noexcept {
    return metric() == Metric::kL2 && distance < 0 ? 0 : distance;
  }

  float offset(const Factors& f) const noexcept {
    return metric() == Metric::kL2 ? f.length : 0.5F;
  }

  Factors factors(const std::byte* stored) const noexcept {
    Factors f;
    std::memcpy(&f, stored + stride() - sizeof f, sizeof f);
    return f;
  }

  float encode(const float* input, float* rotated, std::byte* stored) const noexcept {
    const double square = squared_norm(input, columns(), Codec::kF32);
    const double norm = std::sqrt(square);
    const double unit = metric() == Metric::kCosine ? 1 / norm : 1.0;
    for (std::size_t i = 0; i < columns(); ++i) rotated[i] = static_cast<float>(input[i] * unit);
    rotation_.apply(rotated);
    float largest = 0;
    for (std::size_t i = 0; i < columns(); ++i) largest = std::max(largest, std::abs(rotated[i]));
    // Beneath 2^-119 the inverse of a step overflows; such a row is stored as zeros.
    const float step = largest > 0x1p-119F ? largest / 127 : 1.0F;
    std::memset(stored, 0, stride());
    auto* high = reinterpret_cast<std::int8_t*>(stored);
    if (more_) {
      auto* low = reinterpret_cast<unsigned char*>(stored + (columns() + 3) / 4 * 4);
      const float inverse = 4 / step;
      for (std::size_t i = 0; i < columns(); ++i) {
        const int code = round(rotated[i] * inverse);
        high[i] = static_cast<std::int8_t>((code + 2) >> 2);
        low[i / 4] |= static_cast<unsigned char>(((code + 2) & 3) << (i % 4 * 2));
      }
    } else {
      const float inverse = 1 / step;
      for (std::size_t i = 0; i < columns(); ++i) {
        high[i] = static_cast<std::int8_t>(round(rotated[i] * inverse));
      }
    }
    const bool l2 = metric() == Metric::kL2;
    const Factors f{static_cast<float>(l2 ? square : norm), l2 ? step * kRoot2 : step};
    std::memcpy(stored + stride() - sizeof f, &f, sizeof f);
    return 1;
  }

  // Magic-number rounding to nearest even: vectorises without SSE4.1.
  static std::int32_t round(float x) noexcept {
    const float shifted = x + 0x1.8p23F;
    std::int32_t bits;
    std::memcpy(&bits, &shifted, sizeof bits);
    return bits - 0x4b400000;
  }

  bool more_;
  Rotation rotation_;
  kernels::Kernel kernel_;
  kernels::Fine fine_;
};

}  // namespace

std::unique_ptr<const Space> make_scaled_space(std::size_t dim, Metric metric, std::uint64_t seed,
                                               bool more) {
  return std::make_unique<ScaledSpace>(dim, metric, seed, more);
}

}  // namespace annx
