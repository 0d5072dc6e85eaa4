// CRC-32 by carry-less multiplication: x86-64 from Westmere and Bulldozer on, here with AVX2.
// Gopal et al., "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ Instruction", Intel
// 2009: four 128-bit pieces are folded over the next 64 bytes, then into one, then reduced
// (Barrett).
#include <immintrin.h>

#include "table.h"

namespace annx::kernels {
namespace {

// x^(4 * 128 +- 32), x^(128 +- 32) and x^64 modulo the polynomial, bits reversed.
struct Fold {
  long long low, high;
};
constexpr Fold kByFour{0x154442bd4, 0x1c6e41596};
constexpr Fold kByOne{0x1751997d0, 0x0ccaa009e};
constexpr long long kTo64 = 0x163cd6124;
constexpr long long kPolynomial = 0x1db710641, kInverse = 0x1f7011641;

__m128i constants(Fold fold) noexcept { return _mm_set_epi64x(fold.high, fold.low); }

__m128i load(const unsigned char* p) noexcept {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
}

__m128i fold(__m128i x, __m128i by, __m128i next) noexcept {
  const __m128i low = _mm_clmulepi64_si128(x, by, 0x00);
  const __m128i high = _mm_clmulepi64_si128(x, by, 0x11);
  return _mm_xor_si128(_mm_xor_si128(low, high), next);
}

std::uint32_t reduce(__m128i x) noexcept {
  const __m128i words = _mm_setr_epi32(-1, 0, -1, 0);
  x = _mm_xor_si128(_mm_clmulepi64_si128(x, constants(kByOne), 0x10), _mm_srli_si128(x, 8));
  const __m128i rest = _mm_srli_si128(x, 4);
  x = _mm_clmulepi64_si128(_mm_and_si128(x, words), _mm_set_epi64x(0, kTo64), 0x00);
  x = _mm_xor_si128(x, rest);
  const __m128i barrett = _mm_set_epi64x(kInverse, kPolynomial);
  __m128i quotient = _mm_clmulepi64_si128(_mm_and_si128(x, words), barrett, 0x10);
  quotient = _mm_clmulepi64_si128(_mm_and_si128(quotient, words), barrett, 0x00);
  return static_cast<std::uint32_t>(_mm_extract_epi32(_mm_xor_si128(x, quotient), 1));
}

std::uint32_t crc32(const unsigned char* data, std::size_t size) noexcept {
  std::uint32_t crc = 0xffffffffU;
  if (size >= 64) {
    __m128i x0 = _mm_xor_si128(load(data), _mm_cvtsi32_si128(static_cast<int>(crc)));
    __m128i x1 = load(data + 16), x2 = load(data + 32), x3 = load(data + 48);
    const __m128i by_four = constants(kByFour), by_one = constants(kByOne);
    for (data += 64, size -= 64; size >= 64; data += 64, size -= 64) {
      x0 = fold(x0, by_four, load(data));
      x1 = fold(x1, by_four, load(data + 16));
      x2 = fold(x2, by_four, load(data + 32));
      x3 = fold(x3, by_four, load(data + 48));
    }
    x0 = fold(x0, by_one, x1);
    x0 = fold(x0, by_one, x2);
    x0 = fold(x0, by_one, x3);
    for (; size >= 16; data += 16, size -= 16) x0 = fold(x0, by_one, load(data));
    crc = reduce(x0);
  }
  for (; size > 0; ++data, --size) {
    crc ^= *data;
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (0xedb88320U & (0U - (crc & 1U)));
  }
  return ~crc;
}

}  // namespace

constinit const KernelTable kPclmul = {{}, {}, {}, {}, {}, nullptr, crc32};

}  // namespace annx::kernels
