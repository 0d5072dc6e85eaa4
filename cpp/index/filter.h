// A set of labels that searches are limited to, or kept from. It stands for labels, whatever rows
// they have: what it means in slots is found out when needed and kept while slots stay as they are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "base/types.h"

namespace annx {

class Filter {
 public:
  // `labels` in any order; repeated and unknown ones do no harm.
  Filter(std::vector<Label> labels, bool allow) : labels_(std::move(labels)), allow_(allow) {}
  // The labels i with by_label[i] != 0. Costs a pass over the slots, not a look-up each.
  Filter(std::vector<std::uint8_t> by_label, bool allow)
      : by_label_(std::move(by_label)), is_dense_(true), allow_(allow) {}

  struct Slots {
    std::size_t epoch = 0;
    std::vector<Slot> listed;         // slots of the labels, sorted
    std::vector<std::uint64_t> rows;  // the same as bits
    // As `rows`, but of nodes that stand for twins too: set if one of these is to be found, or
    // with a deny-list if none is. Empty where there are no twins.
    std::vector<std::uint64_t> nodes;
  };

  bool allow() const noexcept { return allow_; }

 private:
  friend class Index;

  std::vector<Label> labels_;
  std::vector<std::uint8_t> by_label_;
  bool is_dense_ = false;
  bool allow_;
  mutable std::mutex mutex_;
  mutable std::shared_ptr<const Slots> slots_;
};

}  // namespace annx
