// Codes in two planes, so that a walk over the graph reads 4 bits a dimension:
//
//   [upper halves of all codes][float length][float scale][lower halves][lower bits, of 10]
//
// Byte j of a plane holds what belongs to dimension 2 j in its lower 4 bits and to 2 j + 1 in its
// upper. A code is 16 h + l - 136 for halves h and l; near() takes it for 16 h - 128, half a step
// from the middle of what it may be, to stay with integers. Halves past
// the end are 8 and 8, a code of 0.
#include <algorithm>
#include <cstring>

#include "kernels/dispatch.h"
#include "storage/planes.h"
#include "storage/scaled_space.h"

namespace annx {
namespace {

class PlanesSpace final : public ScaledSpace {
 public:
  PlanesSpace(std::size_t dim, Metric metric, std::uint64_t seed, bool more)
      : ScaledSpace(dim, metric, seed, layout(dim, more)),
        plane_(plane_bytes(dim)),
        planes_(kernels::selected_table().planes),
        upper_(kernels::selected_table().upper) {}

  std::size_t near_bytes() const noexcept override { return lower(); }

  void near(const Query& query, const std::byte* base, std::size_t pitch, const Slot* slots,
            std::size_t count, float* out) const noexcept override {
    compare(upper_, query, base, pitch, slots, count, out);
  }
  void distances(const Query& query, const std::byte* base, std::size_t pitch, const Slot* slots,
                 std::size_t count, float* out) const noexcept override {
    compare(planes_, query, base, pitch, slots, count, out);
  }

 private:
  static Layout layout(std::size_t dim, bool more) {
    const std::size_t plane = plane_bytes(dim), low = 2 * plane + sizeof(Factors);
    return {low + (more ? low_bytes(dim) : 0), plane, low, more, kLargestCode};
  }
  std::size_t lower() const noexcept { return plane_ + sizeof(Factors); }

  void compare(kernels::Planes kernel, const Query& query, const std::byte* base, std::size_t pitch,
               const Slot* slots, std::size_t count, float* out) const noexcept {
    kernel(static_cast<const unsigned char*>(query.data),
           reinterpret_cast<const unsigned char*>(base), pitch, slots, count, plane_, lower(), out);
    finish(query, base, pitch, slots, count, out);
  }

  void pack(const std::int8_t* codes, std::byte* stored) const noexcept override {
    auto* high = reinterpret_cast<std::uint8_t*>(stored);
    auto* low = reinterpret_cast<std::uint8_t*>(stored + lower());
    const auto above = [&](std::size_t i) {
      return static_cast<unsigned>(i < columns() ? codes[i] + kMiddle : kMiddle);
    };
    for (std::size_t j = 0; j < plane_; ++j) {
      const unsigned even = above(2 * j), odd = above(2 * j + 1);
      high[j] = static_cast<std::uint8_t>(even >> 4 | (odd & 0xf0U));
      low[j] = static_cast<std::uint8_t>((even & 15U) | (odd & 15U) << 4);
    }
  }

  const std::int8_t* codes(const std::byte* stored, std::size_t from, std::size_t count,
                           std::int8_t* room) const noexcept override {
    join_planes(stored + from / 2, stored + lower() + from / 2, count, room);
    return room;
  }

  float coarseness() const noexcept override { return 16; }

  std::size_t plane_;
  kernels::Planes planes_, upper_;
};

}  // namespace

std::unique_ptr<const Space> make_planes_space(std::size_t dim, Metric metric, std::uint64_t seed,
                                               bool more) {
  return std::make_unique<PlanesSpace>(dim, metric, seed, more);
}

}  // namespace annx
