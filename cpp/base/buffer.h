// Growing memory for the large arrays: page-aligned, on huge pages where the OS has them, and
// grown by moving pages rather than bytes.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <utility>

namespace annx {

class Buffer {
 public:
  Buffer() = default;
  ~Buffer();
  Buffer(Buffer&& other) noexcept { swap(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    swap(other);
    return *this;
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  // At least `bytes`; what is new is zero. Throws std::bad_alloc and changes nothing.
  void grow(std::size_t bytes);
  // In place of its own memory someone else's, as long as `owner` lives, for reading alone.
  void borrow(const std::byte* data, std::size_t bytes, std::shared_ptr<const void> owner);

  std::byte* data() noexcept { return data_; }
  const std::byte* data() const noexcept { return data_; }
  std::size_t size() const noexcept { return size_; }

 private:
  void swap(Buffer& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    owner_.swap(other.owner_);
  }

  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  std::shared_ptr<const void> owner_;  // of what was borrowed
};

// A growing array of plain values over a Buffer.
template <class T>
class Array {
 public:
  void grow(std::size_t count) { buffer_.grow(count * sizeof(T)); }
  void borrow(std::span<const T> from, std::shared_ptr<const void> owner) {
    buffer_.borrow(reinterpret_cast<const std::byte*>(from.data()), from.size_bytes(),
                   std::move(owner));
  }
  T* data() noexcept { return reinterpret_cast<T*>(buffer_.data()); }
  const T* data() const noexcept { return reinterpret_cast<const T*>(buffer_.data()); }
  T& operator[](std::size_t i) noexcept { return data()[i]; }
  const T& operator[](std::size_t i) const noexcept { return data()[i]; }
  std::size_t capacity() const noexcept { return buffer_.size() / sizeof(T); }
  std::size_t bytes() const noexcept { return buffer_.size(); }

 private:
  Buffer buffer_;
};

}  // namespace annx
