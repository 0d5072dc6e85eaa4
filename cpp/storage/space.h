// How vectors are stored and compared: metric, element type and kernels. The seam between the
// graph, which knows only slots and distances, and the codecs.
#pragma once

#include <cstddef>
#include <optional>

#include "base/types.h"
#include "kernels/table.h"

namespace annx {

// A vector made ready for comparison with stored rows.
struct Query {
  const void* data = nullptr;
  float scale = 1;  // 1 / |query| where rows carry a scale
};

// Why a row cannot be stored.
enum class Defect { kNaN, kInfinite, kOverflow, kZero };

class Space {
 public:
  Space(std::size_t dim, Metric metric, Codec codec);

  std::size_t columns() const noexcept { return columns_; }
  // Bytes of an input row and of a stored one.
  std::size_t input_bytes() const noexcept { return input_bytes_; }
  std::size_t stride() const noexcept { return stride_; }
  Codec codec() const noexcept { return codec_; }
  Metric metric() const noexcept { return metric_; }
  // Input rows are stored as unit vectors, and their norms beside them.
  bool normalises() const noexcept { return metric_ == Metric::kCosine && !has_scale_; }

  std::optional<Defect> defect(const void* input) const noexcept;

  // Writes stride() bytes; returns |input| (1 where nothing needs it).
  float encode(const void* input, std::byte* stored) const noexcept;
  // The inverse, into input_bytes(); `norm` as returned by encode.
  void decode(const std::byte* stored, float norm, void* input) const noexcept;

  // `work` has room for stride() bytes and lives as long as the query.
  Query prepare(const void* input, std::byte* work) const noexcept;
  Query from_stored(const std::byte* stored) const noexcept;

  // Distances of rows base + slots[i] * stride(), or of `count` rows in sequence if `slots` is
  // null.
  void distances(const Query& query, const std::byte* base, const Slot* slots, std::size_t count,
                 float* out) const noexcept;

 private:
  float scale_of(const std::byte* stored) const noexcept;
  double element(const void* input, std::size_t i) const noexcept;
  double squared_norm(const void* input) const noexcept;

  Metric metric_;
  Codec codec_;
  bool has_scale_;
  std::size_t columns_;
  std::size_t input_bytes_;
  std::size_t stride_;
  kernels::Kernel kernel_;
  kernels::Kernel dot_;  // of the codec's elements, for norms
};

}  // namespace annx
