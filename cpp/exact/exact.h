// Brute force: the ground truth, and the slow twin of the graph.
#pragma once

#include <cstddef>
#include <vector>

#include "base/types.h"
#include "storage/vectors.h"

namespace annx {

// The k nearest of the first `rows` rows, nearest first, ties by slot.
std::vector<Neighbor> exact_search(const Vectors& vectors, const Query& query, std::size_t rows,
                                   std::size_t k);

}  // namespace annx
