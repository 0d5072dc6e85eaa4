// Codes of a node's edges beside its links, so that one sequential read gives the estimated
// distances of all its neighbours. After SymphonyQG (Gou et al., SIGMOD 2025): the node itself is
// the centre, and each neighbour is the rotated difference to it in 1 or 2 bits a dimension, with
// RaBitQ's unbiased estimator (Gao and Long, SIGMOD 2024). Everything here follows from the links
// and the rows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "base/types.h"
#include "kernels/table.h"
#include "storage/rotation.h"
#include "storage/vectors.h"

namespace annx {

class EdgeCodes {
 public:
  // Edges of a block, which one kernel call estimates.
  static constexpr std::size_t kBlock = 32;

  // `bits` of 1 or 2.
  EdgeCodes(const Space& space, std::size_t degree, unsigned bits, std::uint64_t seed);

  // Bytes of a node's links and codes: the lead of its row in a Vectors. The links come first.
  std::size_t bytes() const noexcept { return blocks_ * (kBlock * sizeof(Slot) + block_bytes_); }
  std::size_t blocks() const noexcept { return blocks_; }

  // What encode() works in.
  struct Room {
    std::vector<float> centre, r;
    std::vector<std::int32_t> code;
  };
  Room room() const;
  // Makes in `lead` what is to lead a node's row once `links` are its links. Codes are taken from
  // what leads it now where a link stays in its place.
  void change(const Vectors& vectors, Slot node, const Slot* links, std::byte* lead,
              Room& room) const noexcept;
  // Those of all nodes beneath `rows`; `between` is called with the share of the work done.
  void encode_all(Vectors& vectors, std::size_t rows, std::size_t num_threads,
                  const std::function<void(double)>& between) const;

  // What prepare() needs.
  std::size_t work_bytes() const noexcept;
  kernels::EdgeQuery prepare(const Space& space, const Query& query,
                             std::byte* work) const noexcept;

  // Estimates of a block of edges from the node's own distance, with a mask of those beneath
  // `limit`; those of missing links mean nothing.
  std::uint32_t estimate(const kernels::EdgeQuery& query, const Vectors& vectors, Slot node,
                         std::size_t block, float distance, float limit,
                         float* out) const noexcept {
    return estimate_(query, codes(vectors.lead(node), block), groups_, distance,
                     weight(vectors, node, distance), limit, out);
  }

 private:
  const unsigned char* codes(const std::byte* lead, std::size_t block) const noexcept {
    return reinterpret_cast<const unsigned char*>(lead) + blocks_ * kBlock * sizeof(Slot) +
           block * block_bytes_;
  }
  float weight(const Vectors& vectors, Slot node, float distance) const noexcept;
  void rotate(float* x) const noexcept {
    if (rotation_) rotation_->apply(x);
  }
  // Writes the code of the edge at a place of a lead's links; centre() comes first.
  void encode(const Vectors& vectors, std::byte* lead, std::size_t place,
              Room& room) const noexcept;
  void centre(const Vectors& vectors, Slot node, Room& room) const noexcept;
  void write(unsigned char* block, std::size_t place, const std::vector<std::int32_t>& code,
             float a, float b) const noexcept;

  Metric metric_;
  std::size_t dim_;
  std::size_t degree_;
  unsigned bits_;
  std::size_t groups_;  // of 16 dimensions
  std::size_t blocks_;
  std::size_t block_bytes_;
  std::optional<Rotation> rotation_;  // where rows are not rotated themselves
  kernels::Estimate estimate_;
};

}  // namespace annx
