// Ways from one cluster to another that went with the rows which were removed.
//
// Where clusters are far apart, few rows lead from one to another, and a row that loses its
// neighbours finds others close by. What a removed row led to may then be found by no narrow
// search. So it is searched for, and where that ends elsewhere a link leads from there: if it is
// nearer than what was found, which under inner products a short row is not.
#include <algorithm>
#include <array>
#include <limits>

#include "base/thread_pool.h"
#include "graph/graph.h"

namespace annx {

// The farthest of what the dead lead to, which no other of their neighbours hides.
std::vector<Slot> Graph::ends_of_ways(const std::vector<Slot>& dead, std::size_t num_threads,
                                      ScratchPool& scratches) const {
  constexpr std::size_t kEnds = 2, kTask = 64;
  std::vector<Slot> ends(dead.size() * kEnds, kNoLink);
  parallel_for((dead.size() + kTask - 1) / kTask, num_threads, [&](std::size_t task) {
    ScratchPool::Lease lease(scratches);
    Scratch& scratch = *lease;
    make_room(scratch);
    for (std::size_t i = task * kTask; i < std::min(dead.size(), (task + 1) * kTask); ++i) {
      const Slot* row = links_of(dead[i]);
      std::size_t count = 0;
      for (std::size_t j = 0; j < degree() && row[j] != kNoLink; ++j) {
        const Slot slot = row[j] & kSlotMask;
        if ((row[j] & kOccludedFlag) == 0 && !dead_.test(slot)) scratch.slots[count++] = slot;
      }
      vectors_.distances(vectors_.query(dead[i]), scratch.slots.data(), count, scratch.near.data());
      for (std::size_t end = 0; end < std::min(kEnds, count); ++end) {
        float* far = std::max_element(scratch.near.data(), scratch.near.data() + count);
        ends[i * kEnds + end] = scratch.slots[static_cast<std::size_t>(far - scratch.near.data())];
        *far = -std::numeric_limits<float>::infinity();
      }
    }
  });
  std::sort(ends.begin(), ends.end());
  ends.erase(std::unique(ends.begin(), ends.end()), ends.end());
  if (!ends.empty() && ends.back() == kNoLink) ends.pop_back();
  return ends;
}

// Takes `target` into a row in place of its farthest occluded link that is none of the tree's.
void Graph::lead(Slot* row, Slot from, Slot target, Scratch& scratch) const {
  std::size_t count = 0;
  for (; count < degree() && row[count] != kNoLink; ++count) {
    if ((row[count] & kSlotMask) == target) return;
    scratch.slots[count] = row[count] & kSlotMask;
  }
  if (count < degree()) {
    row[count] = target;
    return;
  }
  vectors_.distances(vectors_.query(from), scratch.slots.data(), count, scratch.near.data());
  std::size_t victim = count;
  for (std::size_t i = 0; i < count; ++i) {
    if ((row[i] & kOccludedFlag) == 0 || (row[i] & kTreeFlag) != 0) continue;
    if (victim == count || scratch.near[i] > scratch.near[victim]) victim = i;
  }
  if (victim < count) row[victim] = target;
}

void Graph::mend_ways(std::vector<Slot> ends, std::size_t rows, std::size_t num_threads,
                      ScratchPool& scratches, Gate& gate, const std::function<void()>& poll) {
  // As narrow as searches are. What one link leads to, the second round finds.
  constexpr std::size_t kWidth = 32, kRounds = 2;
  constexpr std::size_t kTask = 16, kBlock = 1024;
  std::array<Slot, kBlock> found;
  RowEdits edits(base_links());
  for (std::size_t round = 0; round < kRounds && !ends.empty(); ++round) {
    std::vector<Slot> missed;
    for (std::size_t first = 0; first < ends.size(); first += kBlock) {
      const std::size_t count = std::min(kBlock, ends.size() - first);
      parallel_for((count + kTask - 1) / kTask, num_threads, [&](std::size_t task) {
        ScratchPool::Lease lease(scratches);
        Scratch& scratch = *lease;
        for (std::size_t i = task * kTask; i < std::min(count, (task + 1) * kTask); ++i) {
          const Slot end = ends[first + i];
          const Query query = vectors_.query(end);
          search(query, kWidth, rows, scratch);
          const Pool& pool = scratch.pool;
          bool missed = pool.size() > 0 && vectors_.near(query, end) < pool.limit();
          for (std::size_t j = 0; j < pool.size(); ++j) missed = missed && pool[j].id != end;
          found[i] = missed ? pool[0].id : end;
        }
      });
      ScratchPool::Lease lease(scratches);
      make_room(*lease);
      for (std::size_t i = 0; i < count; ++i) {
        if (found[i] == ends[first + i]) continue;
        missed.push_back(ends[first + i]);
        lead(edits.edit(found[i]), found[i], ends[first + i], *lease);
      }
      reserve_ready(0);
      write(edits.ids(), edits.at(0), num_threads, gate);
      edits.clear();
      poll();
    }
    ends = std::move(missed);
  }
}

}  // namespace annx
