// Checksums of a section of a file, block by block.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "storage/guard.h"

namespace annx {

// CRC-32 of block `number`, of which the last may be shorter.
std::uint32_t block_sum(std::span<const std::byte> section, std::size_t number) noexcept;
// Writes blocks_of(size) of them.
void block_sums(std::span<const std::byte> section, std::size_t num_threads, std::uint32_t* out);

}  // namespace annx
