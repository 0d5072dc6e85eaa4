// Portable kernels: the slow twin of all others, and what other architectures run.
#include "impl.h"
#include "planes.h"

namespace annx::kernels {
namespace {

// Rows lie at any address.
template <class T>
inline T at(const void* p) noexcept {
  T x;
  __builtin_memcpy(&x, p, sizeof x);
  return x;
}

struct ScalarFloat {
  using Reg = float;
  static constexpr std::size_t kStep = 1;
  static Reg load(const float* p) noexcept { return at<float>(p); }
  static Reg load(const BFloat* p) noexcept {
    return from_bits(std::uint32_t{at<std::uint16_t>(p)} << 16);
  }
  static Reg load(const Half* p) noexcept {
    const std::uint32_t bits = at<std::uint16_t>(p);
    const std::uint32_t sign = (bits & 0x8000U) << 16;
    const std::uint32_t magnitude = (bits & 0x7fffU) << 13;
    if (magnitude >= 0x0f800000U) return from_bits(sign | 0x7f800000U | magnitude);  // inf, NaN
    // Scaling by 2^112 moves the exponent from bias 15 to 127 and normalises subnormals.
    return from_bits(sign | bits_of(from_bits(magnitude) * from_bits(0x77800000U)));
  }
  static Reg load(const std::int8_t* p) noexcept { return *p; }
  static Reg load(const std::uint8_t* p) noexcept { return *p; }
  template <class T>
  static Reg load_tail(const T*, std::size_t) noexcept {
    return 0;
  }
  template <class T>
  static Reg load_last(const T*, std::size_t) noexcept {
    return 0;
  }
  static Reg zero() noexcept { return 0; }
  static Reg add(Reg a, Reg b) noexcept { return a + b; }
  static Reg sub(Reg a, Reg b) noexcept { return a - b; }
  static Reg fma(Reg a, Reg b, Reg c) noexcept { return a * b + c; }
  static float sum(Reg a) noexcept { return a; }

 private:
  static float from_bits(std::uint32_t bits) noexcept { return __builtin_bit_cast(float, bits); }
  static std::uint32_t bits_of(float x) noexcept { return __builtin_bit_cast(std::uint32_t, x); }
};

struct ScalarByte {
  using Reg = std::int32_t;
  static constexpr std::size_t kStep = 1;
  template <class T>
  static Reg load(const T* p) noexcept {
    return *p;
  }
  template <class T>
  static Reg load_tail(const T*, std::size_t) noexcept {
    return 0;
  }
  template <class T>
  static Reg load_last(const T*, std::size_t) noexcept {
    return 0;
  }
  static Reg zero() noexcept { return 0; }
  static Reg add(Reg a, Reg b) noexcept { return a + b; }
  static Reg sub(Reg a, Reg b) noexcept { return a - b; }
  static Reg madd(Reg acc, Reg a, Reg b) noexcept { return acc + a * b; }
  static std::int64_t sum(Reg a) noexcept { return a; }
  static void sum_four(Reg a, Reg b, Reg c, Reg d, int, float* out) noexcept {
    out[0] = static_cast<float>(a);
    out[1] = static_cast<float>(b);
    out[2] = static_cast<float>(c);
    out[3] = static_cast<float>(d);
  }
};

struct ScalarBits {
  using Reg = std::uint64_t;
  static constexpr std::size_t kStep = 8;
  static Reg load(const std::uint8_t* p) noexcept { return load_tail(p, 8); }
  static Reg load_tail(const std::uint8_t* p, std::size_t n) noexcept {
    Reg word = 0;
    __builtin_memcpy(&word, p, n);
    return word;
  }
  static Reg load_last(const std::uint8_t* p, std::size_t n) noexcept { return load_tail(p, n); }
  static Reg zero() noexcept { return 0; }
  static Reg add(Reg a, Reg b) noexcept { return a + b; }
  // Without -mpopcnt the builtin calls a table function; this is branch- and load-free.
  static Reg differ(Reg acc, Reg a, Reg b) noexcept {
    Reg x = a ^ b;
    x -= (x >> 1) & 0x5555555555555555U;
    x = (x & 0x3333333333333333U) + ((x >> 2) & 0x3333333333333333U);
    x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0fU;
    return acc + ((x * 0x0101010101010101U) >> 56);
  }
  static std::int64_t sum(Reg a) noexcept { return static_cast<std::int64_t>(a); }
};

struct ScalarEdges {
  static constexpr unsigned kLanes = 1;
  static void one_bit(std::int32_t* sums, const unsigned char* query, const unsigned char* codes,
                      std::size_t groups) noexcept {
    for (unsigned j = 0; j < 32; ++j) {
      std::int32_t sum = 0;
      for (std::size_t t = 0; t < 4 * groups; ++t) {
        const unsigned both = codes[16 * t + j % 16];
        sum += query[16 * t + (j < 16 ? both & 15U : both >> 4)];
      }
      sums[j] = sum;
    }
  }
  static void two_bits(std::int32_t* sums, const std::int8_t* query, const unsigned char* codes,
                       std::size_t groups) noexcept {
    for (unsigned j = 0; j < 32; ++j) {
      std::int32_t sum = 0;
      for (std::size_t i = 0; i < 16 * groups; ++i) {
        const unsigned byte = codes[i / 16 * 128 + j / 16 * 64 + j % 16 * 4 + i % 4];
        sum += static_cast<std::int32_t>(byte >> (i % 16 / 4 * 2) & 3U) * query[i];
      }
      sums[j] = sum;
    }
  }
  static std::uint32_t combine(const EdgeQuery& query, const std::int32_t* sum,
                               const std::uint32_t* factors, float near, float weight, float limit,
                               float* out) noexcept {
    const float a = __builtin_bit_cast(float, *factors & 0xffff0000U);
    const float b = __builtin_bit_cast(float, *factors << 16);
    const float dot = static_cast<float>(*sum) * query.scale + query.offset;
    *out = (near + weight * a) + b * dot;
    return *out < limit ? 1 : 0;
  }
  static float fine(const float* query, const std::int8_t* high, const unsigned char* low,
                    std::size_t dim) noexcept {
    float sum = 0;
    for (std::size_t i = 0; i < dim; ++i) {
      const int code = 4 * high[i] + (low[i / 4] >> (i % 4 * 2) & 3) - 2;
      sum += query[i] * static_cast<float>(code);
    }
    return sum;
  }
};

struct ScalarPlanes {
  using Reg = unsigned char;
  using Acc = std::int32_t;
  static constexpr std::size_t kStep = 1;
  static Reg load(const unsigned char* p) noexcept { return *p; }
  static Reg load_tail(const unsigned char*, std::size_t) noexcept { return 0; }
  static Reg load_last(const unsigned char*, std::size_t) noexcept { return 0; }
  static Acc zero() noexcept { return 0; }
  static void upper(Acc& acc, const Staged& q, std::size_t i, Reg high) noexcept {
    acc += q.even[i] * ((high & 15) << 4) + q.odd[i] * (high & 240);
  }
  static void whole(Acc& acc, const Staged& q, std::size_t i, Reg high, Reg low) noexcept {
    upper(acc, q, i, high);
    acc += q.even[i] * (low & 15) + q.odd[i] * (low >> 4);
  }
  static Acc fold_upper(Acc a) noexcept { return a; }
  static Acc fold_whole(Acc a) noexcept { return a; }
  static std::int32_t sum(Acc a) noexcept { return a; }
  static void sum_four(Acc a, Acc b, Acc c, Acc d, std::int32_t bias, float* out) noexcept {
    ScalarByte::sum_four(a + bias, b + bias, c + bias, d + bias, 0, out);
  }
};

// Slicing by 8 (Kounavis and Berry, IEEE Trans. Computers 57, 2008).
struct CrcTables {
  std::uint32_t at[8][256];
};

constexpr CrcTables crc_tables() noexcept {
  CrcTables tables{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (0xedb88320U & (0U - (crc & 1U)));
    tables.at[0][byte] = crc;
  }
  for (int t = 1; t < 8; ++t) {
    for (std::uint32_t byte = 0; byte < 256; ++byte) {
      const std::uint32_t before = tables.at[t - 1][byte];
      tables.at[t][byte] = before >> 8 ^ tables.at[0][before & 255U];
    }
  }
  return tables;
}

constexpr CrcTables kCrc = crc_tables();

std::uint32_t crc32(const unsigned char* data, std::size_t size) noexcept {
  std::uint32_t crc = 0xffffffffU;
  for (; size >= 8; data += 8, size -= 8) {
    std::uint32_t low, high;
    __builtin_memcpy(&low, data, sizeof low);
    __builtin_memcpy(&high, data + 4, sizeof high);
    low ^= crc;
    crc = kCrc.at[7][low & 255U] ^ kCrc.at[6][low >> 8 & 255U] ^ kCrc.at[5][low >> 16 & 255U] ^
          kCrc.at[4][low >> 24] ^ kCrc.at[3][high & 255U] ^ kCrc.at[2][high >> 8 & 255U] ^
          kCrc.at[1][high >> 16 & 255U] ^ kCrc.at[0][high >> 24];
  }
  for (; size > 0; ++data, --size) crc = crc >> 8 ^ kCrc.at[0][(crc ^ *data) & 255U];
  return ~crc;
}

constexpr KernelTable scalar() noexcept {
  KernelTable all =
      with_planes<ScalarPlanes>(table<ScalarFloat, ScalarByte, ScalarBits, ScalarEdges>());
  all.crc32 = crc32;
  return all;
}

}  // namespace

constinit const KernelTable kScalar = scalar();

}  // namespace annx::kernels
