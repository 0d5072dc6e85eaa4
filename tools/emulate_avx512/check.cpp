// Compares every kernel of every table with a float64 reference, for dims 1 to 1100.
//
// Rows end where their allocation ends, so that AddressSanitizer sees a read past the end.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <iterator>
#include <limits>
#include <memory>
#include <vector>

#include "kernels/table.h"

namespace {

using namespace annx::kernels;

constexpr std::size_t kLastDim = 1100;
// Two groups of four rows, and a rest.
constexpr std::size_t kRows = 11;
constexpr const char* kTypeNames[] = {"f32", "f16",        "bf16",      "i8",
                                      "u8",  "f16_by_f32", "i8_by_f32", "u8_by_f32"};
// Types of the elements of a query and of a row.
constexpr Type kAsked[] = {kF32, kF16, kBF16, kI8, kU8, kF32, kF32, kF32};
constexpr Type kStored[] = {kF32, kF16, kBF16, kI8, kU8, kF16, kI8, kU8};
constexpr std::size_t kTypeSizes[] = {4, 2, 2, 1, 1};
static_assert(std::size(kTypeNames) == kTypes && std::size(kStored) == kTypes);

enum class Metric { kL2, kDot, kHamming };
// Even: magnitudes alike. Wild: every magnitude that the type has, subnormals included, up
// to where a sum of squares would overflow. Largest: the largest integers, to overflow sums.
enum class Values { kEven, kWild, kLargest };

const std::vector<double>& halves() {
  static const std::vector<double> table = [] {
    std::vector<double> out(1 << 16);
    for (unsigned h = 0; h < out.size(); ++h) {
      const int exponent = h >> 10 & 31;
      const double fraction = (h & 1023) / 1024.0;
      const double x = exponent ? std::ldexp(1 + fraction, exponent - 15)  //
                                : std::ldexp(fraction, -14);
      out[h] = h & 0x8000 ? -x : x;
    }
    return out;
  }();
  return table;
}

float from_bits(std::uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

template <class T>
T at(const unsigned char* row, std::size_t i) {
  T x;
  std::memcpy(&x, row + i * sizeof(T), sizeof x);
  return x;
}

std::vector<double> decode(Type type, const unsigned char* row, std::size_t dim) {
  std::vector<double> out(dim);
  for (std::size_t i = 0; i < dim; ++i) {
    switch (type) {
      case kF32:
        out[i] = at<float>(row, i);
        break;
      case kF16:
        out[i] = halves()[at<std::uint16_t>(row, i)];
        break;
      case kBF16:
        out[i] = from_bits(std::uint32_t{at<std::uint16_t>(row, i)} << 16);
        break;
      case kI8:
        out[i] = at<std::int8_t>(row, i);
        break;
      default:
        out[i] = row[i];
    }
  }
  return out;
}

class Random {
 public:
  // Marsaglia's xorshift64 (2003); its upper half.
  std::uint32_t bits() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return static_cast<std::uint32_t>(state_ >> 32);
  }
  // A float of 2^low <= |x| < 2^(high + 1), the exponent uniform.
  std::uint32_t float_bits(int low, int high) {
    const int exponent = low + static_cast<int>(bits() % static_cast<unsigned>(high - low + 1));
    const std::uint32_t fraction = bits() & 0x7fffff;
    const std::uint32_t sign = bits() & 0x80000000U;
    return sign | static_cast<std::uint32_t>(std::max(exponent + 127, 0)) << 23 | fraction;
  }

 private:
  std::uint64_t state_ = 0x9E3779B97F4A7C15;
};

std::uint32_t make(Type type, Values values, Random& random) {
  const bool wild = values == Values::kWild;
  switch (type) {
    case kF32:
      return wild ? random.float_bits(-127, 57) : random.float_bits(-1, 0);
    case kBF16:
      return (wild ? random.float_bits(-127, 57) : random.float_bits(-1, 0)) >> 16;
    case kF16:
      if (wild) return random.bits() % 0x7c00 | (random.bits() & 0x8000);
      return (random.bits() & 0x87ff) | 0x3800;
    default:
      if (values == Values::kLargest) return type == kU8 ? 255 : 128;
      return random.bits();
  }
}

// A row of its own allocation, at an odd address, that ends with it.
struct Bytes {
  explicit Bytes(std::size_t size) : memory(new unsigned char[size + 1]), data(memory.get() + 1) {}
  std::unique_ptr<unsigned char[]> memory;
  unsigned char* data;
};

struct Want {
  double value;
  double tolerance;
};

Want reference(Metric metric, Type type, const std::vector<double>& q,
               const std::vector<double>& r) {
  double total = 0, magnitude = 0;
  for (std::size_t i = 0; i < q.size(); ++i) {
    double term = 0;
    switch (metric) {
      case Metric::kL2:
        term = (q[i] - r[i]) * (q[i] - r[i]);
        break;
      case Metric::kDot:
        term = q[i] * r[i];
        break;
      case Metric::kHamming:
        term = __builtin_popcount(static_cast<unsigned>(q[i]) ^ static_cast<unsigned>(r[i]));
    }
    total += term;
    magnitude += std::abs(term);
  }
  if (kAsked[type] >= kI8) return {static_cast<double>(static_cast<float>(total)), 0};
  // Each of dim additions and the three roundings of a term may lose half a unit in the last
  // place; VDPBF16PS takes subnormal factors and products for zero.
  const double n = static_cast<double>(q.size());
  return {total, std::ldexp((n + 4) * magnitude, -24) + std::ldexp(n, type == kBF16 ? -67 : -149)};
}

struct Counts {
  std::size_t compared = 0, wrong = 0;
};

void compare(const char* table, const char* form, Metric metric, Type type, std::size_t dim,
             float got, const Want& want, Counts& counts) {
  ++counts.compared;
  if (std::abs(static_cast<double>(got) - want.value) <= want.tolerance) return;
  if (++counts.wrong > 20) return;
  constexpr const char* names[] = {"l2", "dot", "hamming"};
  std::fprintf(stderr, "%s %s %s %s dim %zu: got %.9g, want %.9g +- %.3g\n", table,
               names[static_cast<int>(metric)], metric == Metric::kHamming ? "" : kTypeNames[type],
               form, dim, static_cast<double>(got), want.value, want.tolerance);
}

void check(const char* name, const Kernel& kernel, Metric metric, Type type, Values values,
           std::size_t dim, Random& random, Counts& counts) {
  if (kernel.one == nullptr && kernel.many == nullptr) return;
  const std::size_t asked_size = dim * kTypeSizes[kAsked[type]];
  const std::size_t size = dim * kTypeSizes[kStored[type]];
  const std::size_t stride = size + dim % 3;
  const Bytes query(asked_size);
  const Bytes rows(stride * (kRows - 1) + size);
  const auto fill = [&](Type element, unsigned char* row) {
    for (std::size_t i = 0; i < dim; ++i) {
      const std::uint32_t x = make(element, values, random);
      for (std::size_t byte = 0; byte < kTypeSizes[element]; ++byte) {
        row[i * kTypeSizes[element] + byte] = static_cast<unsigned char>(x >> 8 * byte);
      }
    }
  };
  fill(kAsked[type], query.data);
  for (std::size_t i = 0; i < kRows; ++i) fill(kStored[type], rows.data + i * stride);
  if (values == Values::kLargest && metric == Metric::kL2) {
    std::memset(query.data, type == kU8 ? 0 : 127, asked_size);
  }

  std::vector<Want> want;
  const std::vector<double> decoded = decode(kAsked[type], query.data, dim);
  for (std::size_t i = 0; i < kRows; ++i) {
    want.push_back(
        reference(metric, type, decoded, decode(kStored[type], rows.data + i * stride, dim)));
    const float got = kernel.one(query.data, rows.data + i * stride, dim);
    compare(name, "one", metric, type, dim, got, want[i], counts);
  }
  const std::size_t count = dim % (kRows + 1);
  std::vector<std::uint32_t> slots(count);
  for (std::uint32_t& slot : slots) slot = random.bits() % kRows;
  // The guard shows a kernel that writes past its last result.
  std::vector<float> out(count + 1, -7.0f);
  kernel.many(query.data, rows.data, stride, nullptr, count, dim, out.data());
  for (std::size_t i = 0; i < count; ++i) {
    compare(name, "many", metric, type, dim, out[i], want[i], counts);
  }
  kernel.many(query.data, rows.data, stride, slots.data(), count, dim, out.data());
  for (std::size_t i = 0; i < count; ++i) {
    compare(name, "many by slot", metric, type, dim, out[i], want[slots[i]], counts);
  }
  compare(name, "guard", metric, type, dim, out[count], {-7.0, 0}, counts);
}

// Codes of edges and of 10 bits. Whatever the instruction set, estimates are the floats of the
// scalar kernel, which tests/conformance/test_edge_kernels.py compares with NumPy.
void check_codes(const char* name, const KernelTable& table, Random& random, Counts& counts) {
  const auto fill = [&](std::vector<unsigned char>& bytes, unsigned most) {
    for (unsigned char& b : bytes) b = static_cast<unsigned char>(random.bits() % (most + 1));
  };
  for (const std::size_t groups : {1, 2, 3, 9, 10, 11, 20, 21, 32, 63}) {
    for (unsigned bits = 1; bits <= 2; ++bits) {
      const Estimate estimate = table.estimate[bits - 1];
      if (estimate == nullptr) continue;
      std::vector<unsigned char> query(groups * (bits == 1 ? 64 : 16));
      std::vector<unsigned char> edges(128 + groups * 64 * bits);
      fill(query, 255);
      fill(edges, 255);
      for (unsigned j = 0; j < 32; ++j) {
        // Factors of an ordinary size, in either half.
        const std::uint32_t factors = 0x3f80'3f80U + (random.bits() & 0x80ff'80ffU);
        std::memcpy(&edges[4 * j], &factors, 4);
      }
      float got[32], want[32];
      const EdgeQuery asked{query.data(), 0.01f, -3.0f};
      const std::uint32_t mask = estimate(asked, edges.data(), groups, 2.0f, 0.5f, 1.0f, got);
      const std::uint32_t wanted =
          kScalar.estimate[bits - 1](asked, edges.data(), groups, 2.0f, 0.5f, 1.0f, want);
      counts.compared += 33;
      std::size_t wrong = mask != wanted;
      for (unsigned j = 0; j < 32; ++j) wrong += std::memcmp(&got[j], &want[j], 4) != 0;
      counts.wrong += wrong;
      if (wrong != 0) std::printf("%s: %u-bit estimates of %zu groups\n", name, bits, groups);
    }
  }
  for (std::size_t n = 1; table.hadamard != nullptr && n <= 4096; n *= 2) {
    std::vector<float> got(n);
    for (float& x : got) x = static_cast<float>(random.bits() % 2001) / 1000 - 1;
    std::vector<float> want = got;
    table.hadamard(got.data(), n);
    kScalar.hadamard(want.data(), n);
    ++counts.compared;
    if (got == want) continue;
    ++counts.wrong;
    std::printf("%s: transform of %zu\n", name, n);
  }
  for (std::size_t dim = 1; table.fine != nullptr && dim < 200; ++dim) {
    std::vector<unsigned char> high(dim), low((dim + 15) / 16 * 4);
    std::vector<float> query(dim);
    fill(high, 255);
    fill(low, 255);
    for (float& x : query) x = static_cast<float>(random.bits() % 2001) / 1000 - 1;
    const auto* codes = reinterpret_cast<const std::int8_t*>(high.data());
    const float got = table.fine(query.data(), codes, low.data(), dim);
    const float want = kScalar.fine(query.data(), codes, low.data(), dim);
    ++counts.compared;
    if (std::abs(got - want) <= 1e-4f * 512 * static_cast<float>(dim)) continue;
    ++counts.wrong;
    std::printf("%s: fine dot of dim %zu\n", name, dim);
  }
}

// Codes in planes, by whole codes and by their upper halves, against integers. Of the last row no
// more is there than the kernel is to read.
void check_planes(const char* name, const KernelTable& table, std::size_t dim, bool largest,
                  Random& random, Counts& counts) {
  const std::size_t plane = (dim + 7) / 8 * 4, lower = plane + 8, size = lower + plane;
  const auto pack = [&](const std::vector<int>& codes, unsigned char* row) {
    std::memset(row, 0xa5, lower);
    for (std::size_t j = 0; j < plane; ++j) {
      const auto u = [&](std::size_t i) { return i < dim ? codes[i] + 136 : 136; };
      const int even = u(2 * j), odd = u(2 * j + 1);
      row[j] = static_cast<unsigned char>(even >> 4 | (odd & 240));
      row[lower + j] = static_cast<unsigned char>((even & 15) | (odd & 15) << 4);
    }
  };
  const auto make_codes = [&] {
    const int sign = random.bits() % 2 != 0 ? 1 : -1;
    std::vector<int> codes(dim);
    for (int& c : codes) c = largest ? sign * 119 : static_cast<int>(random.bits() % 239) - 119;
    return codes;
  };
  const Bytes query(size);
  const std::vector<int> asked = make_codes();
  pack(asked, query.data);
  for (const bool whole : {true, false}) {
    const Planes kernel = whole ? table.planes : table.upper;
    if (kernel == nullptr) continue;
    const std::size_t stride = size + dim % 3, last = whole ? size : plane;
    const Bytes rows(stride * (kRows - 1) + last), row(size);
    std::vector<Want> want(kRows);
    for (std::size_t i = 0; i < kRows; ++i) {
      const std::vector<int> codes = make_codes();
      pack(codes, row.data);
      std::memcpy(rows.data + i * stride, row.data, i + 1 < kRows ? size : last);
      std::int64_t sum = 0;
      for (std::size_t j = 0; j < dim; ++j) {
        sum += asked[j] * (whole ? codes[j] : (codes[j] + 136) / 16 * 16 - 128);
      }
      want[i] = {static_cast<double>(static_cast<float>(sum)), 0};
    }
    const std::size_t count = dim % (kRows + 1);
    std::vector<std::uint32_t> slots(count);
    for (std::uint32_t& slot : slots) slot = random.bits() % kRows;
    std::vector<float> out(kRows + 1, -7.0f);
    const char* form = whole ? "whole codes" : "upper halves";
    kernel(query.data, rows.data, stride, slots.data(), count, plane, lower, out.data());
    for (std::size_t i = 0; i < count; ++i) {
      compare(name, form, Metric::kDot, kI8, dim, out[i], want[slots[i]], counts);
    }
    compare(name, "guard", Metric::kDot, kI8, dim, out[count], {-7.0, 0}, counts);
    kernel(query.data, rows.data, stride, nullptr, kRows, plane, lower, out.data());
    for (std::size_t i = 0; i < kRows; ++i) {
      compare(name, form, Metric::kDot, kI8, dim, out[i], want[i], counts);
    }
  }
}

Counts check_table(const char* name, const KernelTable& table) {
  Random random;
  Counts counts;
  check_codes(name, table, random, counts);
  for (std::size_t dim = 1; dim <= kLastDim; ++dim) {
    for (const Values values : {Values::kEven, Values::kWild}) {
      for (unsigned t = 0; t < kTypes; ++t) {
        const Type type = static_cast<Type>(t);
        check(name, table.l2[t], Metric::kL2, type, values, dim, random, counts);
        check(name, table.dot[t], Metric::kDot, type, values, dim, random, counts);
      }
    }
    check(name, table.hamming, Metric::kHamming, kU8, Values::kEven, dim, random, counts);
    check_planes(name, table, dim, false, random, counts);
  }
  // Two pieces of a query's codes from 2049 on.
  for (const std::size_t dim : {2047, 2048, 2049, 2057, 4096, 65536}) {
    for (const bool largest : {false, true}) {
      check_planes(name, table, dim, largest, random, counts);
    }
  }
  // Sums of bytes leave 32 bits after 2^31 / 255^2 = 33025 elements.
  for (const std::size_t dim : {32767, 32768, 32769, 33025, 33026, 65536}) {
    for (const Type type : {kI8, kU8}) {
      check(name, table.l2[type], Metric::kL2, type, Values::kLargest, dim, random, counts);
      check(name, table.dot[type], Metric::kDot, type, Values::kLargest, dim, random, counts);
    }
  }
  std::printf("%-14s %zu compared, %zu wrong\n", name, counts.compared, counts.wrong);
  return counts;
}

}  // namespace

int main() {
  struct Entry {
    const char* name;
    const KernelTable& table;
  };
  const Entry entries[] = {{"scalar", kScalar},          {"avx2", kAvx2},
                           {"avx512", kAvx512},          {"avx512_vnni", kAvx512Vnni},
                           {"avx512_bf16", kAvx512Bf16}, {"avx512_popcnt", kAvx512Popcnt}};
  std::size_t wrong = 0;
  for (const Entry& entry : entries) wrong += check_table(entry.name, entry.table).wrong;
  return wrong == 0 ? 0 : 1;
}
