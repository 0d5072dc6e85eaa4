// Looks at many things with all threads, and refuses the first that is wrong.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <functional>
#include <limits>
#include <mutex>
#include <string>

#include "base/errors.h"
#include "base/thread_pool.h"

namespace annx {

struct Work {
  std::size_t num_threads = 1;
  std::function<void()> poll = [] {};  // called now and then; what it throws ends the work
};

// The lowest place where something is wrong.
class Fault {
 public:
  void report(std::size_t place, const char* what) {
    const std::lock_guard lock(mutex_);
    if (place >= place_.load(std::memory_order_relaxed)) return;
    place_.store(place, std::memory_order_relaxed);
    what_ = what;
  }
  // Whether a lower place is wrong already.
  bool before(std::size_t place) const noexcept {
    return place_.load(std::memory_order_relaxed) < place;
  }
  void raise(const std::string& part) const {
    const std::size_t place = place_.load();
    if (place == kNone) return;
    throw FormatError(part + " " + std::to_string(place) + ": " + what_);
  }

 private:
  static constexpr std::size_t kNone = std::numeric_limits<std::size_t>::max();
  std::atomic<std::size_t> place_{kNone};
  std::mutex mutex_;
  const char* what_ = nullptr;
};

// Calls body(from, to) for ranges of `count` things, each of some 50 microseconds' work.
template <class Body>
void for_ranges(std::size_t count, std::size_t range, const Work& work, const Body& body) {
  constexpr std::size_t kRound = 256;
  range = std::max<std::size_t>(range, 1);
  parallel_rounds(
      (count + range - 1) / range, work.num_threads, kRound, [&](double) { work.poll(); },
      [&](std::size_t task) { body(task * range, std::min(count, (task + 1) * range)); });
}

// Refuses the first of `count` things for which defect(i) says what is wrong, rather than null.
// Each is of some `bytes`.
template <class Defect>
void refuse(const std::string& part, std::size_t count, std::size_t bytes, const Work& work,
            const Defect& defect) {
  constexpr std::size_t kBytes = 1 << 19;
  Fault fault;
  for_ranges(count, kBytes / std::max<std::size_t>(bytes, 1), work,
             [&](std::size_t from, std::size_t to) {
               if (fault.before(from)) return;
               for (std::size_t i = from; i < to; ++i) {
                 if (const char* what = defect(i)) {
                   fault.report(i, what);
                   return;
                 }
               }
             });
  fault.raise(part);
}

}  // namespace annx
