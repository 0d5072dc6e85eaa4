// What this CPU and operating system can run.
#pragma once

namespace annx {

struct CpuFeatures {
  bool avx2 = false;    // AVX2, FMA, F16C, and the OS saves ymm registers
  bool pclmul = false;  // carry-less multiplication, with AVX2
  bool avx512 = false;  // AVX-512 F, BW, DQ, VL, and the OS saves zmm and mask registers
  bool avx512_vnni = false;
  bool avx512_bf16 = false;
  bool avx512_vpopcntdq = false;
};

const CpuFeatures& cpu_features();

}  // namespace annx
