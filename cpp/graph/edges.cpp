#include "graph/edges.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "base/thread_pool.h"
#include "kernels/dispatch.h"
#include "storage/rounding.h"

namespace annx {
namespace {

// The step of the best 4-level quantiser of a normal variable (Max, IRE Trans. 1960, table I).
constexpr float kStep = 0.9957F;

// Sums in lanes, which the compiler may keep in vectors.
constexpr std::size_t kLanes = 8;
using Lanes = std::array<float, kLanes>;

float total(const Lanes& x) noexcept {
  return ((x[0] + x[4]) + (x[2] + x[6])) + ((x[1] + x[5]) + (x[3] + x[7]));
}

// r = r - centre; returns |r|^2.
float subtract(const float* __restrict centre, std::size_t count, float* __restrict r) noexcept {
  Lanes squares{};
  for (std::size_t i = 0; i < count; i += kLanes) {
    for (std::size_t l = 0; l < kLanes; ++l) {
      r[i + l] -= centre[i + l];
      squares[l] += r[i + l] * r[i + l];
    }
  }
  return total(squares);
}

// With r the difference to a neighbour, u its centred code and c the node.
struct Dots {
  float along;  // <r, u>
  float own;    // <c, u>
  float aside;  // <c, r>
};

template <int kBits>
Dots quantise(const float* __restrict r, const float* __restrict centre, std::size_t count,
              float inverse, std::int32_t* __restrict code) noexcept {
  constexpr float kMiddle = kBits == 1 ? 0.5F : 1.5F;
  Lanes along{}, own{}, aside{};
  for (std::size_t i = 0; i < count; i += kLanes) {
    for (std::size_t l = 0; l < kLanes; ++l) {
      const float x = r[i + l], c = centre[i + l];
      // The interval's number, from its lower ends: 0, or -1, 0 and 1 steps.
      std::int32_t level = x > 0 ? 1 : 0;
      if (kBits == 2) level += (x * inverse >= -1 ? 1 : 0) + (x * inverse >= 1 ? 1 : 0);
      const float u = static_cast<float>(level) - kMiddle;
      code[i + l] = level;
      along[l] += x * u;
      own[l] += c * u;
      aside[l] += c * x;
    }
  }
  return {total(along), total(own), total(aside)};
}

// All bits where element e of 4 is in subset s.
constexpr std::array<std::array<std::uint16_t, 16>, 4> kSubsets = [] {
  std::array<std::array<std::uint16_t, 16>, 4> subsets{};
  for (std::size_t e = 0; e < 4; ++e) {
    for (std::size_t s = 0; s < 16; ++s) subsets[e][s] = (s >> e & 1U) != 0 ? 0xffff : 0;
  }
  return subsets;
}();

// Parts of a unit that an element of a query is rounded to, before four of them are added.
constexpr std::uint16_t kParts = 128;

// What of a 16-bit integer is below 0.
std::int32_t below(std::uint16_t x) noexcept {
  const auto value = static_cast<std::int16_t>(x);
  return value & value >> 15;
}

// The query of 2-bit codes, as int8.
kernels::EdgeQuery as_codes(const float* __restrict x, std::size_t padded,
                            std::byte* __restrict data) noexcept {
  const float largest = std::max(0x1p-100F, largest_of(x, padded));
  auto* codes = reinterpret_cast<std::int8_t*>(data);
  const float inverse = 127 / largest;
  std::int32_t sum = 0;
  for (std::size_t i = 0; i < padded; ++i) {
    const std::int32_t code = nearest_integer(x[i] * inverse);
    codes[i] = static_cast<std::int8_t>(code);
    sum += code;
  }
  const float scale = largest / 127;
  return {data, scale, -1.5F * scale * static_cast<float>(sum)};
}

// That of 1-bit codes. Each table holds the sums of all subsets of 4 elements, above the least of
// them, in units that keep an entry within a byte and the sum of all within 16 bits. From the least
// to the greatest it is the sum of the magnitudes.
kernels::EdgeQuery as_tables(const float* __restrict x, std::size_t padded,
                             std::byte* __restrict data) noexcept {
  const std::size_t tables = padded / 4;
  std::array<float, 4> widest, magnitudes{};
  widest.fill(0x1p-100F);
  for (std::size_t t = 0; t < tables; t += widest.size()) {
    for (std::size_t l = 0; l < widest.size(); ++l) {
      const float* four = x + 4 * (t + l);
      const float sum =
          (std::abs(four[0]) + std::abs(four[1])) + (std::abs(four[2]) + std::abs(four[3]));
      widest[l] = std::max(widest[l], sum);
      magnitudes[l] += sum;
    }
  }
  const float units = std::min(255.0F, 65535.0F / static_cast<float>(tables) - 1) /
                      *std::max_element(widest.begin(), widest.end());
  auto* parts = reinterpret_cast<std::uint16_t*>(data + padded * sizeof(float));
  for (std::size_t i = 0; i < padded; ++i) {
    parts[i] = static_cast<std::uint16_t>(nearest_integer(x[i] * (units * kParts)));
  }
  auto* bytes = reinterpret_cast<std::uint8_t*>(data);
  for (std::size_t t = 0; t < tables; ++t) {
    const std::uint16_t a = parts[4 * t], b = parts[4 * t + 1], c = parts[4 * t + 2],
                        d = parts[4 * t + 3];
    const auto low =
        static_cast<std::uint16_t>(kParts / 2 - below(a) - below(b) - below(c) - below(d));
    // All entries in one expression, which the compiler makes vectors of: 1.5 ns a table, one
    // entry from another 12.
    std::uint8_t* table = bytes + 16 * t;
    for (std::size_t s = 0; s < 16; ++s) {
      const auto sum =
          static_cast<std::uint16_t>(low + (kSubsets[0][s] & a) + (kSubsets[1][s] & b) +
                                     (kSubsets[2][s] & c) + (kSubsets[3][s] & d));
      table[s] = static_cast<std::uint8_t>(sum / kParts);
    }
  }
  return {data, 1 / units,
          -0.5F * ((magnitudes[0] + magnitudes[1]) + (magnitudes[2] + magnitudes[3]))};
}

// Rounded to nearest even; finite stays finite.
std::uint32_t to_bfloat(float x) noexcept {
  const auto bits = std::bit_cast<std::uint32_t>(std::clamp(x, -1e38F, 1e38F));
  return (bits + 0x7fffU + (bits >> 16 & 1U)) >> 16;
}

}  // namespace

EdgeCodes::EdgeCodes(const Space& space, std::size_t degree, unsigned bits, std::uint64_t seed)
    : metric_(space.metric()),
      dim_(space.columns()),
      degree_(degree),
      bits_(bits),
      groups_((dim_ + 15) / 16),
      blocks_((degree + kBlock - 1) / kBlock),
      block_bytes_(kBlock * sizeof(std::uint32_t) + groups_ * 64 * bits),
      rotation_(space.is_rotated() ? std::nullopt : std::make_optional<Rotation>(dim_, seed)),
      estimate_(kernels::selected_table().estimate[bits - 1]) {}

EdgeCodes::Room EdgeCodes::room() const {
  const std::size_t padded = groups_ * 16;
  return {std::vector<float>(padded), std::vector<float>(padded),
          std::vector<std::int32_t>(padded)};
}

// With c the node, r the difference to a neighbour, u its code (centred) and F = |r|^2 / <r, u>, so
// that F <x, u> estimates <x, r> without bias over rotations:
//   l2:  |q - c - r|^2 = |q - c|^2 + (|r|^2 + 2 F <c, u>) - 2 F <q, u>
//   dot: 1 - <q, c + r> = (1 - <q, c>) + w (F <c, u> - <c, r>) - F <q, u>
// for any w; the w that makes q - w c shortest has the least error (see weight()).
void EdgeCodes::encode(const Vectors& vectors, std::byte* lead, std::size_t place,
                       Room& room) const noexcept {
  const std::size_t padded = groups_ * 16;
  auto& [centre, r, code] = room;
  const Slot link = reinterpret_cast<const Slot*>(lead)[place];
  auto* block = const_cast<unsigned char*>(codes(lead, place / kBlock));
  if (link == kNoLink) {
    std::fill(code.begin(), code.end(), 0);
    write(block, place % kBlock, code, 0, 0);
    return;
  }
  vectors.space().unpack(vectors.row(link & kSlotMask), r.data());
  rotate(r.data());
  const float square = subtract(centre.data(), padded, r.data());
  const float step = kStep * std::sqrt(square / static_cast<float>(dim_));
  const float inverse = step > 0x1p-119F ? 1 / step : 0;
  const Dots dots = bits_ == 1 ? quantise<1>(r.data(), centre.data(), padded, inverse, code.data())
                               : quantise<2>(r.data(), centre.data(), padded, inverse, code.data());
  const float factor = dots.along > 0 ? square / dots.along : 0;  // 0 for a copy of the node
  if (metric_ == Metric::kL2) {
    write(block, place % kBlock, code, square + 2 * factor * dots.own, -2 * factor);
  } else {
    write(block, place % kBlock, code, factor * dots.own - dots.aside, -factor);
  }
}

void EdgeCodes::centre(const Vectors& vectors, Slot node, Room& room) const noexcept {
  vectors.space().unpack(vectors.row(node), room.centre.data());
  rotate(room.centre.data());
}

void EdgeCodes::change(const Vectors& vectors, Slot node, const Slot* links, std::byte* lead,
                       Room& room) const noexcept {
  std::memcpy(lead, vectors.lead(node), bytes());
  auto* row = reinterpret_cast<Slot*>(lead);
  bool prepared = false;
  for (std::size_t i = 0; i < degree_; ++i) {
    const Slot before = row[i];
    row[i] = links[i];
    const bool same = before == links[i] || (before != kNoLink && links[i] != kNoLink &&
                                             (before & kSlotMask) == (links[i] & kSlotMask));
    if (same) continue;
    if (!prepared) centre(vectors, node, room);
    prepared = true;
    encode(vectors, lead, i, room);
  }
}

void EdgeCodes::encode_all(Vectors& vectors, std::size_t rows, std::size_t num_threads,
                           const std::function<void(double)>& between) const {
  constexpr std::size_t kTask = 64;   // rows: some 2 ms at 384-d
  constexpr std::size_t kRound = 16;  // tasks: some 30 ms
  parallel_rounds((rows + kTask - 1) / kTask, num_threads, kRound, between, [&](std::size_t task) {
    Room work = room();
    for (std::size_t i = task * kTask; i < std::min(rows, (task + 1) * kTask); ++i) {
      centre(vectors, static_cast<Slot>(i), work);
      for (std::size_t place = 0; place < degree_; ++place) {
        encode(vectors, vectors.lead(static_cast<Slot>(i)), place, work);
      }
    }
  });
}

void EdgeCodes::write(unsigned char* block, std::size_t place,
                      const std::vector<std::int32_t>& code, float a, float b) const noexcept {
  const std::uint32_t factors = to_bfloat(a) << 16 | to_bfloat(b);
  std::memcpy(block + place * sizeof factors, &factors, sizeof factors);
  unsigned char* codes = block + kBlock * sizeof factors;
  if (bits_ == 1) {
    const unsigned shift = place < 16 ? 0 : 4;
    for (std::size_t t = 0; t < 4 * groups_; ++t) {
      const std::int32_t* four = &code[4 * t];
      const auto bits = static_cast<unsigned>(four[0] | four[1] << 1 | four[2] << 2 | four[3] << 3);
      unsigned char& byte = codes[16 * t + place % 16];
      byte = static_cast<unsigned char>((byte & 0xf0U >> shift) | bits << shift);
    }
    return;
  }
  for (std::size_t g = 0; g < groups_; ++g) {
    unsigned char* bytes = codes + 128 * g + place / 16 * 64 + place % 16 * 4;
    const std::int32_t* dims = &code[16 * g];
    for (std::size_t e = 0; e < 4; ++e) {
      bytes[e] = static_cast<unsigned char>(dims[e] | dims[4 + e] << 2 | dims[8 + e] << 4 |
                                            dims[12 + e] << 6);
    }
  }
}

std::size_t EdgeCodes::work_bytes() const noexcept {
  // The query as floats, then int8, or tables and what they are made of.
  return groups_ * 16 * (sizeof(float) + (bits_ == 1 ? 4 + sizeof(std::uint16_t) : 1));
}

kernels::EdgeQuery EdgeCodes::prepare(const Space& space, const Query& query,
                                      std::byte* work) const noexcept {
  auto* x = reinterpret_cast<float*>(work);
  const std::size_t padded = groups_ * 16;
  space.unpack(query, x);
  rotate(x);
  std::fill(x + dim_, x + padded, 0.0F);
  std::byte* data = work + padded * sizeof(float);
  return bits_ == 2 ? as_codes(x, padded, data) : as_tables(x, padded, data);
}

// Under dot products q - w c is shortest for w = <q, c> / |c|^2.
float EdgeCodes::weight(const Vectors& vectors, Slot node, float distance) const noexcept {
  if (metric_ == Metric::kL2) return 1;
  if (metric_ == Metric::kCosine) return 1 - distance;
  const float square = 1 - vectors.distance(vectors.query(node), node);
  return square > 0 ? (1 - distance) / square : 1;
}

}  // namespace annx
