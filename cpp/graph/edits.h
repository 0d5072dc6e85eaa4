// Rows of links on their way to being changed: searches see those in the graph until then.
#pragma once

#include <algorithm>
#include <cstddef>
#include <unordered_map>
#include <vector>

#include "base/types.h"

namespace annx {

class RowEdits {
 public:
  // Over `links`, `degree` a row, which must neither move nor change meanwhile.
  RowEdits(const Slot* links, std::size_t degree) : links_(links), degree_(degree) {}

  const Slot* row(Slot id) const noexcept {
    const auto found = places_.find(id);
    return found == places_.end() ? links_ + std::size_t{id} * degree_
                                  : rows_.data() + found->second * degree_;
  }
  // Good until the next call for another row.
  Slot* edit(Slot id) {
    const auto [place, fresh] = places_.try_emplace(id, ids_.size());
    if (fresh) {
      ids_.push_back(id);
      const Slot* from = links_ + std::size_t{id} * degree_;
      rows_.insert(rows_.end(), from, from + degree_);
    }
    return rows_.data() + place->second * degree_;
  }
  // The row itself, which edit() has been called for: threads may change different rows.
  Slot* edited(Slot id) noexcept { return rows_.data() + places_.find(id)->second * degree_; }

  // In order of their first edits.
  std::size_t size() const noexcept { return ids_.size(); }
  Slot id(std::size_t i) const noexcept { return ids_[i]; }
  const Slot* at(std::size_t i) const noexcept { return rows_.data() + i * degree_; }

  void clear() noexcept {
    places_.clear();
    ids_.clear();
    rows_.clear();
  }

 private:
  const Slot* links_;
  std::size_t degree_;
  std::unordered_map<Slot, std::size_t> places_;
  std::vector<Slot> ids_;
  std::vector<Slot> rows_;
};

}  // namespace annx
