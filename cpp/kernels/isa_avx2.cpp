// AVX2, FMA and F16C: Intel from Haswell (2013), AMD from Excavator and Zen.
#include <immintrin.h>

#include "impl.h"

namespace annx::kernels {
namespace {

struct Avx2Float {
  using Reg = __m256;
  static constexpr std::size_t kStep = 8;
  static Reg load(const float* p) noexcept { return _mm256_loadu_ps(p); }
  static Reg load(const Half* p) noexcept {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static Reg load(const BFloat* p) noexcept {
    const __m128i x = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(x), 16));
  }
  static Reg load(const std::int8_t* p) noexcept {
    const __m128i x = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(x));
  }
  static Reg load(const std::uint8_t* p) noexcept {
    const __m128i x = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(x));
  }
  static Reg load_tail(const float* p, std::size_t n) noexcept {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_maskload_ps(p, _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), lane));
  }
  template <class T>
  static Reg load_tail(const T* p, std::size_t n) noexcept {
    T padded[kStep] = {};
    copy_tail(padded, p, n);
    return load(padded);
  }
  static Reg zero() noexcept { return _mm256_setzero_ps(); }
  static Reg add(Reg a, Reg b) noexcept { return _mm256_add_ps(a, b); }
  static Reg sub(Reg a, Reg b) noexcept { return _mm256_sub_ps(a, b); }
  static Reg fma(Reg a, Reg b, Reg c) noexcept { return _mm256_fmadd_ps(a, b, c); }
  static float sum(Reg a) noexcept {
    __m128 x = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    x = _mm_add_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)));
  }
};

struct Avx2Byte {
  using Reg = __m256i;
  static constexpr std::size_t kStep = 16;
  static Reg load(const std::int8_t* p) noexcept {
    return _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static Reg load(const std::uint8_t* p) noexcept {
    return _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  template <class T>
  static Reg load_tail(const T* p, std::size_t n) noexcept {
    T padded[kStep] = {};
    copy_tail(padded, p, n);
    return load(padded);
  }
  static Reg zero() noexcept { return _mm256_setzero_si256(); }
  static Reg add(Reg a, Reg b) noexcept { return _mm256_add_epi32(a, b); }
  static Reg sub(Reg a, Reg b) noexcept { return _mm256_sub_epi16(a, b); }
  static Reg madd(Reg acc, Reg a, Reg b) noexcept {
    return _mm256_add_epi32(acc, _mm256_madd_epi16(a, b));
  }
  static std::int32_t sum(Reg a) noexcept {
    __m128i x = _mm_add_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    x = _mm_add_epi32(x, _mm_unpackhi_epi64(x, x));
    return _mm_cvtsi128_si32(_mm_add_epi32(x, _mm_shuffle_epi32(x, 1)));
  }
};

struct Avx2Bits {
  using Reg = __m256i;
  static constexpr std::size_t kStep = 32;
  static Reg load(const std::uint8_t* p) noexcept {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  }
  static Reg load_tail(const std::uint8_t* p, std::size_t n) noexcept {
    std::uint8_t padded[kStep] = {};
    copy_tail(padded, p, n);
    return load(padded);
  }
  static Reg zero() noexcept { return _mm256_setzero_si256(); }
  static Reg add(Reg a, Reg b) noexcept { return _mm256_add_epi64(a, b); }
  // Bit counts of nibbles by table (Mula, Kurz, Lemire 2018, section 2.2).
  static Reg differ(Reg acc, Reg a, Reg b) noexcept {
    const Reg table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,  //
                                       0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    const Reg low = _mm256_set1_epi8(15);
    const Reg x = _mm256_xor_si256(a, b);
    const Reg counts =
        _mm256_add_epi8(_mm256_shuffle_epi8(table, _mm256_and_si256(x, low)),
                        _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(x, 4), low)));
    return _mm256_add_epi64(acc, _mm256_sad_epu8(counts, _mm256_setzero_si256()));
  }
  static std::int64_t sum(Reg a) noexcept {
    const __m128i x = _mm_add_epi64(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    return _mm_cvtsi128_si64(_mm_add_epi64(x, _mm_unpackhi_epi64(x, x)));
  }
};

}  // namespace

constinit const KernelTable kAvx2 = table<Avx2Float, Avx2Byte, Avx2Bits>();

}  // namespace annx::kernels
