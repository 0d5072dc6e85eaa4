#include "base/cpu.h"

#include <cstdint>

#if defined(__x86_64__) || defined(_M_X64)
#if defined(_MSC_VER)
#include <intrin.h>
#else
#include <cpuid.h>
#endif
#endif

namespace annx {
namespace {

#if defined(__x86_64__) || defined(_M_X64)

struct Registers {
  std::uint32_t a = 0, b = 0, c = 0, d = 0;
};

Registers cpuid(std::uint32_t leaf, std::uint32_t subleaf) {
  Registers r;
#if defined(_MSC_VER)
  int out[4];
  __cpuidex(out, static_cast<int>(leaf), static_cast<int>(subleaf));
  r = {std::uint32_t(out[0]), std::uint32_t(out[1]), std::uint32_t(out[2]), std::uint32_t(out[3])};
#else
  __get_cpuid_count(leaf, subleaf, &r.a, &r.b, &r.c, &r.d);
#endif
  return r;
}

std::uint64_t xgetbv() {
#if defined(_MSC_VER)
  return _xgetbv(0);
#else
  std::uint32_t low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (std::uint64_t{high} << 32) | low;
#endif
}

constexpr bool bit(std::uint32_t word, int n) { return (word >> n & 1U) != 0; }

// Intel SDM vol. 1, 13.3 and 14.3; vol. 2, CPUID.
CpuFeatures detect() {
  CpuFeatures f;
  const Registers one = cpuid(1, 0);
  if (!bit(one.c, 27)) return f;  // OSXSAVE: without it XGETBV faults
  const std::uint64_t saved = xgetbv();
  const bool ymm = (saved & 0x6U) == 0x6U;
  const bool zmm = (saved & 0xe6U) == 0xe6U;
  const Registers seven = cpuid(7, 0);
  const Registers seven_one = seven.a >= 1 ? cpuid(7, 1) : Registers{};
  f.avx2 = ymm && bit(one.c, 12) /* FMA */ && bit(one.c, 29) /* F16C */ &&
           bit(one.c, 28) /* AVX */ && bit(seven.b, 5) /* AVX2 */;
  f.pclmul = f.avx2 && bit(one.c, 1);
  f.avx512 = f.avx2 && zmm && bit(seven.b, 16) /* F */ && bit(seven.b, 17) /* DQ */ &&
             bit(seven.b, 30) /* BW */ && bit(seven.b, 31) /* VL */;
  f.avx512_vnni = f.avx512 && bit(seven.c, 11);
  f.avx512_vpopcntdq = f.avx512 && bit(seven.c, 14);
  f.avx512_bf16 = f.avx512 && bit(seven_one.a, 5);
  return f;
}

#else

CpuFeatures detect() { return {}; }

#endif

}  // namespace

const CpuFeatures& cpu_features() {
  static const CpuFeatures features = detect();
  return features;
}

}  // namespace annx
