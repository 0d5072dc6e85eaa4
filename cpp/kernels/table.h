// The distance kernels of one instruction set, as a table of functions.
//
// ISA files are compiled with flags of their own, so this header and impl.h are the only project
// headers that they may include, and neither may define an inline function with external linkage:
// the linker could keep the copy that an old CPU cannot run.
#pragma once

#include <cstddef>
#include <cstdint>

namespace annx::kernels {

// One query against one row, both of `dim` elements (bytes for hamming), at any address.
using One = float (*)(const void* query, const void* row, std::size_t dim) noexcept;

// One query against `count` rows of `stride` bytes. Row i is base + slots[i] * stride, or base + i
// * stride where `slots` is null.
using Many = void (*)(const void* query, const unsigned char* base, std::size_t stride,
                      const std::uint32_t* slots, std::size_t count, std::size_t dim,
                      float* out) noexcept;

struct Kernel {
  One one;
  Many many;
};

// Element types of a row and its query; those named ...ByF32 have a query of float32.
enum Type : unsigned { kF32, kF16, kBF16, kI8, kU8, kF16ByF32, kI8ByF32, kU8ByF32, kTypes };

struct KernelTable {
  Kernel l2[kTypes];   // sum (q - r)^2
  Kernel dot[kTypes];  // sum q * r
  Kernel hamming;      // differing bits of packed bytes
};

// Tables of the instruction sets; an entry that an extension file does not improve is null.
extern const KernelTable kScalar;
extern const KernelTable kAvx2;
extern const KernelTable kAvx512;
extern const KernelTable kAvx512Vnni;
extern const KernelTable kAvx512Bf16;
extern const KernelTable kAvx512Popcnt;

}  // namespace annx::kernels
