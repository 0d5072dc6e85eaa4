// Rules about which rows are nodes of the graph, and about its links.
#pragma once

#include <cstddef>
#include <functional>
#include <span>

#include "base/bits.h"
#include "check/find.h"
#include "storage/state.h"

namespace annx {

// Rows that are no nodes: twins, and free slots, which were removed and have no links.
class Outside {
 public:
  Outside(const StateView& state, std::size_t degree);

  bool removed(std::size_t slot) const noexcept { return labels_[slot] == kNoLabel; }
  std::size_t removed_count() const noexcept { return removed_; }
  bool free(std::size_t slot) const noexcept { return free_.test(slot); }
  bool twin(std::size_t slot) const noexcept { return twins_.test(slot); }
  std::size_t twin_count() const noexcept { return twins_.count(); }
  void reserve(std::size_t slots) { twins_.reserve(slots); }
  void add_twin(std::size_t slot) { twins_.set(slot); }

  bool none() const noexcept { return free_.empty() && twins_.empty(); }
  bool operator()(std::size_t slot) const noexcept { return free(slot) || twin(slot); }

 private:
  const Label* labels_;
  std::size_t removed_ = 0;
  Bits free_;
  Bits twins_;
};

void check_level0(const StateView& state, std::size_t degree, const Outside& outside,
                  const Work& work);
// `below` nodes on the level beneath. `outside`: rows that cannot be on it, if that is level 0.
void check_upper(std::size_t number, const StateView::Level& level, std::size_t below,
                 std::size_t M, const Outside* outside, const Work& work);
// Tree edges form no ring: whoever looks for room in a tree finds some. With `spanning`, they hang
// together and lead to every row that was not removed.
void check_tree(const StateView& state, std::size_t degree, const Outside& outside, bool spanning,
                const Work& work);

// Zeros, or distances that do not fall, after a count.
void check_growth(std::span<const float> growth);

// Seeds are distinct nodes among `rows`, and few. `outside`: rows that are none.
void check_seeds(std::span<const Slot> seeds, std::size_t rows,
                 const std::function<bool(Slot)>& outside);

}  // namespace annx
