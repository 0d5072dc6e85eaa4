#include "kernels/dispatch.h"

#include <cstdlib>

#include "base/cpu.h"
#include "base/errors.h"

namespace annx::kernels {
namespace {

#if defined(ANNX_HAVE_AVX2)
KernelTable with_checksum(KernelTable table) {
  table.crc32 = kScalar.crc32;
#if defined(ANNX_HAVE_PCLMUL)
  if (cpu_features().pclmul) table.crc32 = kPclmul.crc32;
#endif
  return table;
}
#endif

#if defined(ANNX_HAVE_AVX512)
void improve(Kernel& kernel, const Kernel& by) {
  if (by.one != nullptr) kernel = by;
}

void improve(KernelTable& table, const KernelTable& by) {
  for (unsigned type = 0; type < kTypes; ++type) {
    improve(table.l2[type], by.l2[type]);
    improve(table.dot[type], by.dot[type]);
  }
  improve(table.hamming, by.hamming);
  for (unsigned bits = 0; bits < 2; ++bits) {
    if (by.estimate[bits] != nullptr) table.estimate[bits] = by.estimate[bits];
  }
  if (by.planes != nullptr) table.planes = by.planes;
  if (by.upper != nullptr) table.upper = by.upper;
}

KernelTable compose_avx512() {
  KernelTable table = with_checksum(kAvx512);
  table.planes = kAvx2.planes;
  table.upper = kAvx2.upper;
  [[maybe_unused]] const CpuFeatures& cpu = cpu_features();
#if defined(ANNX_HAVE_AVX512_VNNI)
  if (cpu.avx512_vnni) improve(table, kAvx512Vnni);
#endif
#if defined(ANNX_HAVE_AVX512_BF16)
  if (cpu.avx512_bf16) improve(table, kAvx512Bf16);
#endif
#if defined(ANNX_HAVE_AVX512_POPCNT)
  if (cpu.avx512_vpopcntdq) improve(table, kAvx512Popcnt);
#endif
  return table;
}
#endif

std::string join(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

std::string select() {
  const std::vector<std::string> isas = available_isas();
  const char* forced = std::getenv("ANNX_ISA");
  if (forced == nullptr || *forced == '\0') return isas.back();
  for (const std::string& isa : isas) {
    if (isa == forced) return isa;
  }
  throw BackendError("ANNX_ISA=" + std::string(forced) +
                     " is not available on this machine, which has " + join(isas));
}

}  // namespace

std::vector<std::string> available_isas() {
  std::vector<std::string> isas{"scalar"};
#if defined(ANNX_HAVE_AVX2)
  if (cpu_features().avx2) isas.emplace_back("avx2");
#endif
#if defined(ANNX_HAVE_AVX512)
  if (cpu_features().avx512) isas.emplace_back("avx512");
#endif
  return isas;
}

const KernelTable& table_for(const std::string& isa) {
  const std::vector<std::string> isas = available_isas();
  for (const std::string& name : isas) {
    if (name != isa) continue;
#if defined(ANNX_HAVE_AVX2)
    if (isa == "avx2") {
      static const KernelTable avx2 = with_checksum(kAvx2);
      return avx2;
    }
#endif
#if defined(ANNX_HAVE_AVX512)
    if (isa == "avx512") {
      static const KernelTable avx512 = compose_avx512();
      return avx512;
    }
#endif
    return kScalar;
  }
  throw BackendError("expected one of " + join(isas) + " as instruction set, got " + isa);
}

const std::string& selected_isa() {
  static const std::string isa = select();
  return isa;
}

const KernelTable& selected_table() {
  static const KernelTable& table = table_for(selected_isa());
  return table;
}

}  // namespace annx::kernels
