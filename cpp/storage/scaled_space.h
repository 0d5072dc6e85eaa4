// Vectors of float32 rotated and rounded to 8 bits, each with a scale of its own, or to 10 bits:
// the upper 8, rounded, and what is left, -2 to 1 plus 2, as 2 bits a column, 4 bytes for each 16
// columns. A quarter of a step then counts as a step of the whole.
//
// With q' and x' the codes and s the step of a code, every metric is
//   offset(q) + offset(x) - scale(q) scale(x) q'.x'
//   l2: length and offset |x|^2, scale sqrt(2) s;
//   ip, cosine: offset 1/2, scale s, length |x|, which only decoding needs.
// Rounding is uniform within half a step of each coordinate, so that the error of a dot product
// has the variance (|q|^2 s_x^2 + |x|^2 s_q^2) / 12.
#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/table.h"
#include "storage/rotation.h"
#include "storage/space.h"

namespace annx {

class ScaledSpace : public Space {
 public:
  float encode(const void* input, std::byte* stored) const override;
  void decode(const std::byte* stored, float, void* input) const noexcept override;
  // What distances() reads: without the lower bits.
  void unpack(const std::byte* stored, float* x) const noexcept override;
  void unpack(const Query& query, float* x) const noexcept override;
  bool is_rotated() const noexcept override { return true; }

  // The query as a row, and rotated as it came.
  std::size_t work_bytes() const noexcept override;
  Query prepare(const void* input, std::byte* work) const noexcept override;
  Query from_stored(const std::byte* stored) const noexcept override;
  float error(const Query& query, const std::byte* stored) const noexcept override;

  bool has_more() const noexcept override { return layout_.more; }
  // The query as it came, not its codes.
  void sharper(const Query& query, const std::byte* base, std::size_t pitch, const Slot* slots,
               std::size_t count, float* out) const noexcept override;

 protected:
  // Where a row has what, and its largest code.
  struct Layout {
    std::size_t stride;
    std::size_t factors;
    std::size_t low;  // the lower bits of 10
    bool more;
    std::int32_t top;
  };
  struct Factors {
    float length;
    float scale;
  };

  ScaledSpace(std::size_t dim, Metric metric, std::uint64_t seed, const Layout& layout);

  static constexpr std::size_t low_bytes(std::size_t dim) { return (dim + 15) / 16 * 4; }

  // Writes the codes of 8 bits of a whole row.
  virtual void pack(const std::int8_t* codes, std::byte* stored) const noexcept = 0;
  // Some of them, from a multiple of kPiece on: where they stand, or in `room`.
  static constexpr std::size_t kPiece = 512;
  virtual const std::int8_t* codes(const std::byte* stored, std::size_t from, std::size_t count,
                                   std::int8_t* room) const noexcept = 0;
  // Steps that what near() reads is rounded to.
  virtual float coarseness() const noexcept { return 1; }

  Factors factors(const std::byte* stored) const noexcept {
    Factors f;
    std::memcpy(&f, stored + layout_.factors, sizeof f);
    return f;
  }
  // Dot products of codes to distances.
  void finish(const Query& query, const std::byte* base, std::size_t pitch, const Slot* slots,
              std::size_t count, float* out) const noexcept;

 private:
  void encode(const float* input, float* rotated, std::int8_t* codes, bool lower,
              std::byte* stored) const noexcept;
  float step_of(const Factors& f) const noexcept;
  float offset(const Factors& f) const noexcept;
  float positive(float distance) const noexcept;
  void expand(const std::byte* stored, float step, bool whole, float* x) const noexcept;

  Layout layout_;
  Rotation rotation_;
  kernels::Fine fine_;
};

}  // namespace annx
