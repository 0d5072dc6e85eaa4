// How vectors are stored and compared: the seam between the graph, which knows only slots and
// distances, and metrics, element types, codes and kernels.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "base/types.h"

namespace annx {

// A vector made ready for comparison with stored rows.
struct Query {
  const void* data = nullptr;
  float offset = 0;   // what the query's side adds to each distance, and
  float scale = 1;    // what it multiplies each dot product by, in spaces that have these
  bool wide = false;  // the elements are float32 where rows have less
};

// Why a row cannot be stored.
enum class Defect { kNaN, kInfinite, kOverflow, kZero };

class Space {
 public:
  virtual ~Space() = default;

  Metric metric() const noexcept { return metric_; }
  std::size_t columns() const noexcept { return columns_; }
  // Bytes of an input row and of a stored one.
  std::size_t input_bytes() const noexcept { return input_bytes_; }
  std::size_t stride() const noexcept { return stride_; }
  // Stored rows are unit vectors, and their norms are kept beside them.
  bool normalises() const noexcept { return normalises_; }

  // Writes stride() bytes; returns |input| where normalises(), else 1. `input` has no defect.
  virtual float encode(const void* input, std::byte* stored) const = 0;
  // The inverse, as near as the code allows; `norm` as returned by encode.
  virtual void decode(const std::byte* stored, float norm, void* input) const noexcept = 0;

  // `work` has work_bytes() bytes and lives as long as the query.
  virtual std::size_t work_bytes() const noexcept { return stride_; }
  virtual Query prepare(const void* input, std::byte* work) const noexcept = 0;
  virtual Query from_stored(const std::byte* stored) const noexcept = 0;

  // A walk over the graph may compare by the first bytes of each row alone; see near().
  virtual std::size_t near_bytes() const noexcept { return stride_; }
  bool is_coarse() const noexcept { return near_bytes() < stride_; }
  // Standard deviation of what near() gives; 0 where that is exact.
  virtual float error(const Query&, const std::byte*) const noexcept { return 0; }

  // Distances of rows base + slots[i] * pitch, or of `count` rows in sequence if `slots` is null.
  virtual void distances(const Query& query, const std::byte* base, std::size_t pitch,
                         const Slot* slots, std::size_t count, float* out) const noexcept = 0;

  // The same as a walk compares them.
  virtual void near(const Query& query, const std::byte* base, std::size_t pitch, const Slot* slots,
                    std::size_t count, float* out) const noexcept {
    distances(query, base, pitch, slots, count, out);
  }

  // Rows hold more than distances() reads, and sharper() reads all of it.
  virtual bool has_more() const noexcept { return false; }
  // As distances(), for a query that prepare() made.
  virtual void sharper(const Query& query, const std::byte* base, std::size_t pitch,
                       const Slot* slots, std::size_t count, float* out) const noexcept {
    distances(query, base, pitch, slots, count, out);
  }

  // The vector behind a stored row, as columns() numbers whose distances are those of rows, up to
  // one rotation of all vectors alike; it is a random one already where is_rotated().
  virtual void unpack(const std::byte* stored, float* x) const noexcept = 0;
  virtual void unpack(const Query& query, float* x) const noexcept = 0;
  virtual bool is_rotated() const noexcept { return false; }

 protected:
  Space(Metric metric, std::size_t columns, std::size_t input_bytes, std::size_t stride,
        bool normalises)
      : metric_(metric),
        normalises_(normalises),
        columns_(columns),
        input_bytes_(input_bytes),
        stride_(stride) {}

 private:
  Metric metric_;
  bool normalises_;
  std::size_t columns_;
  std::size_t input_bytes_;
  std::size_t stride_;
};

// Elements stored as they come. With `wide`, rows of "f16", "i8" or "u8" come in as float32,
// rounded for f16 and whole numbers in range for the others; queries may be any float32, and
// distances are exact for what is stored.
std::unique_ptr<const Space> make_plain_space(std::size_t dim, Metric metric, Codec codec,
                                              bool wide);
// float32 in, rotated and rounded to 8 bits with a scale per vector; with `more`, to 10 bits, of
// which distances() reads 8.
std::unique_ptr<const Space> make_scaled_space(std::size_t dim, Metric metric, std::uint64_t seed,
                                               bool more);
// The same, with the upper 4 bits of all codes first in a row, by which near() compares.
std::unique_ptr<const Space> make_planes_space(std::size_t dim, Metric metric, std::uint64_t seed,
                                               bool more);

}  // namespace annx
