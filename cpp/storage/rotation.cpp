#include "storage/rotation.h"

#include <bit>
#include <cmath>

namespace annx {
namespace {

std::uint64_t next(std::uint64_t& state) noexcept {
  std::uint64_t x = state += 0x9e3779b97f4a7c15U;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
  return x ^ (x >> 31);
}

void hadamard(float* x, std::size_t n) noexcept {
  std::size_t half = 1;
  if (n >= 4) {  // the two narrowest steps together
    for (std::size_t i = 0; i < n; i += 4) {
      const float a = x[i] + x[i + 1], b = x[i] - x[i + 1];
      const float c = x[i + 2] + x[i + 3], d = x[i + 2] - x[i + 3];
      x[i] = a + c;
      x[i + 1] = b + d;
      x[i + 2] = a - c;
      x[i + 3] = b - d;
    }
    half = 4;
  }
  for (; half < n; half *= 2) {
    for (std::size_t i = 0; i < n; i += 2 * half) {
      for (std::size_t j = i; j < i + half; ++j) {
        const float a = x[j], b = x[j + half];
        x[j] = a + b;
        x[j + half] = a - b;
      }
    }
  }
}

}  // namespace

Rotation::Rotation(std::size_t dim, std::uint64_t seed)
    : dim_(dim), window_(std::bit_floor(dim)), signs_(kRounds * dim) {
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
    hadamard(x + start(round), window_);
  }
}

// The scaled transform and the signs are each their own inverse.
void Rotation::invert(float* x) const noexcept {
  for (std::size_t round = kRounds; round-- > 0;) {
    const float* signs = signs_.data() + round * dim_;
    hadamard(x + start(round), window_);
    for (std::size_t i = 0; i < dim_; ++i) x[i] *= signs[i];
  }
}

}  // namespace annx
