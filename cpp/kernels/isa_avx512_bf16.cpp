// AVX-512 BF16 for the inner product: Intel from Cooper Lake, AMD from Zen 4. L2 stays with the
// widening kernel: |q|^2 + |r|^2 - 2<q,r> cancels for near neighbours. VDPBF16PS treats subnormals
// as zero, an absolute error below 1e-37.
#include <immintrin.h>

#include "impl.h"
#include "short_rows.h"

namespace annx::kernels {
namespace {

struct Bf16Dot {
  using Element = BFloat;
  using Asked = BFloat;
  using Reg = __m512i;
  using Acc = __m512;
  using Bias = NoBias;
  static constexpr std::size_t kStep = 32;
  static Reg query(const BFloat* p) noexcept { return _mm512_loadu_si512(p); }
  static Reg row(const BFloat* p) noexcept { return _mm512_loadu_si512(p); }
  static Reg query_tail(const BFloat* p, std::size_t n) noexcept {
    return within_64(p, n * sizeof(BFloat));
  }
  static Reg row_tail(const BFloat* p, std::size_t n) noexcept { return query_tail(p, n); }
  static Reg query_last(const BFloat* p, std::size_t n) noexcept {
    return _mm512_maskz_mov_epi16(~std::uint32_t{0} << (kStep - n), query(p + n - kStep));
  }
  static Reg row_last(const BFloat* p, std::size_t n) noexcept { return query_last(p, n); }
  static Acc zero() noexcept { return _mm512_setzero_ps(); }
  static Acc add(Acc a, Acc b) noexcept { return _mm512_add_ps(a, b); }
  static Acc step(Acc acc, Reg q, Reg r) noexcept {
    return _mm512_dpbf16_ps(acc, reinterpret_cast<__m512bh>(q), reinterpret_cast<__m512bh>(r));
  }
  static Bias bias(const BFloat*, std::size_t) noexcept { return {}; }
  static float sum(Acc a, Bias) noexcept { return _mm512_reduce_add_ps(a); }
  static void sum_four(Acc a, Acc b, Acc c, Acc d, Bias bias, float* out) noexcept {
    one_by_one<Bf16Dot>(a, b, c, d, bias, out);
  }
};

}  // namespace

constinit const KernelTable kAvx512Bf16 = {
    {}, {{}, {}, kernel<Bf16Dot>(), {}, {}, {}, {}, {}}, {}, {}, {}};

}  // namespace annx::kernels
