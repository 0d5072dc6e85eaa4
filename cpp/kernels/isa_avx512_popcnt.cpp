// AVX-512 VPOPCNTDQ for packed bits: Intel from Ice Lake, AMD from Zen 4.
#include <immintrin.h>

#include "impl.h"
#include "short_rows.h"

namespace annx::kernels {
namespace {

struct PopcntBits {
  using Reg = __m512i;
  static constexpr std::size_t kStep = 64;
  static Reg load(const std::uint8_t* p) noexcept { return _mm512_loadu_si512(p); }
  static Reg load_tail(const std::uint8_t* p, std::size_t n) noexcept { return within_64(p, n); }
  static Reg load_last(const std::uint8_t* p, std::size_t n) noexcept {
    return _mm512_maskz_mov_epi8(~std::uint64_t{0} << (kStep - n), load(p + n - kStep));
  }
  static Reg zero() noexcept { return _mm512_setzero_si512(); }
  static Reg add(Reg a, Reg b) noexcept { return _mm512_add_epi64(a, b); }
  static Reg differ(Reg acc, Reg a, Reg b) noexcept {
    return _mm512_add_epi64(acc, _mm512_popcnt_epi64(_mm512_xor_si512(a, b)));
  }
  static std::int64_t sum(Reg a) noexcept { return _mm512_reduce_add_epi64(a); }
};

}  // namespace

constinit const KernelTable kAvx512Popcnt = {{}, {}, kernel<Hamming<PopcntBits>>(), {}, {}};

}  // namespace annx::kernels
