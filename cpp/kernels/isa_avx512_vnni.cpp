// AVX-512 VNNI for bytes: Intel from Cascade Lake, AMD from Zen 4.
#include <immintrin.h>

#include "impl.h"
#include "planes.h"
#include "short_rows.h"

namespace annx::kernels {
namespace {

// Differences need 9 bits, so L2 widens to 16 and uses VPDPWSSD.
struct VnniByte {
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
  static Reg madd(Reg acc, Reg a, Reg b) noexcept { return _mm512_dpwssd_epi32(acc, a, b); }
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

// VPDPBUSD multiplies unsigned by signed bytes. With r' = r ^ 0x80 (r shifted by 128):
//   u8: sum q r = sum q r' + 128 sum q, r' signed;
//   i8: sum q r = sum q r' - 128 sum q, r' unsigned.
// The correction depends on the query alone.
template <class T>
struct VnniDot {
  using Element = T;
  using Asked = T;
  using Reg = __m512i;
  using Acc = __m512i;
  using Bias = std::int32_t;
  static constexpr std::size_t kStep = 64;
  static constexpr bool kSigned = T(-1) < T(0);

  static Reg load(const T* p) noexcept { return _mm512_loadu_si512(p); }
  static Reg load_last(const T* p, std::size_t n) noexcept {
    return _mm512_maskz_mov_epi8(~std::uint64_t{0} << (kStep - n), load(p + n - kStep));
  }
  static Reg shift(Reg r) noexcept { return _mm512_xor_si512(r, _mm512_set1_epi8(-128)); }
  static Reg query(const T* p) noexcept { return load(p); }
  static Reg query_tail(const T* p, std::size_t n) noexcept { return within_64(p, n); }
  static Reg query_last(const T* p, std::size_t n) noexcept { return load_last(p, n); }
  static Reg row(const T* p) noexcept { return shift(load(p)); }
  // Bytes of no element become 128 here, and meet zeros of the query.
  static Reg row_tail(const T* p, std::size_t n) noexcept { return shift(within_64(p, n)); }
  static Reg row_last(const T* p, std::size_t n) noexcept { return shift(load_last(p, n)); }
  static Acc zero() noexcept { return _mm512_setzero_si512(); }
  static Acc add(Acc a, Acc b) noexcept { return _mm512_add_epi32(a, b); }
  static Acc step(Acc acc, Reg q, Reg r) noexcept {
    return kSigned ? _mm512_dpbusd_epi32(acc, r, q) : _mm512_dpbusd_epi32(acc, q, r);
  }
  static Bias bias(const T* query, std::size_t dim) noexcept {
    std::int32_t total = 0;
    for (std::size_t i = 0; i < dim; ++i) total += query[i];
    return kSigned ? -128 * total : 128 * total;
  }
  static float sum(Acc a, Bias bias) noexcept {
    return static_cast<float>(_mm512_reduce_add_epi32(a) + bias);
  }
  static void sum_four(Acc a, Acc b, Acc c, Acc d, Bias bias, float* out) noexcept {
    VnniByte::sum_four(a, b, c, d, bias, out);
  }
};

// combine() is that of isa_avx512.cpp: its symbols are its own, so the few lines stand here again.
struct VnniEdges {
  static constexpr unsigned kLanes = 16;
  static void one_bit(std::int32_t*, const unsigned char*, const unsigned char*,
                      std::size_t) noexcept {}

  static void two_bits(std::int32_t* sums, const std::int8_t* query, const unsigned char* codes,
                       std::size_t groups) noexcept {
    // Codes stay where they stand in a byte, at 1, 4, 16 and 64 times their value, and each place
    // has sums of its own: no shifts, and more chains than hide the latency of VPDPBUSD.
    __m512i x0 = _mm512_setzero_si512(), x2 = x0, x4 = x0, x6 = x0;
    __m512i y0 = x0, y2 = x0, y4 = x0, y6 = x0;
    for (std::size_t g = 0; g < groups; ++g) {
      const __m512i x = _mm512_loadu_si512(codes + 128 * g);
      const __m512i y = _mm512_loadu_si512(codes + 128 * g + 64);
      const std::int8_t* q = query + 16 * g;
      const __m512i q0 = four(q), q1 = four(q + 4), q2 = four(q + 8), q3 = four(q + 12);
      x0 = _mm512_dpbusd_epi32(x0, at<0>(x), q0);
      y0 = _mm512_dpbusd_epi32(y0, at<0>(y), q0);
      x2 = _mm512_dpbusd_epi32(x2, at<2>(x), q1);
      y2 = _mm512_dpbusd_epi32(y2, at<2>(y), q1);
      x4 = _mm512_dpbusd_epi32(x4, at<4>(x), q2);
      y4 = _mm512_dpbusd_epi32(y4, at<4>(y), q2);
      x6 = _mm512_dpbusd_epi32(x6, at<6>(x), q3);
      y6 = _mm512_dpbusd_epi32(y6, at<6>(y), q3);
    }
    _mm512_storeu_si512(sums, together(x0, x2, x4, x6));
    _mm512_storeu_si512(sums + 16, together(y0, y2, y4, y6));
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

 private:
  static __m512i four(const std::int8_t* query) noexcept {
    std::int32_t word;
    __builtin_memcpy(&word, query, sizeof word);
    return _mm512_set1_epi32(word);
  }
  template <int kPlace>
  static __m512i at(__m512i codes) noexcept {
    return _mm512_and_si512(codes, _mm512_set1_epi8(static_cast<char>(3 << kPlace)));
  }
  static __m512i together(__m512i s0, __m512i s2, __m512i s4, __m512i s6) noexcept {
    return _mm512_add_epi32(_mm512_add_epi32(s0, _mm512_srai_epi32(s2, 2)),
                            _mm512_add_epi32(_mm512_srai_epi32(s4, 4), _mm512_srai_epi32(s6, 6)));
  }
};

struct VnniPlanes {
  using Reg = __m512i;
  struct Acc {
    __m512i even, odd;
  };
  static constexpr std::size_t kStep = 64;
  static Reg load(const unsigned char* p) noexcept { return _mm512_loadu_si512(p); }
  static Reg load_tail(const unsigned char* p, std::size_t n) noexcept {
    return _mm512_maskz_loadu_epi8((std::uint64_t{1} << n) - 1, p);
  }
  static Reg load_last(const unsigned char* p, std::size_t n) noexcept {
    return _mm512_maskz_mov_epi8(~std::uint64_t{0} << (kStep - n), load(p + n - kStep));
  }
  static Acc zero() noexcept { return {_mm512_setzero_si512(), _mm512_setzero_si512()}; }
  static void upper(Acc& acc, const Staged& q, std::size_t i, Reg high) noexcept {
    multiply(acc, q, i, first(high), second(high));
  }
  static void whole(Acc& acc, const Staged& q, std::size_t i, Reg high, Reg low) noexcept {
    multiply(acc, q, i, _mm512_or_si512(_mm512_slli_epi16(first(high), 4), first(low)),
             _mm512_or_si512(second(high), first(_mm512_srli_epi16(low, 4))));
  }
  // Upper halves of odd dimensions are 16 h as they stand.
  static __m512i fold_upper(const Acc& a) noexcept {
    return _mm512_add_epi32(_mm512_slli_epi32(a.even, 4), a.odd);
  }
  static __m512i fold_whole(const Acc& a) noexcept { return _mm512_add_epi32(a.even, a.odd); }
  static std::int32_t sum(__m512i a) noexcept { return _mm512_reduce_add_epi32(a); }
  static void sum_four(__m512i a, __m512i b, __m512i c, __m512i d, std::int32_t bias,
                       float* out) noexcept {
    VnniByte::sum_four(a, b, c, d, bias, out);
  }

 private:
  static __m512i first(__m512i x) noexcept { return _mm512_and_si512(x, _mm512_set1_epi8(15)); }
  static __m512i second(__m512i x) noexcept { return _mm512_and_si512(x, _mm512_set1_epi8(-16)); }
  static void multiply(Acc& acc, const Staged& q, std::size_t i, __m512i even,
                       __m512i odd) noexcept {
    acc.even = _mm512_dpbusd_epi32(acc.even, even, _mm512_loadu_si512(q.even + i));
    acc.odd = _mm512_dpbusd_epi32(acc.odd, odd, _mm512_loadu_si512(q.odd + i));
  }
};

}  // namespace

constinit const KernelTable kAvx512Vnni = {
    {{},
     {},
     {},
     kernel<ByteL2<VnniByte, std::int8_t>>(),
     kernel<ByteL2<VnniByte, std::uint8_t>>(),
     {},
     {},
     {}},
    {{}, {}, {}, kernel<VnniDot<std::int8_t>>(), kernel<VnniDot<std::uint8_t>>(), {}, {}, {}},
    {},
    {nullptr, estimate<VnniEdges, true>},
    nullptr,
    nullptr,
    nullptr,
    planes<VnniPlanes, true>,
    planes<VnniPlanes, false>};

}  // namespace annx::kernels
