// The stored rows of an index, by slot.
#pragma once

#include <cstddef>
#include <memory>
#include <utility>

#include "base/buffer.h"
#include "base/types.h"
#include "storage/space.h"

namespace annx {

class Vectors {
 public:
  explicit Vectors(std::shared_ptr<const Space> space) : space_(std::move(space)) {}

  // Without rows, over the same space.
  Vectors empty() const { return Vectors(space_); }
  // The rows of another over the same space. The space stays, which others read meanwhile.
  void take(Vectors&& other) noexcept {
    rows_ = std::move(other.rows_);
    norms_ = std::move(other.norms_);
    capacity_ = other.capacity_;
  }

  const Space& space() const noexcept { return *space_; }
  const std::byte* base() const noexcept { return rows_.data(); }
  const std::byte* row(Slot slot) const noexcept { return base() + slot * space_->stride(); }
  std::byte* row(Slot slot) noexcept { return rows_.data() + slot * space_->stride(); }
  float norm(Slot slot) const noexcept { return space_->normalises() ? norms_[slot] : 1; }
  float* norms() noexcept { return norms_.data(); }

  std::size_t capacity() const noexcept { return capacity_; }
  void reserve(std::size_t rows) {
    rows_.grow(rows * space_->stride());
    if (space_->normalises()) norms_.grow(rows);
    capacity_ = rows;
  }
  void set(Slot slot, const void* input) {
    const float norm = space_->encode(input, row(slot));
    if (space_->normalises()) norms_[slot] = norm;
  }

  Query query(Slot slot) const noexcept { return space_->from_stored(row(slot)); }
  void distances(const Query& query, const Slot* slots, std::size_t count,
                 float* out) const noexcept {
    space_->distances(query, base(), slots, count, out);
  }
  float distance(const Query& query, Slot slot) const noexcept {
    float out;
    space_->distances(query, row(slot), nullptr, 1, &out);
    return out;
  }

 private:
  std::shared_ptr<const Space> space_;
  Buffer rows_;
  Array<float> norms_;
  std::size_t capacity_ = 0;
};

}  // namespace annx
