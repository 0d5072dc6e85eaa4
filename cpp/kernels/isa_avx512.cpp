// AVX-512 F, BW, DQ and VL: Intel from Skylake-SP (2017), AMD from Zen 4.
#include <immintrin.h>

#include "impl.h"

namespace annx::kernels {
namespace {

struct Avx512Float {
  using Reg = __m512;
  static constexpr std::size_t kStep = 16;
  static __mmask16 first(std::size_t n) noexcept { return static_cast<__mmask16>((1U << n) - 1); }
  static Reg widen(Half, __m256i x) noexcept { return _mm512_cvtph_ps(x); }
  static Reg widen(BFloat, __m256i x) noexcept {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16));
  }
  static Reg load(const float* p) noexcept { return _mm512_loadu_ps(p); }
  template <class T>
  static Reg load(const T* p) noexcept {
    return widen(T{}, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static Reg load(const std::int8_t* p) noexcept {
    const __m128i x = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(x));
  }
  static Reg load(const std::uint8_t* p) noexcept {
    const __m128i x = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(x));
  }
  static Reg load_tail(const std::int8_t* p, std::size_t n) noexcept {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(first(n), p)));
  }
  static Reg load_tail(const std::uint8_t* p, std::size_t n) noexcept {
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(first(n), p)));
  }
  static Reg load_tail(const float* p, std::size_t n) noexcept {
    return _mm512_maskz_loadu_ps(first(n), p);
  }
  template <class T>
  static Reg load_tail(const T* p, std::size_t n) noexcept {
    return widen(T{}, _mm256_maskz_loadu_epi16(first(n), p));
  }
  static Reg zero() noexcept { return _mm512_setzero_ps(); }
  static Reg add(Reg a, Reg b) noexcept { return _mm512_add_ps(a, b); }
  static Reg sub(Reg a, Reg b) noexcept { return _mm512_sub_ps(a, b); }
  static Reg fma(Reg a, Reg b, Reg c) noexcept { return _mm512_fmadd_ps(a, b, c); }
  static float sum(Reg a) noexcept { return _mm512_reduce_add_ps(a); }
};

struct Avx512Byte {
  using Reg = __m512i;
  static constexpr std::size_t kStep = 32;
  static Reg widen(std::int8_t, __m256i x) noexcept { return _mm512_cvtepi8_epi16(x); }
  static Reg widen(std::uint8_t, __m256i x) noexcept { return _mm512_cvtepu8_epi16(x); }
  template <class T>
  static Reg load(const T* p) noexcept {
    return widen(T{}, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  template <class T>
  static Reg load_tail(const T* p, std::size_t n) noexcept {
    return widen(T{}, _mm256_maskz_loadu_epi8((std::uint32_t{1} << n) - 1, p));
  }
  static Reg zero() noexcept { return _mm512_setzero_si512(); }
  static Reg add(Reg a, Reg b) noexcept { return _mm512_add_epi32(a, b); }
  static Reg sub(Reg a, Reg b) noexcept { return _mm512_sub_epi16(a, b); }
  static Reg madd(Reg acc, Reg a, Reg b) noexcept {
    return _mm512_add_epi32(acc, _mm512_madd_epi16(a, b));
  }
  static std::int32_t sum(Reg a) noexcept { return _mm512_reduce_add_epi32(a); }
};

struct Avx512Bits {
  using Reg = __m512i;
  static constexpr std::size_t kStep = 64;
  static Reg load(const std::uint8_t* p) noexcept { return _mm512_loadu_si512(p); }
  static Reg load_tail(const std::uint8_t* p, std::size_t n) noexcept {
    return _mm512_maskz_loadu_epi8((std::uint64_t{1} << n) - 1, p);
  }
  static Reg zero() noexcept { return _mm512_setzero_si512(); }
  static Reg add(Reg a, Reg b) noexcept { return _mm512_add_epi64(a, b); }
  // Bit counts of nibbles by table (Mula, Kurz, Lemire 2018, section 2.2).
  static Reg differ(Reg acc, Reg a, Reg b) noexcept {
    const Reg table =
        _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
    const Reg low = _mm512_set1_epi8(15);
    const Reg x = _mm512_xor_si512(a, b);
    const Reg counts =
        _mm512_add_epi8(_mm512_shuffle_epi8(table, _mm512_and_si512(x, low)),
                        _mm512_shuffle_epi8(table, _mm512_and_si512(_mm512_srli_epi16(x, 4), low)));
    return _mm512_add_epi64(acc, _mm512_sad_epu8(counts, _mm512_setzero_si512()));
  }
  static std::int64_t sum(Reg a) noexcept { return _mm512_reduce_add_epi64(a); }
};

}  // namespace

constinit const KernelTable kAvx512 = table<Avx512Float, Avx512Byte, Avx512Bits>();

}  // namespace annx::kernels
