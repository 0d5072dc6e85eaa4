// Asking for memory before it is read.
#pragma once

#include <cstddef>
#include <cstdint>

namespace annx {

inline constexpr std::uintptr_t kCacheLine = 64;

// Into L2, not L1: on Zen 4 the misses that L1 keeps track of admit 9 GB/s from memory, those of L2
// 17 GB/s (rows of 384 to 3,776 bytes at random).
inline void prefetch(const void* from, std::size_t bytes) noexcept {
#if defined(__GNUC__)
  const auto first = reinterpret_cast<std::uintptr_t>(from);
  for (std::uintptr_t line = first & ~(kCacheLine - 1); line < first + bytes; line += kCacheLine) {
    __builtin_prefetch(reinterpret_cast<const void*>(line), 0, 2);
  }
#else
  (void)from;
  (void)bytes;
#endif
}

}  // namespace annx
