#include "storage/rotation.h"

#include <bit>
#include <cmath>

#include "kernels/dispatch.h"

namespace annx {
namespace {

std::uint64_t next(std::uint64_t& state) noexcept {
  std::uint64_t x = state += 0x9e3779b97f4a7c15U;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
  return x ^ (x >> 31);
}

}  // namespace

Rotation::Rotation(std::size_t dim, std::uint64_t seed)
    : dim_(dim),
      window_(std::bit_floor(dim)),
      signs_(kRounds * dim),
      hadamard_(kernels::selected_table().hadamard) {
  const float inverse = 1 / std::sqrt(static_cast<float>(window_));
  for (std::size_t round = 0; round < kRounds; ++round) {
    const std::size_t from = start(round);
    for (std::size_t i = 0; i < dim_; ++i) {
      const float sign = (next(seed) >> 63) != 0 ? -1.0F : 1.0F;
      const bool inside = i >= from && i < from + window_;
      signs_[round * dim_ + i] = inside ? sign * inverse : sign;
    }
  }
}

void Rotation::apply(float* x) const noexcept {
  for (std::size_t round = 0; round < kRounds; ++round) {
    const float* signs = signs_.data() + round * dim_;
    for (std::size_t i = 0; i < dim_; ++i) x[i] *= signs[i];
    hadamard_(x + start(round), window_);
  }
}

// The scaled transform and the signs are each their own inverse.
void Rotation::invert(float* x) const noexcept {
  for (std::size_t round = kRounds; round-- > 0;) {
    const float* signs = signs_.data() + round * dim_;
    hadamard_(x + start(round), window_);
    for (std::size_t i = 0; i < dim_; ++i) x[i] *= signs[i];
  }
}

}  // namespace annx
