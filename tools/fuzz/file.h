// Index files as the fuzzers see them: sections by name, without checksums, which would stop every
// change at once. docs/file-format.md says what they mean.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "check/check.h"
#include "check/mapped.h"

namespace annx::fuzz {

using Bytes = std::vector<std::byte>;

struct Header {
  std::uint32_t dim = 1, M = 2, ef_construction = 1, ef_search = 1;
  std::uint8_t metric = 0, codec = 0, keep = 0, wide = 0;
  std::uint64_t seed = 0, n = 0;
  std::uint32_t entry = 0;
  std::uint8_t preset = 0, wish = 0, edge_bits = 0;

  bool scaled() const noexcept { return codec >= 6; }
  bool planes() const noexcept { return codec == 8; }
  bool more() const noexcept { return codec == 7 || (planes() && keep == 0); }
  Metric metric_kind() const noexcept { return static_cast<Metric>(metric); }
  Codec codec_kind() const noexcept { return scaled() ? Codec::kF32 : static_cast<Codec>(codec); }
  Codec keep_kind() const noexcept { return keep == 1 ? Codec::kF16 : Codec::kF32; }
  // What rows come in as.
  Codec input() const noexcept { return wide != 0 ? Codec::kF32 : codec_kind(); }
  bool has_norms() const noexcept { return metric == 2 && (codec == 0 || (scaled() && keep == 2)); }
  // The rules for a header alone, and small enough for many runs a second.
  bool sound() const noexcept;
  StateFormat format() const;
};

struct File {
  Header head;
  std::map<std::string, Bytes> sections;

  template <class T>
  std::span<T> as(const std::string& name) {
    Bytes& bytes = sections[name];
    return {reinterpret_cast<T*>(bytes.data()), bytes.size() / sizeof(T)};
  }
};

// Bytes of an element of a section; 0 of one that is unknown.
std::size_t element_of(const std::string& section);

// Null for what is no such file, or has a part that is cut off.
std::optional<File> decode(std::span<const std::byte> data);
// Without section "sums": whoever wants checksums makes it.
Bytes encode(File& file);

// The sections as arrays, if their lengths are those that the header asks for. They live as long
// as the file and do not change.
std::optional<MappedState> view(File& file);

}  // namespace annx::fuzz
