// The stored rows of an index, by slot. Each may be led by bytes of another owner, so that one
// sequential read gets both.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <utility>

#include "base/buffer.h"
#include "base/types.h"
#include "storage/guard.h"
#include "storage/space.h"

namespace annx {

class Vectors {
 public:
  // `lead`: bytes before each row, a multiple of 64 and 64-byte aligned.
  explicit Vectors(std::shared_ptr<const Space> space, std::size_t lead = 0)
      : space_(std::move(space)),
        lead_(lead),
        pitch_(lead == 0 ? space_->stride() : (lead + space_->stride() + 63) / 64 * 64) {}

  // Without rows, over the same space.
  Vectors empty() const { return Vectors(space_, lead_); }
  // The rows of another over the same space. The space stays, which others read meanwhile.
  void take(Vectors&& other) noexcept {
    rows_ = std::move(other.rows_);
    norms_ = std::move(other.norms_);
    capacity_ = other.capacity_;
    guard_ = std::move(other.guard_);
    norms_guard_ = std::move(other.norms_guard_);
  }

  // Rows of someone else's, for reading alone, without lead; verified when they are first used.
  void borrow(std::span<const std::byte> rows, std::shared_ptr<const Guard> guard,
              std::span<const float> norms, std::shared_ptr<const Guard> norms_guard,
              const std::shared_ptr<const void>& owner) {
    rows_.borrow(rows.data(), rows.size(), owner);
    norms_.borrow(norms, owner);
    capacity_ = rows.size() / pitch_;
    guard_ = std::move(guard);
    norms_guard_ = std::move(norms_guard);
  }
  // Before rows are read otherwise than by distance() and distances(). Throws FormatError.
  void touch(const Slot* slots, std::size_t count) const {
    if (guard_ && !guard_->done()) verify(slots, count);
  }
  void touch(Slot slot) const { touch(&slot, 1); }
  void touch_norm(Slot slot) const {
    if (norms_guard_ && space_->normalises()) {
      norms_guard_->touch(slot * sizeof(float), sizeof(float));
    }
  }
  void touch_all() const {
    if (guard_) guard_->touch_all();
    if (norms_guard_) norms_guard_->touch_all();
  }

  const Space& space() const noexcept { return *space_; }
  // Bytes from one row to the next.
  std::size_t pitch() const noexcept { return pitch_; }
  // Null without rows: nothing may be added to that.
  const std::byte* base() const noexcept {
    return rows_.data() == nullptr ? nullptr : rows_.data() + lead_;
  }
  const std::byte* row(Slot slot) const noexcept { return base() + slot * pitch_; }
  std::byte* row(Slot slot) noexcept { return rows_.data() + lead_ + slot * pitch_; }
  const std::byte* lead(Slot slot) const noexcept { return rows_.data() + slot * pitch_; }
  std::byte* lead(Slot slot) noexcept { return rows_.data() + slot * pitch_; }
  float norm(Slot slot) const noexcept { return space_->normalises() ? norms_[slot] : 1; }
  float* norms() noexcept { return norms_.data(); }

  std::size_t capacity() const noexcept { return capacity_; }
  void reserve(std::size_t rows) {
    rows_.grow(rows * pitch_);
    if (space_->normalises()) norms_.grow(rows);
    capacity_ = rows;
  }
  void set(Slot slot, const void* input) {
    const float norm = space_->encode(input, row(slot));
    if (space_->normalises()) norms_[slot] = norm;
  }

  Query query(Slot slot) const noexcept { return space_->from_stored(row(slot)); }
  void distances(const Query& query, const Slot* slots, std::size_t count, float* out) const {
    touch(slots, count);
    space_->distances(query, base(), pitch_, slots, count, out);
  }
  float distance(const Query& query, Slot slot) const {
    touch(slot);
    float out;
    space_->distances(query, row(slot), pitch_, nullptr, 1, &out);
    return out;
  }
  // The same as a walk compares, by near_bytes() of each row.
  void near(const Query& query, const Slot* slots, std::size_t count, float* out) const {
    touch(slots, count);
    space_->near(query, base(), pitch_, slots, count, out);
  }
  float near(const Query& query, Slot slot) const {
    touch(slot);
    float out;
    space_->near(query, row(slot), pitch_, nullptr, 1, &out);
    return out;
  }

 private:
  void verify(const Slot* slots, std::size_t count) const {
    for (std::size_t i = 0; i < count; ++i) guard_->touch(slots[i] * pitch_, space_->stride());
  }

  std::shared_ptr<const Space> space_;
  std::size_t lead_;
  std::size_t pitch_;
  Buffer rows_;
  Array<float> norms_;
  std::size_t capacity_ = 0;
  std::shared_ptr<const Guard> guard_, norms_guard_;  // of what is borrowed
};

}  // namespace annx
