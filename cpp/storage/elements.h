// Element types of input rows: their sizes, kernels, norms and defects.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/types.h"
#include "kernels/table.h"
#include "storage/space.h"

namespace annx {

std::size_t element_bytes(Codec codec);
kernels::Type kernel_type(Codec codec);

// A row's elements times `scale`, and the inverse of that at 1: rounded for f16, and whole numbers
// in range for i8 and u8. Not for packed bits.
void to_floats(const void* row, std::size_t columns, Codec codec, float scale, float* x) noexcept;
void from_floats(const float* x, std::size_t columns, Codec codec, void* row) noexcept;

float from_half(std::uint16_t bits) noexcept;
// To nearest, ties to even; infinite above 65504.
std::uint16_t to_half(float value) noexcept;

// |row|^2, in double and in a fixed order, so that equal rows are stored alike everywhere.
double squared_norm(const void* row, std::size_t columns, Codec codec) noexcept;

// Why a row of input cannot be stored under this metric.
std::optional<Defect> find_defect(const void* row, std::size_t columns, Codec codec,
                                  Metric metric) noexcept;

}  // namespace annx
