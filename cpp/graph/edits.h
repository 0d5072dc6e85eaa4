// Rows of links on their way to being changed: searches see those in the graph until then.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/types.h"

namespace annx {

// `degree` links a row, `pitch` from one row to the next.
struct LinkRows {
  const Slot* first;
  std::size_t pitch;
  std::size_t degree;

  const Slot* row(Slot id) const noexcept { return first + std::size_t{id} * pitch; }
};

class RowEdits {
 public:
  // Over rows that neither move nor change meanwhile.
  explicit RowEdits(const LinkRows& links) : links_(links), degree_(links.degree) {}

  const Slot* row(Slot id) const noexcept {
    const auto found = places_.find(id);
    return found == places_.end() ? links_.row(id) : rows_.data() + found->second * degree_;
  }
  // Good until the next call for another row.
  Slot* edit(Slot id) {
    const auto [place, fresh] = places_.try_emplace(id, ids_.size());
    if (fresh) {
      ids_.push_back(id);
      const Slot* from = links_.row(id);
      rows_.insert(rows_.end(), from, from + degree_);
    }
    return rows_.data() + place->second * degree_;
  }
  // The row itself, which edit() has been called for: threads may change different rows.
  Slot* edited(Slot id) noexcept { return rows_.data() + places_.find(id)->second * degree_; }

  // In order of their first edits.
  std::size_t size() const noexcept { return ids_.size(); }
  Slot id(std::size_t i) const noexcept { return ids_[i]; }
  std::span<const Slot> ids() const noexcept { return ids_; }
  // The i-th, the others after it.
  const Slot* at(std::size_t i) const noexcept { return rows_.data() + i * degree_; }

  void clear() noexcept {
    places_.clear();
    ids_.clear();
    rows_.clear();
  }

 private:
  LinkRows links_;
  std::size_t degree_;
  std::unordered_map<Slot, std::size_t> places_;
  std::vector<Slot> ids_;
  std::vector<Slot> rows_;
};

}  // namespace annx
