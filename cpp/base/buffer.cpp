#include "base/buffer.h"

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

#if defined(__linux__)
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace annx {
namespace {

constexpr std::size_t round_up(std::size_t n, std::size_t unit) {
  return (n + unit - 1) / unit * unit;
}

#if defined(__linux__)

constexpr std::size_t kHugePage = std::size_t{2} << 20;

// Small arrays stay on small pages: a 2 MB page for 64 KB would be the larger part of a small
// index.
std::size_t unit_for(std::size_t bytes) { return bytes < kHugePage / 2 ? 4096 : kHugePage; }

std::byte* map(std::size_t bytes, std::size_t unit) {
  const std::size_t extra = unit == kHugePage ? kHugePage : 0;
  void* p = mmap(nullptr, bytes + extra, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) throw std::bad_alloc();
  auto* start = static_cast<std::byte*>(p);
  if (extra != 0) {
    auto* aligned =
        reinterpret_cast<std::byte*>(round_up(reinterpret_cast<std::uintptr_t>(p), unit));
    if (aligned != start) munmap(start, static_cast<std::size_t>(aligned - start));
    const std::size_t tail = extra - static_cast<std::size_t>(aligned - start);
    if (tail != 0) munmap(aligned + bytes, tail);
    start = aligned;
    madvise(start, bytes,
            MADV_HUGEPAGE);  // a hint: without it only speed is lost
  }
  return start;
}

void unmap(std::byte* p, std::size_t bytes) { munmap(p, bytes); }

void move_pages(std::byte* from, std::size_t bytes, std::byte* to) {
  // Both ends are aligned alike, so that huge pages move whole.
  if (mremap(from, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, to) == MAP_FAILED) {
    std::memcpy(to, from, bytes);
    munmap(from, bytes);
  } else {
    madvise(to, bytes, MADV_HUGEPAGE);
  }
}

#else

constexpr std::size_t kPage = 4096;

std::size_t unit_for(std::size_t) { return kPage; }

std::byte* map(std::size_t bytes, std::size_t) {
  auto* p = static_cast<std::byte*>(::operator new(bytes, std::align_val_t{kPage}));
  std::memset(p, 0, bytes);
  return p;
}

void unmap(std::byte* p, std::size_t) { ::operator delete(p, std::align_val_t{kPage}); }

void move_pages(std::byte* from, std::size_t bytes, std::byte* to) {
  std::memcpy(to, from, bytes);
  unmap(from, bytes);
}

#endif

}  // namespace

Buffer::~Buffer() {
  if (data_ != nullptr && !owner_) unmap(data_, size_);
}

void Buffer::borrow(const std::byte* data, std::size_t bytes, std::shared_ptr<const void> owner) {
  Buffer fresh;
  fresh.data_ = const_cast<std::byte*>(data);
  fresh.size_ = bytes;
  fresh.owner_ = std::move(owner);
  swap(fresh);
}

void Buffer::grow(std::size_t bytes) {
  if (bytes <= size_) return;
  const std::size_t unit = unit_for(bytes);
  const std::size_t size = round_up(bytes, unit);
  std::byte* fresh = map(size, unit);
  if (data_ != nullptr) move_pages(data_, size_, fresh);
  data_ = fresh;
  size_ = size;
}

}  // namespace annx
