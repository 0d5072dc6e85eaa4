// A set of slots as one bit each, that grows as bits are set.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace annx {

class Bits {
 public:
  bool test(std::size_t i) const noexcept {
    return i / 64 < words_.size() && (words_[i / 64] >> (i % 64) & 1) != 0;
  }
  bool empty() const noexcept { return count_ == 0; }
  std::size_t count() const noexcept { return count_; }
  std::size_t bytes() const noexcept { return words_.size() * sizeof words_[0]; }

  // Room for bits below `size`: setting these does not throw.
  void reserve(std::size_t size) {
    if (words_.size() * 64 < size) words_.resize(size / 64 + 1 + size / 256);
  }
  void set(std::size_t i) {
    reserve(i + 1);
    count_ += test(i) ? 0 : 1;
    words_[i / 64] |= std::uint64_t{1} << (i % 64);
  }
  void reset(std::size_t i) noexcept {
    if (!test(i)) return;
    words_[i / 64] &= ~(std::uint64_t{1} << (i % 64));
    --count_;
  }
  void clear() noexcept {
    words_.clear();
    count_ = 0;
  }

 private:
  std::vector<std::uint64_t> words_;
  std::size_t count_ = 0;
};

}  // namespace annx
