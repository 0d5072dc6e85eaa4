// AVX-512 VNNI for bytes: Intel from Cascade Lake, AMD from Zen 4.
#include <immintrin.h>

#include "impl.h"

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
    return widen(T{}, _mm256_maskz_loadu_epi8((std::uint32_t{1} << n) - 1, p));
  }
  static Reg zero() noexcept { return _mm512_setzero_si512(); }
  static Reg add(Reg a, Reg b) noexcept { return _mm512_add_epi32(a, b); }
  static Reg sub(Reg a, Reg b) noexcept { return _mm512_sub_epi16(a, b); }
  static Reg madd(Reg acc, Reg a, Reg b) noexcept { return _mm512_dpwssd_epi32(acc, a, b); }
  static std::int32_t sum(Reg a) noexcept { return _mm512_reduce_add_epi32(a); }
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
  static Reg load(const T* p, std::size_t n) noexcept {
    return _mm512_maskz_loadu_epi8((std::uint64_t{1} << n) - 1, p);
  }
  static Reg shift(Reg r) noexcept { return _mm512_xor_si512(r, _mm512_set1_epi8(-128)); }
  static Reg query(const T* p) noexcept { return load(p); }
  static Reg query_tail(const T* p, std::size_t n) noexcept { return load(p, n); }
  static Reg row(const T* p) noexcept { return shift(load(p)); }
  // Bytes past the end become 128 here, and meet zeros of the query.
  static Reg row_tail(const T* p, std::size_t n) noexcept { return shift(load(p, n)); }
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
    {}};

}  // namespace annx::kernels
