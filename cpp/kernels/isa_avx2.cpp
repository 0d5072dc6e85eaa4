// AVX2, FMA and F16C: Intel from Haswell (2013), AMD from Excavator and Zen.
#include <immintrin.h>

#include "impl.h"
#include "planes.h"

namespace annx::kernels {
namespace {

// Rows shorter than a load, as in short_rows.h: the first half of one and the half that ends with
// the row, zero where it repeats the first. By way of the stack 128 bits take twice the time.
inline __m128i beyond(int half, std::size_t n, __m128i last) noexcept {
  const __m128i lane = _mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  const auto repeated = static_cast<char>(2 * half - static_cast<int>(n) - 1);
  return _mm_and_si128(_mm_cmpgt_epi8(lane, _mm_set1_epi8(repeated)), last);
}

// The first n of at most 16 bytes.
inline __m128i within_16(const void* from, std::size_t n) noexcept {
  const auto* p = static_cast<const unsigned char*>(from);
  if (n >= 8) {
    const __m128i last = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p + n - 8));
    return _mm_unpacklo_epi64(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)),
                              beyond(8, n, last));
  }
  unsigned char padded[16] = {};
  copy_tail(padded, p, n);
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(padded));
}

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
  template <class T>
  static Reg load_last(const T* p, std::size_t n) noexcept {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const __m256i before = _mm256_set1_epi32(static_cast<int>(kStep - n) - 1);
    return _mm256_and_ps(_mm256_castsi256_ps(_mm256_cmpgt_epi32(lane, before)),
                         load(p + n - kStep));
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
  static Reg load_tail(const std::int8_t* p, std::size_t n) noexcept {
    return _mm256_cvtepi8_epi16(within_16(p, n));
  }
  static Reg load_tail(const std::uint8_t* p, std::size_t n) noexcept {
    return _mm256_cvtepu8_epi16(within_16(p, n));
  }
  template <class T>
  static Reg load_last(const T* p, std::size_t n) noexcept {
    const __m256i lane = _mm256_setr_epi16(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m256i before = _mm256_set1_epi16(static_cast<short>(kStep - n) - 1);
    return _mm256_and_si256(_mm256_cmpgt_epi16(lane, before), load(p + n - kStep));
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
  // Two rounds of interleaving and adding leave the four sums side by side in each half.
  static void sum_four(Reg a, Reg b, Reg c, Reg d, std::int32_t bias, float* out) noexcept {
    const Reg x = _mm256_add_epi32(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
    const Reg y = _mm256_add_epi32(_mm256_unpacklo_epi32(c, d), _mm256_unpackhi_epi32(c, d));
    const Reg z = _mm256_add_epi32(_mm256_unpacklo_epi64(x, y), _mm256_unpackhi_epi64(x, y));
    const __m128i sums = _mm_add_epi32(_mm256_castsi256_si128(z), _mm256_extracti128_si256(z, 1));
    _mm_storeu_ps(out, _mm_cvtepi32_ps(_mm_add_epi32(sums, _mm_set1_epi32(bias))));
  }
};

struct Avx2Bits {
  using Reg = __m256i;
  static constexpr std::size_t kStep = 32;
  static Reg load(const std::uint8_t* p) noexcept {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  }
  static Reg load_tail(const std::uint8_t* p, std::size_t n) noexcept {
    if (n < 16) return _mm256_zextsi128_si256(within_16(p, n));
    const __m128i first = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    const __m128i last = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + n - 16));
    return _mm256_inserti128_si256(_mm256_castsi128_si256(first), beyond(16, n, last), 1);
  }
  static Reg load_last(const std::uint8_t* p, std::size_t n) noexcept {
    const __m256i lane =
        _mm256_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,  //
                         16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31);
    const __m256i before = _mm256_set1_epi8(static_cast<char>(kStep - n - 1));
    return _mm256_and_si256(_mm256_cmpgt_epi8(lane, before), load(p + n - kStep));
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

struct Avx2Edges {
  static constexpr unsigned kLanes = 8;
  static __m256i load(const void* p) noexcept {
    return _mm256_loadu_si256(static_cast<const __m256i*>(p));
  }

  // Bytes are summed in pairs into 16 bits, and their upper halves once more, to be taken off.
  static void one_bit(std::int32_t* sums, const unsigned char* query, const unsigned char* codes,
                      std::size_t groups) noexcept {
    const __m256i nibble = _mm256_set1_epi8(15);
    __m256i even0 = _mm256_setzero_si256(), odd0 = even0, even1 = even0, odd1 = even0;
    for (std::size_t i = 0; i < 64 * groups; i += 32) {
      const __m256i code = load(codes + i), table = load(query + i);
      const __m256i a = _mm256_shuffle_epi8(table, _mm256_and_si256(code, nibble));
      const __m256i b =
          _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(code, 4), nibble));
      even0 = _mm256_add_epi16(even0, a);
      odd0 = _mm256_add_epi16(odd0, _mm256_srli_epi16(a, 8));
      even1 = _mm256_add_epi16(even1, b);
      odd1 = _mm256_add_epi16(odd1, _mm256_srli_epi16(b, 8));
    }
    spread(sums, even0, odd0);
    spread(sums + 16, even1, odd1);
  }

  static void two_bits(std::int32_t* sums, const std::int8_t* query, const unsigned char* codes,
                       std::size_t groups) noexcept {
    // 16-bit lanes take 10 groups of 4 products of pairs, each within 2 x 3 x 128.
    constexpr std::size_t kGroups = 10;
    const __m256i ones = _mm256_set1_epi16(1);
    __m256i total[4] = {};
    for (std::size_t from = 0; from < groups; from += kGroups) {
      const std::size_t to = from + kGroups < groups ? from + kGroups : groups;
      __m256i sum[4] = {};
      for (std::size_t g = from; g < to; ++g) {
        const __m256i q0 = four(query + 16 * g), q1 = four(query + 16 * g + 4);
        const __m256i q2 = four(query + 16 * g + 8), q3 = four(query + 16 * g + 12);
        for (unsigned part = 0; part < 4; ++part) {
          const __m256i code = load(codes + 128 * g + 32 * part);
          const __m256i near = _mm256_add_epi16(product<0>(code, q0), product<2>(code, q1));
          const __m256i far = _mm256_add_epi16(product<4>(code, q2), product<6>(code, q3));
          sum[part] = _mm256_add_epi16(sum[part], _mm256_add_epi16(near, far));
        }
      }
      for (unsigned part = 0; part < 4; ++part) {
        total[part] = _mm256_add_epi32(total[part], _mm256_madd_epi16(sum[part], ones));
      }
    }
    for (unsigned part = 0; part < 4; ++part) {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(sums + 8 * part), total[part]);
    }
  }

  static std::uint32_t combine(const EdgeQuery& query, const std::int32_t* sums,
                               const std::uint32_t* factors, float near, float weight, float limit,
                               float* out) noexcept {
    const __m256i both = load(factors);
    const __m256 a = _mm256_castsi256_ps(_mm256_and_si256(both, _mm256_set1_epi32(-65536)));
    const __m256 b = _mm256_castsi256_ps(_mm256_slli_epi32(both, 16));
    const __m256 dot =
        _mm256_add_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(load(sums)), _mm256_set1_ps(query.scale)),
                      _mm256_set1_ps(query.offset));
    const __m256 base =
        _mm256_add_ps(_mm256_set1_ps(near), _mm256_mul_ps(_mm256_set1_ps(weight), a));
    const __m256 x = _mm256_add_ps(base, _mm256_mul_ps(b, dot));
    _mm256_storeu_ps(out, x);
    return static_cast<std::uint32_t>(
        _mm256_movemask_ps(_mm256_cmp_ps(x, _mm256_set1_ps(limit), _CMP_LT_OQ)));
  }

  static float fine(const float* query, const std::int8_t* high, const unsigned char* low,
                    std::size_t dim) noexcept {
    const __m256i shifts = _mm256_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14);
    __m256 sum = _mm256_setzero_ps();
    for (std::size_t i = 0; i < dim; i += 8) {
      std::int32_t packed = low[i / 4];
      if (i + 4 < dim) packed |= low[i / 4 + 1] << 8;
      const __m256i fine = _mm256_and_si256(_mm256_srlv_epi32(_mm256_set1_epi32(packed), shifts),
                                            _mm256_set1_epi32(3));
      std::int8_t last[8] = {};
      float asked[8] = {};
      const bool whole = i + 8 <= dim;
      if (!whole) {
        copy_tail(last, high + i, dim - i);
        copy_tail(asked, query + i, dim - i);
      }
      const __m256i coarse = _mm256_cvtepi8_epi32(
          _mm_loadl_epi64(reinterpret_cast<const __m128i*>(whole ? high + i : last)));
      const __m256i code = _mm256_sub_epi32(_mm256_add_epi32(_mm256_slli_epi32(coarse, 2), fine),
                                            _mm256_set1_epi32(2));
      sum = _mm256_fmadd_ps(_mm256_loadu_ps(whole ? query + i : asked), _mm256_cvtepi32_ps(code),
                            sum);
    }
    return Avx2Float::sum(sum);
  }

 private:
  static __m256i four(const std::int8_t* query) noexcept {
    std::int32_t word;
    __builtin_memcpy(&word, query, sizeof word);
    return _mm256_set1_epi32(word);
  }
  template <int kShift>
  static __m256i product(__m256i code, __m256i query) noexcept {
    const __m256i bits = _mm256_and_si256(_mm256_srli_epi16(code, kShift), _mm256_set1_epi8(3));
    return _mm256_maddubs_epi16(bits, query);
  }
  static void spread(std::int32_t* sums, __m256i even, __m256i odd) noexcept {
    even = _mm256_sub_epi16(even, _mm256_slli_epi16(odd, 8));
    const __m128i e =
        _mm_add_epi16(_mm256_castsi256_si128(even), _mm256_extracti128_si256(even, 1));
    const __m128i o = _mm_add_epi16(_mm256_castsi256_si128(odd), _mm256_extracti128_si256(odd, 1));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(sums),
                        _mm256_cvtepu16_epi32(_mm_unpacklo_epi16(e, o)));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(sums + 8),
                        _mm256_cvtepu16_epi32(_mm_unpackhi_epi16(e, o)));
  }
};

// VPMADDUBSW saturates 255 * 127 * 2 but not 15 * 127 * 4: the halves of a row's codes are
// multiplied one by one.
struct Avx2Planes {
  using Reg = __m256i;
  struct Acc {
    __m256i upper, lower;
  };
  static constexpr std::size_t kStep = 32;
  static Reg load(const unsigned char* p) noexcept { return Avx2Bits::load(p); }
  static Reg load_tail(const unsigned char* p, std::size_t n) noexcept {
    unsigned char padded[kStep] = {};
    copy_tail(padded, p, n);
    return load(padded);
  }
  static Reg load_last(const unsigned char* p, std::size_t n) noexcept {
    return Avx2Bits::load_last(p, n);
  }
  static Acc zero() noexcept { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
  static void upper(Acc& acc, const Staged& q, std::size_t i, Reg high) noexcept {
    acc.upper = _mm256_add_epi32(acc.upper, product(high, q, i));
  }
  static void whole(Acc& acc, const Staged& q, std::size_t i, Reg high, Reg low) noexcept {
    upper(acc, q, i, high);
    acc.lower = _mm256_add_epi32(acc.lower, product(low, q, i));
  }
  static __m256i fold_upper(const Acc& a) noexcept { return _mm256_slli_epi32(a.upper, 4); }
  static __m256i fold_whole(const Acc& a) noexcept {
    return _mm256_add_epi32(fold_upper(a), a.lower);
  }
  static std::int32_t sum(__m256i a) noexcept { return Avx2Byte::sum(a); }
  static void sum_four(__m256i a, __m256i b, __m256i c, __m256i d, std::int32_t bias,
                       float* out) noexcept {
    Avx2Byte::sum_four(a, b, c, d, bias, out);
  }

 private:
  static __m256i load(const std::int8_t* p) noexcept {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  }
  static __m256i product(__m256i halves, const Staged& q, std::size_t i) noexcept {
    const __m256i mask = _mm256_set1_epi8(15);
    const __m256i even = _mm256_and_si256(halves, mask);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi16(halves, 4), mask);
    return _mm256_madd_epi16(_mm256_add_epi16(_mm256_maddubs_epi16(even, load(q.even + i)),
                                              _mm256_maddubs_epi16(odd, load(q.odd + i))),
                             _mm256_set1_epi16(1));
  }
};

}  // namespace

constinit const KernelTable kAvx2 =
    with_planes<Avx2Planes>(table<Avx2Float, Avx2Byte, Avx2Bits, Avx2Edges>());

}  // namespace annx::kernels
