// Intrinsics that annx uses and SIMDe 0.7.4 lacks, by their definition in Intel's guide.
// A kernel that needs another one fails to compile here with "target specific option
// mismatch" and its name: add it below.
#pragma once

#include <cstdint>
#include <cstring>

namespace emulated {

// Touches the selected lanes alone, as the hardware does, so that AddressSanitizer sees a
// kernel that reads past the end of a row.
template <class Reg, class Lane>
inline Reg maskz_load(std::uint64_t mask, const void* p) {
  Lane lanes[sizeof(Reg) / sizeof(Lane)] = {};
  for (std::size_t i = 0; i < sizeof(Reg) / sizeof(Lane); ++i) {
    if (mask >> i & 1) {
      std::memcpy(lanes + i, static_cast<const char*>(p) + i * sizeof(Lane), sizeof(Lane));
    }
  }
  Reg out;
  std::memcpy(&out, lanes, sizeof out);
  return out;
}

template <class From, class To>
inline __m512i widen(__m256i x) {
  From narrow[32 / sizeof(From)];
  To wide[64 / sizeof(To)];
  std::memcpy(narrow, &x, sizeof x);
  for (std::size_t i = 0; i < 32 / sizeof(From); ++i) wide[i] = narrow[i];
  __m512i out;
  std::memcpy(&out, wide, sizeof out);
  return out;
}

template <class From>
inline __m512i widen_bytes(__m128i x) {
  From narrow[16];
  std::int32_t wide[16];
  std::memcpy(narrow, &x, sizeof x);
  for (std::size_t i = 0; i < 16; ++i) wide[i] = narrow[i];
  __m512i out;
  std::memcpy(&out, wide, sizeof out);
  return out;
}

inline __m512i srai_epi32(__m512i x, unsigned count) {
  std::int32_t lanes[16];
  std::memcpy(lanes, &x, sizeof x);
  for (std::int32_t& lane : lanes) lane >>= count < 31 ? count : 31;
  __m512i out;
  std::memcpy(&out, lanes, sizeof out);
  return out;
}

inline __m512 cvtepi32_ps(__m512i x) {
  std::int32_t from[16];
  float to[16];
  std::memcpy(from, &x, sizeof x);
  for (std::size_t i = 0; i < 16; ++i) to[i] = static_cast<float>(from[i]);
  __m512 out;
  std::memcpy(&out, to, sizeof out);
  return out;
}

inline __m512 cvtph_ps(__m256i x) {
  const __m256 halves[2] = {_mm256_cvtph_ps(_mm256_castsi256_si128(x)),
                            _mm256_cvtph_ps(_mm256_extracti128_si256(x, 1))};
  __m512 out;
  std::memcpy(&out, halves, sizeof out);
  return out;
}

template <class Reg>
inline __m512i zero_extend(Reg x) {
  __m512i out = {};
  std::memcpy(&out, &x, sizeof x);
  return out;
}

// Halves are added until one lane is left, which is the order of GCC's and Clang's code.
template <class Lane, class Reg>
inline Lane reduce_add(Reg x) {
  Lane lanes[sizeof(Reg) / sizeof(Lane)];
  std::memcpy(lanes, &x, sizeof x);
  for (std::size_t n = sizeof(Reg) / sizeof(Lane) / 2; n > 0; n /= 2) {
    for (std::size_t i = 0; i < n; ++i) lanes[i] += lanes[i + n];
  }
  return lanes[0];
}

}  // namespace emulated

// Newer SIMDe has some of these.
#undef _mm256_maskz_loadu_epi8
#undef _mm256_maskz_loadu_epi16
#undef _mm512_maskz_loadu_epi8
#undef _mm512_maskz_loadu_epi16
#undef _mm512_maskz_loadu_epi32
#undef _mm512_maskz_loadu_ps
#undef _mm512_cvtepu8_epi16
#undef _mm512_cvtepu16_epi32
#undef _mm512_cvtph_ps
#undef _mm512_reduce_add_ps
#undef _mm512_reduce_add_epi32
#undef _mm512_reduce_add_epi64

#define _mm256_maskz_loadu_epi8(...) emulated::maskz_load<__m256i, std::uint8_t>(__VA_ARGS__)
#define _mm256_maskz_loadu_epi16(...) emulated::maskz_load<__m256i, std::uint16_t>(__VA_ARGS__)
#define _mm512_maskz_loadu_epi8(...) emulated::maskz_load<__m512i, std::uint8_t>(__VA_ARGS__)
#define _mm512_maskz_loadu_epi16(...) emulated::maskz_load<__m512i, std::uint16_t>(__VA_ARGS__)
#define _mm512_maskz_loadu_epi32(...) emulated::maskz_load<__m512i, std::uint32_t>(__VA_ARGS__)
#define _mm512_maskz_loadu_ps(...) emulated::maskz_load<__m512, float>(__VA_ARGS__)
#define _mm512_cvtepu8_epi16(...) emulated::widen<std::uint8_t, std::uint16_t>(__VA_ARGS__)
#define _mm512_cvtepu16_epi32(...) emulated::widen<std::uint16_t, std::uint32_t>(__VA_ARGS__)
#define _mm512_cvtph_ps(...) emulated::cvtph_ps(__VA_ARGS__)
#define _mm512_reduce_add_ps(...) emulated::reduce_add<float>(__VA_ARGS__)
#define _mm512_reduce_add_epi32(...) \
  static_cast<int>(emulated::reduce_add<std::uint32_t>(__VA_ARGS__))
#define _mm512_reduce_add_epi64(...) \
  static_cast<long long>(emulated::reduce_add<std::uint64_t>(__VA_ARGS__))

// SIMDe 0.7.4 gives this alias the four arguments of the masked form.
#undef _mm512_madd_epi16
#define _mm512_madd_epi16(...) simde_mm512_madd_epi16(__VA_ARGS__)
#undef _mm_maskz_loadu_epi8
#undef _mm512_cvtepi8_epi32
#undef _mm512_cvtepu8_epi32
#undef _mm512_cvtepi32_ps
#undef _mm512_srai_epi32
#define _mm_maskz_loadu_epi8(mask, p) (emulated::maskz_load<__m128i, std::uint8_t>(mask, p))
#define _mm512_cvtepi8_epi32(x) (emulated::widen_bytes<std::int8_t>(x))
#define _mm512_cvtepu8_epi32(x) (emulated::widen_bytes<std::uint8_t>(x))
#define _mm512_srai_epi32(x, count) (emulated::srai_epi32(x, count))
#define _mm512_cvtepi32_ps(x) (emulated::cvtepi32_ps(x))
#undef _mm512_zextsi128_si512
#undef _mm512_zextsi256_si512
#define _mm512_zextsi128_si512(x) (emulated::zero_extend<__m128i>(x))
#define _mm512_zextsi256_si512(x) (emulated::zero_extend<__m256i>(x))
