// Is a stored row one that was ever written?
#pragma once

#include <cstddef>

#include "base/types.h"
#include "kernels/table.h"

namespace annx {

// How rows are laid out: see docs/file-format.md.
struct RowFormat {
  Metric metric = Metric::kL2;
  Codec codec = Codec::kF32;
  bool scaled = false;      // codes with factors, of 8 bits each,
  bool more = false;        // or of 10,
  bool planes = false;      // in two planes
  std::size_t dim = 0;      // elements
  std::size_t columns = 0;  // the same, or bytes of bits
  std::size_t stride = 0;
};

RowFormat plain_format(Metric metric, Codec codec, std::size_t dim);
RowFormat scaled_format(Metric metric, std::size_t dim, bool more, bool planes);

class RowCheck {
 public:
  explicit RowCheck(const RowFormat& format);

  // What is wrong with a row, or null. `free`: its slot holds nothing.
  const char* defect(const std::byte* row, bool free) const noexcept;
  const RowFormat& format() const noexcept { return format_; }
  // Bytes of the elements, without padding and factors.
  std::size_t element_bytes() const noexcept { return bytes_; }

 private:
  const char* elements(const std::byte* row) const noexcept;
  const char* codes(const std::byte* row) const noexcept;
  double square_of_codes(const std::byte* row) const noexcept;

  RowFormat format_;
  std::size_t bytes_;
  std::size_t padding_end_;
  std::size_t factors_, lower_;  // where codes have theirs, and the lower bits of 10
  bool has_scale_;
  bool unit_;
  kernels::One square_;
};

}  // namespace annx
