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

// A query made ready for the codes of edges: the dot product of the query and a code is
// scale * sum + offset, where the integer sum comes from `data`:
//   2 bits: an int8 a dimension, and sum = sum of code x data;
//   1 bit: 16 bytes for each 4 dimensions, by which of their 4 bits are set (a "FastScan" table,
//   Andre, Kermarrec, Le Scouarnec, VLDB 2015), and sum = sum of table entries, beneath 2^16.
struct EdgeQuery {
  const void* data;
  float scale;
  float offset;
};

// Estimates from 32 edges of a node at distance `near`, with a mask of those beneath `limit`.
//   out[j] = near + weight * A[j] + B[j] * (scale * sum[j] + offset)
// `edges` is 64-byte aligned: 32 words, A in the upper half and B in the lower, each a bfloat16;
// then, for each group of 16 dimensions,
//   2 bits: twice 64 bytes for 16 edges: byte 4 j + e holds dimension 4 s + e of edge j at bit 2 s;
//   1 bit: 64 bytes: byte 16 t + j holds dimensions 4 t to 4 t + 3, of edge j in its lower half
//   and of edge j + 16 in its upper.
using Estimate = std::uint32_t (*)(const EdgeQuery& query, const unsigned char* edges,
                                   std::size_t groups, float near, float weight, float limit,
                                   float* out) noexcept;

// sum q * (4 high + low - 2) over codes of 8 and 2 bits; 4 bytes of `low` hold 16 dimensions, from
// the lowest bits up, zeros past the end.
using Fine = float (*)(const float* query, const std::int8_t* high, const unsigned char* low,
                       std::size_t dim) noexcept;

// CRC-32 as of zlib: polynomial 0xEDB88320, and all bits inverted before and after.
using Crc32 = std::uint32_t (*)(const unsigned char* data, std::size_t size) noexcept;

struct KernelTable {
  Kernel l2[kTypes];     // sum (q - r)^2
  Kernel dot[kTypes];    // sum q * r
  Kernel hamming;        // differing bits of packed bytes
  Estimate estimate[2];  // by bits of a code - 1
  Fine fine;
  Crc32 crc32 = nullptr;
};

// Tables of the instruction sets; an entry that an extension file does not improve is null.
extern const KernelTable kScalar;
extern const KernelTable kPclmul;
extern const KernelTable kAvx2;
extern const KernelTable kAvx512;
extern const KernelTable kAvx512Vnni;
extern const KernelTable kAvx512Bf16;
extern const KernelTable kAvx512Popcnt;

}  // namespace annx::kernels
