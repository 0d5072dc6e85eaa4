// How a query was answered, on demand.
#pragma once

#include <cstddef>
#include <cstdint>

namespace annx {

enum class Plan : std::int64_t {
  kScan = 0,     // every row that passes was compared
  kGraph = 1,    // a beam through the graph, of rows that pass
  kTwoHop = 2,   // a beam over the rows that pass alone
  kFallback = 3  // a beam stalled, and every row that passes was compared
};

// Why there are fewer hits than asked for.
enum class Short : std::int64_t { kNot = 0, kRows = 1, kFilter = 2 };

struct Report {
  static constexpr std::size_t kFields = 4;
  Plan plan = Plan::kGraph;
  std::size_t expanded = 0;
  std::size_t distances = 0;
  Short reason = Short::kNot;
};

}  // namespace annx
