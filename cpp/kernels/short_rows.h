// Loads of AVX-512 for rows shorter than a load. Even what a masked load leaves out is waited for:
// one that reaches beyond the row, into a cache line that no one has asked for, is as slow as a
// miss. So the first half of a load and the half that ends with the row are read, of shorter rows
// the same with quarters, and only what is shorter still by a mask, of 16 bytes. The second of two
// is zero where it repeats the first. Where an element stands follows from how many of a load's
// there are, so that a query and a row of other types agree.
//
// Everything is in an anonymous namespace: see table.h.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace annx::kernels {
namespace {

// Lanes of a half's second: those that the n bytes of both have beyond the first.
inline std::uint64_t beyond(std::size_t half, std::size_t n) noexcept {
  return ~std::uint64_t{0} << (2 * half - n);
}

inline __m128i within_quarter(const unsigned char* p, std::size_t n) noexcept {
  return _mm_maskz_loadu_epi8(static_cast<__mmask16>((1U << n) - 1), p);
}

inline __m128i two_of_4(const unsigned char* p, std::size_t n) noexcept {
  std::int32_t first, last;
  __builtin_memcpy(&first, p, sizeof first);
  __builtin_memcpy(&last, p + n - sizeof last, sizeof last);
  return _mm_unpacklo_epi32(
      _mm_cvtsi32_si128(first),
      _mm_maskz_mov_epi8(static_cast<__mmask16>(beyond(4, n)), _mm_cvtsi32_si128(last)));
}

inline __m128i two_of_8(const unsigned char* p, std::size_t n) noexcept {
  const __m128i first = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
  const __m128i last = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p + n - 8));
  return _mm_unpacklo_epi64(first, _mm_maskz_mov_epi8(static_cast<__mmask16>(beyond(8, n)), last));
}

inline __m256i two_of_16(const unsigned char* p, std::size_t n) noexcept {
  const __m128i first = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  const __m128i last = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + n - 16));
  return _mm256_inserti128_si256(_mm256_castsi128_si256(first),
                                 _mm_maskz_mov_epi8(static_cast<__mmask16>(beyond(16, n)), last),
                                 1);
}

inline __m512i two_of_32(const unsigned char* p, std::size_t n) noexcept {
  const __m256i first = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  const __m256i last = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + n - 32));
  return _mm512_inserti64x4(_mm512_castsi256_si512(first),
                            _mm256_maskz_mov_epi8(static_cast<__mmask32>(beyond(32, n)), last), 1);
}

// The first n bytes of at most 16, 32 or 64 that make a load.
inline __m128i within_16(const void* from, std::size_t n) noexcept {
  const auto* p = static_cast<const unsigned char*>(from);
  if (n >= 8) return two_of_8(p, n);
  return n >= 4 ? two_of_4(p, n) : within_quarter(p, n);
}

inline __m256i within_32(const void* from, std::size_t n) noexcept {
  const auto* p = static_cast<const unsigned char*>(from);
  if (n >= 16) return two_of_16(p, n);
  return _mm256_zextsi128_si256(n >= 8 ? two_of_8(p, n) : within_quarter(p, n));
}

inline __m512i within_64(const void* from, std::size_t n) noexcept {
  const auto* p = static_cast<const unsigned char*>(from);
  if (n >= 32) return two_of_32(p, n);
  if (n >= 16) return _mm512_zextsi256_si512(two_of_16(p, n));
  return _mm512_zextsi128_si512(within_quarter(p, n));
}

}  // namespace
}  // namespace annx::kernels
