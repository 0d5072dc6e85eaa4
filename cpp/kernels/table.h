// The distance kernels of one instruction set, as a table of functions.
//
// ISA files are compiled with flags of their own, so this header, impl.h, planes.h and short_rows.h
// are the only project headers that they may include, and none may define an inline function with
// external linkage: the linker could keep the copy that an old CPU cannot run.
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

// Codes in planes: each row is `plane` bytes of the codes' upper halves, and as many of their lower
// halves from `lower` on. Byte j holds what belongs to dimension 2 j in its lower 4 bits and to 2 j
// + 1 in its upper; with h and l the halves, a code is 16 h + l - 136, within -127 and 127. The
// query is such a row. out[i] = sum q * r with r the code, or by the upper half alone 16 h - 128.
using Planes = void (*)(const unsigned char* query, const unsigned char* base, std::size_t stride,
                        const std::uint32_t* slots, std::size_t count, std::size_t plane,
                        std::size_t lower, float* out) noexcept;

// The Walsh-Hadamard transform in place, n a power of 2: sums and differences alone, so that every
// instruction set gives the same floats.
using Transform = void (*)(float* x, std::size_t n) noexcept;

// CRC-32 as of zlib: polynomial 0xEDB88320, and all bits inverted before and after.
using Crc32 = std::uint32_t (*)(const unsigned char* data, std::size_t size) noexcept;

struct KernelTable {
  Kernel l2[kTypes];     // sum (q - r)^2
  Kernel dot[kTypes];    // sum q * r
  Kernel hamming;        // differing bits of packed bytes
  Estimate estimate[2];  // by bits of a code - 1
  Fine fine;
  Transform hadamard = nullptr;
  Crc32 crc32 = nullptr;
  Planes planes = nullptr;  // by whole codes
  Planes upper = nullptr;   // by the upper halves of rows' codes
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
