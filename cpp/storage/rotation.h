// A seeded random rotation in O(d log d): rounds of random signs and a fast Hadamard transform on
// the largest power-of-two window, at the front and at the back in turn (FhtKac of Gao et al.,
// "RaBitQ", SIGMOD 2024, without padding). It spreads every vector evenly over its coordinates, so
// that a scale per vector quantises any data well without training.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/table.h"

namespace annx {

class Rotation {
 public:
  Rotation(std::size_t dim, std::uint64_t seed);

  // In place.
  void apply(float* x) const noexcept;
  void invert(float* x) const noexcept;

 private:
  std::size_t start(std::size_t round) const noexcept {
    return round % 2 == 0 ? 0 : dim_ - window_;
  }

  static constexpr std::size_t kRounds = 2;

  std::size_t dim_;
  std::size_t window_;
  std::vector<float> signs_;  // kRounds x dim, with the window's 1 / sqrt folded in
  kernels::Transform hadamard_;
};

}  // namespace annx
