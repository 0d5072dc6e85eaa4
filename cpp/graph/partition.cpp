#include "graph/partition.h"

#include <algorithm>
#include <limits>

#include "base/thread_pool.h"

namespace annx {
namespace {

// Leaders of one split: comparing with more would cost more than another split.
constexpr std::size_t kMostLeaders = 512;
// A split that leaves more than this share in one group is not worth repeating: the rows are near
// duplicates or lie in no clusters that leaders can tell apart.
constexpr double kUseless = 0.9;

struct Group {
  std::vector<Slot> slots;
  std::vector<std::uint8_t> turn;
  std::uint64_t seed;
};

std::uint64_t mix(std::uint64_t x) noexcept {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
  return x ^ (x >> 31);
}

// The leaders: a sample without repeats, by Floyd's method on positions.
std::vector<Slot> sample(const std::vector<Slot>& slots, std::size_t count, std::uint64_t seed) {
  std::vector<std::size_t> chosen;
  for (std::size_t j = slots.size() - count; j < slots.size(); ++j) {
    const std::size_t t = mix(seed += 0x9e3779b97f4a7c15U) % (j + 1);
    chosen.push_back(std::find(chosen.begin(), chosen.end(), t) == chosen.end() ? t : j);
  }
  std::vector<Slot> leaders;
  for (const std::size_t at : chosen) leaders.push_back(slots[at]);
  return leaders;
}

// Chops a group that leaders cannot split into pieces of `most`.
void chop(const Group& group, std::size_t most, std::vector<Leaf>& leaves) {
  for (std::size_t at = 0; at < group.slots.size(); at += most) {
    const std::size_t end = std::min(group.slots.size(), at + most);
    leaves.push_back({{group.slots.begin() + static_cast<std::ptrdiff_t>(at),
                       group.slots.begin() + static_cast<std::ptrdiff_t>(end)},
                      {group.turn.begin() + static_cast<std::ptrdiff_t>(at),
                       group.turn.begin() + static_cast<std::ptrdiff_t>(end)}});
  }
}

// Groups by the nearest leader, or by the two nearest if `overlap`.
std::vector<Group> split(const Vectors& vectors, const Group& group, std::size_t most, bool overlap,
                         std::size_t num_threads, const std::function<void()>& poll) {
  const std::size_t count = std::clamp<std::size_t>(2 * group.slots.size() / most, 2, kMostLeaders);
  const std::vector<Slot> leaders = sample(group.slots, count, group.seed);
  // Leaders side by side: all rows are compared with them.
  const std::size_t stride = vectors.space().stride();
  std::vector<std::byte> rows(count * stride);
  for (std::size_t i = 0; i < count; ++i) {
    std::copy_n(vectors.row(leaders[i]), stride, rows.data() + i * stride);
  }
  std::vector<std::uint16_t> first(group.slots.size()), second(group.slots.size());
  constexpr std::size_t kTask = 256;
  constexpr std::size_t kRound = 32;  // tasks: some 40 ms
  const std::size_t tasks = (group.slots.size() + kTask - 1) / kTask;
  parallel_rounds(
      tasks, num_threads, kRound, [&](double) { poll(); },
      [&](std::size_t task) {
        std::vector<float> distances(count);
        const std::size_t end = std::min(group.slots.size(), (task + 1) * kTask);
        for (std::size_t i = task * kTask; i < end; ++i) {
          vectors.space().distances(vectors.query(group.slots[i]), rows.data(), stride, nullptr,
                                    count, distances.data());
          float near = std::numeric_limits<float>::infinity(), next = near;
          std::size_t a = 0, b = 0;
          for (std::size_t l = 0; l < count; ++l) {
            if (distances[l] < near) {
              next = near;
              b = a;
              near = distances[l];
              a = l;
            } else if (distances[l] < next) {
              next = distances[l];
              b = l;
            }
          }
          first[i] = static_cast<std::uint16_t>(a);
          second[i] = static_cast<std::uint16_t>(a == b ? (a + 1) % count : b);
        }
      });
  std::vector<Group> groups(count);
  for (std::size_t l = 0; l < count; ++l) groups[l].seed = mix(group.seed + l + 1);
  for (std::size_t i = 0; i < group.slots.size(); ++i) {
    groups[first[i]].slots.push_back(group.slots[i]);
    groups[first[i]].turn.push_back(overlap ? 0 : group.turn[i]);
    if (!overlap) continue;
    groups[second[i]].slots.push_back(group.slots[i]);
    groups[second[i]].turn.push_back(1);
  }
  return groups;
}

}  // namespace

std::vector<Leaf> partition(const Vectors& vectors, const std::vector<Slot>& slots,
                            std::size_t most, std::uint64_t seed, std::size_t num_threads,
                            const std::function<void()>& poll) {
  std::vector<Leaf> leaves;
  std::vector<Group> work{{slots, std::vector<std::uint8_t>(slots.size(), 0), mix(seed + 1)}};
  for (bool overlap = true; !work.empty(); overlap = false) {
    std::vector<Group> next;
    for (const Group& group : work) {
      if (group.slots.size() <= most) {
        if (!group.slots.empty()) leaves.push_back({group.slots, group.turn});
        continue;
      }
      for (Group& part : split(vectors, group, most, overlap, num_threads, poll)) {
        if (part.slots.size() > most && static_cast<double>(part.slots.size()) >
                                            kUseless * static_cast<double>(group.slots.size())) {
          chop(part, most, leaves);
        } else {
          next.push_back(std::move(part));
        }
      }
    }
    work = std::move(next);
  }
  return leaves;
}

}  // namespace annx
