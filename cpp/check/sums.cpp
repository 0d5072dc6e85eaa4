#include "check/sums.h"

#include <algorithm>

#include "base/thread_pool.h"
#include "kernels/dispatch.h"

namespace annx {

std::uint32_t block_sum(std::span<const std::byte> section, std::size_t number) noexcept {
  const std::size_t from = number * kBlockBytes;
  const auto* data = reinterpret_cast<const unsigned char*>(section.data());
  return kernels::selected_table().crc32(data + from, std::min(kBlockBytes, section.size() - from));
}

void block_sums(std::span<const std::byte> section, std::size_t num_threads, std::uint32_t* out) {
  constexpr std::size_t kTask = 8;  // blocks: some 50 microseconds
  const std::size_t blocks = blocks_of(section.size());
  parallel_for((blocks + kTask - 1) / kTask, num_threads, [&](std::size_t task) {
    for (std::size_t b = task * kTask; b < std::min(blocks, (task + 1) * kTask); ++b) {
      out[b] = block_sum(section, b);
    }
  });
}

}  // namespace annx
