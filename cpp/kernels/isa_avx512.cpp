// AVX-512 F, BW, DQ and VL: Intel from Skylake-SP (2017), AMD from Zen 4.
#include <immintrin.h>

#include "impl.h"
#include "short_rows.h"

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
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(within_16(p, n)));
  }
  static Reg load_tail(const std::uint8_t* p, std::size_t n) noexcept {
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(within_16(p, n)));
  }
  static Reg load_tail(const float* p, std::size_t n) noexcept {
    return _mm512_castsi512_ps(within_64(p, n * sizeof(float)));
  }
  template <class T>
  static Reg load_tail(const T* p, std::size_t n) noexcept {
    return widen(T{}, within_32(p, n * sizeof(T)));
  }
  template <class T>
  static Reg load_last(const T* p, std::size_t n) noexcept {
    return _mm512_maskz_mov_ps(static_cast<__mmask16>(~first(kStep - n)), load(p + n - kStep));
  }
  static Reg zero() noexcept { return _mm512_setzero_ps(); }
  static Reg add(Reg a, Reg b) noexcept { return _mm512_add_ps(a, b); }
  static Reg sub(Reg a, Reg b) noexcept { return _mm512_sub_ps(a, b); }
  static Reg fma(Reg a, Reg b, Reg c) noexcept { return _mm512_fmadd_ps(a, b, c); }
  static float sum(Reg a) noexcept { return _mm512_reduce_add_ps(a); }
  static void first_steps(float* x) noexcept {
    _mm512_storeu_ps(x, one_step<8>(one_step<4>(one_step<2>(one_step<1>(load(x))))));
  }
  // Instead of each two numbers kApart their sum and their difference.
  template <int kApart>
  static Reg one_step(Reg a) noexcept {
    const __m512i own = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const Reg others = _mm512_permutexvar_ps(_mm512_xor_si512(own, _mm512_set1_epi32(kApart)), a);
    constexpr auto kSecond = static_cast<__mmask16>(0xffff / (1 + (1 << kApart)) << kApart);
    return _mm512_mask_sub_ps(add(a, others), kSecond, others, a);
  }
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
    return widen(T{}, within_32(p, n));
  }
  template <class T>
  static Reg load_last(const T* p, std::size_t n) noexcept {
    return _mm512_maskz_mov_epi16(~std::uint32_t{0} << (kStep - n), load(p + n - kStep));
  }
  static Reg zero() noexcept { return _mm512_setzero_si512(); }
  static Reg add(Reg a, Reg b) noexcept { return _mm512_add_epi32(a, b); }
  static Reg sub(Reg a, Reg b) noexcept { return _mm512_sub_epi16(a, b); }
  static Reg madd(Reg acc, Reg a, Reg b) noexcept {
    return _mm512_add_epi32(acc, _mm512_madd_epi16(a, b));
  }
  static std::int32_t sum(Reg a) noexcept { return _mm512_reduce_add_epi32(a); }
  // Two rounds of interleaving and adding leave the four sums side by side in each quarter.
  static void sum_four(Reg a, Reg b, Reg c, Reg d, std::int32_t bias, float* out) noexcept {
    const Reg x = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    const Reg y = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    const Reg z = _mm512_add_epi32(_mm512_unpacklo_epi64(x, y), _mm512_unpackhi_epi64(x, y));
    const __m256i half =
        _mm256_add_epi32(_mm512_castsi512_si256(z), _mm512_extracti64x4_epi64(z, 1));
    const __m128i sums =
        _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
    _mm_storeu_ps(out, _mm_cvtepi32_ps(_mm_add_epi32(sums, _mm_set1_epi32(bias))));
  }
};

struct Avx512Bits {
  using Reg = __m512i;
  static constexpr std::size_t kStep = 64;
  static Reg load(const std::uint8_t* p) noexcept { return _mm512_loadu_si512(p); }
  static Reg load_tail(const std::uint8_t* p, std::size_t n) noexcept { return within_64(p, n); }
  static Reg load_last(const std::uint8_t* p, std::size_t n) noexcept {
    return _mm512_maskz_mov_epi8(~std::uint64_t{0} << (kStep - n), load(p + n - kStep));
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

struct Avx512Edges {
  static constexpr unsigned kLanes = 16;
  // Bytes are summed in pairs into 16 bits, and their upper halves once more, to be taken off.
  static void one_bit(std::int32_t* sums, const unsigned char* query, const unsigned char* codes,
                      std::size_t groups) noexcept {
    const __m512i nibble = _mm512_set1_epi8(15);
    __m512i even0 = _mm512_setzero_si512(), odd0 = even0, even1 = even0, odd1 = even0;
    for (std::size_t i = 0; i < 64 * groups; i += 64) {
      const __m512i code = _mm512_loadu_si512(codes + i), table = _mm512_loadu_si512(query + i);
      const __m512i a = _mm512_shuffle_epi8(table, _mm512_and_si512(code, nibble));
      const __m512i b =
          _mm512_shuffle_epi8(table, _mm512_and_si512(_mm512_srli_epi16(code, 4), nibble));
      even0 = _mm512_add_epi16(even0, a);
      odd0 = _mm512_add_epi16(odd0, _mm512_srli_epi16(a, 8));
      even1 = _mm512_add_epi16(even1, b);
      odd1 = _mm512_add_epi16(odd1, _mm512_srli_epi16(b, 8));
    }
    spread(sums, even0, odd0);
    spread(sums + 16, even1, odd1);
  }

  static void two_bits(std::int32_t* sums, const std::int8_t* query, const unsigned char* codes,
                       std::size_t groups) noexcept {
    // 16-bit lanes take 10 groups of 4 products of pairs, each within 2 x 3 x 128.
    constexpr std::size_t kGroups = 10;
    const __m512i ones = _mm512_set1_epi16(1);
    __m512i total[2] = {};
    for (std::size_t from = 0; from < groups; from += kGroups) {
      const std::size_t to = from + kGroups < groups ? from + kGroups : groups;
      __m512i sum[2] = {};
      for (std::size_t g = from; g < to; ++g) {
        for (unsigned part = 0; part < 2; ++part) {
          const __m512i code = _mm512_loadu_si512(codes + 128 * g + 64 * part);
          const std::int8_t* q = query + 16 * g;
          const __m512i near = _mm512_add_epi16(product<0>(code, q), product<2>(code, q + 4));
          const __m512i far = _mm512_add_epi16(product<4>(code, q + 8), product<6>(code, q + 12));
          sum[part] = _mm512_add_epi16(sum[part], _mm512_add_epi16(near, far));
        }
      }
      for (unsigned part = 0; part < 2; ++part) {
        total[part] = _mm512_add_epi32(total[part], _mm512_madd_epi16(sum[part], ones));
      }
    }
    _mm512_storeu_si512(sums, total[0]);
    _mm512_storeu_si512(sums + 16, total[1]);
  }

  static std::uint32_t combine(const EdgeQuery& query, const std::int32_t* sums,
                               const std::uint32_t* factors, float near, float weight, float limit,
                               float* out) noexcept {
    const __m512i both = _mm512_loadu_si512(factors);
    const __m512 a = _mm512_castsi512_ps(_mm512_and_si512(both, _mm512_set1_epi32(-65536)));
    const __m512 b = _mm512_castsi512_ps(_mm512_slli_epi32(both, 16));
    const __m512 dot = _mm512_add_ps(
        _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_loadu_si512(sums)), _mm512_set1_ps(query.scale)),
        _mm512_set1_ps(query.offset));
    const __m512 base =
        _mm512_add_ps(_mm512_set1_ps(near), _mm512_mul_ps(_mm512_set1_ps(weight), a));
    const __m512 x = _mm512_add_ps(base, _mm512_mul_ps(b, dot));
    _mm512_storeu_ps(out, x);
    return _mm512_cmp_ps_mask(x, _mm512_set1_ps(limit), _CMP_LT_OQ);
  }

  static float fine(const float* query, const std::int8_t* high, const unsigned char* low,
                    std::size_t dim) noexcept {
    const __m512i shifts =
        _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    __m512 sum = _mm512_setzero_ps();
    for (std::size_t i = 0; i < dim; i += 16) {
      const __mmask16 inside = i + 16 <= dim ? __mmask16{0xffff} : Avx512Float::first(dim - i);
      std::int32_t packed;
      __builtin_memcpy(&packed, low + i / 4, sizeof packed);
      const __m512i fine = _mm512_and_si512(_mm512_srlv_epi32(_mm512_set1_epi32(packed), shifts),
                                            _mm512_set1_epi32(3));
      const __m512i coarse = _mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(inside, high + i));
      const __m512i code = _mm512_sub_epi32(_mm512_add_epi32(_mm512_slli_epi32(coarse, 2), fine),
                                            _mm512_set1_epi32(2));
      sum =
          _mm512_fmadd_ps(_mm512_maskz_loadu_ps(inside, query + i), _mm512_cvtepi32_ps(code), sum);
    }
    return _mm512_reduce_add_ps(sum);
  }

 private:
  template <int kShift>
  static __m512i product(__m512i code, const std::int8_t* query) noexcept {
    std::int32_t word;
    __builtin_memcpy(&word, query, sizeof word);
    const __m512i bits = _mm512_and_si512(_mm512_srli_epi16(code, kShift), _mm512_set1_epi8(3));
    return _mm512_maddubs_epi16(bits, _mm512_set1_epi32(word));
  }
  static __m128i fold(__m512i x) noexcept {
    const __m256i half =
        _mm256_add_epi16(_mm512_castsi512_si256(x), _mm512_extracti64x4_epi64(x, 1));
    return _mm_add_epi16(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
  }
  static void spread(std::int32_t* sums, __m512i even, __m512i odd) noexcept {
    const __m128i e = fold(_mm512_sub_epi16(even, _mm512_slli_epi16(odd, 8))), o = fold(odd);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(sums),
                        _mm256_cvtepu16_epi32(_mm_unpacklo_epi16(e, o)));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(sums + 8),
                        _mm256_cvtepu16_epi32(_mm_unpackhi_epi16(e, o)));
  }
};

}  // namespace

constinit const KernelTable kAvx512 = table<Avx512Float, Avx512Byte, Avx512Bits, Avx512Edges>();

}  // namespace annx::kernels
