// Verifies what is mapped from a file block by block, each when it is first used.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>

namespace annx {

// Bytes of a section that one checksum covers.
inline constexpr std::size_t kBlockBytes = std::size_t{1} << 16;

constexpr std::size_t blocks_of(std::size_t bytes) noexcept {
  return (bytes + kBlockBytes - 1) / kBlockBytes;
}

class Guard {
 public:
  explicit Guard(std::size_t bytes)
      : blocks_(blocks_of(bytes)), verified_(new std::atomic<bool>[blocks_]()), left_(blocks_) {}
  virtual ~Guard() = default;
  Guard(const Guard&) = delete;
  Guard& operator=(const Guard&) = delete;

  // Nothing is left to verify.
  bool done() const noexcept { return left_.load(std::memory_order_relaxed) == 0; }
  // Before `count` bytes from `from` on are used. Throws FormatError.
  void touch(std::size_t from, std::size_t count) const {
    for (std::size_t b = from / kBlockBytes; b <= (from + count - 1) / kBlockBytes; ++b) {
      if (!verified_[b].load(std::memory_order_acquire)) verify(b);
    }
  }
  void touch_all() const {
    for (std::size_t b = 0; b < blocks_; ++b) {
      if (!verified_[b].load(std::memory_order_acquire)) verify(b);
    }
  }

 private:
  // Throws FormatError unless a block is what was written, and what an engine may trust.
  virtual void check(std::size_t block) const = 0;
  void verify(std::size_t block) const {
    check(block);
    if (!verified_[block].exchange(true, std::memory_order_acq_rel)) left_.fetch_sub(1);
  }

  std::size_t blocks_;
  std::unique_ptr<std::atomic<bool>[]> verified_;
  mutable std::atomic<std::size_t> left_;
};

}  // namespace annx
