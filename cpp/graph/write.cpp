// How rows of level 0 change once searches may see them: made ready aside, then copied while
// searches are shut out.
#include <algorithm>
#include <cstring>
#include <mutex>
#include <new>

#include "base/thread_pool.h"
#include "graph/graph.h"

namespace annx {
namespace {

// Copied at a time: some 30 microseconds without codes, 60 with.
constexpr std::size_t kRows = 256;
constexpr std::size_t kRowsWithCodes = 128;

}  // namespace

void Graph::clear(Slot slot) noexcept { std::fill_n(links_of(slot), degree(), kNoLink); }

// So that neither make_ready() for so many rows nor write() throws.
void Graph::reserve_ready(std::size_t rows) {
  if (!edges_) return;
  const std::size_t bytes = std::max(rows, kRowsWithCodes) * edges_->bytes();
  if (ready_.size() < bytes) ready_.resize(bytes);
  if (room_.centre.empty()) room_ = edges_->room();
}

// What leads each row, with codes where a link leads elsewhere than before.
void Graph::make_ready(std::span<const Slot> ids, const Slot* rows,
                       std::size_t num_threads) noexcept {
  if (!edges_) return;
  const auto make = [&](std::size_t from, std::size_t to, EdgeCodes::Room& room) {
    for (std::size_t i = from; i < std::min(ids.size(), to); ++i) {
      std::byte* lead = ready_.data() + i * edges_->bytes();
      edges_->change(vectors_, ids[i], rows + i * degree(), lead, room);
    }
  };
  constexpr std::size_t kTask = 8;  // rows: some 100 microseconds
  try {
    parallel_for((ids.size() + kTask - 1) / kTask, num_threads, [&](std::size_t task) {
      EdgeCodes::Room room = edges_->room();
      make(task * kTask, (task + 1) * kTask, room);
    });
  } catch (const std::bad_alloc&) {
    make(0, ids.size(), room_);
  }
}

// With the gate closed, what make_ready() was called for.
void Graph::put(std::span<const Slot> ids, const Slot* rows) noexcept {
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (edges_) {
      std::memcpy(vectors_.lead(ids[i]), ready_.data() + i * edges_->bytes(), edges_->bytes());
    } else {
      std::copy_n(rows + i * degree(), degree(), links_of(ids[i]));
    }
  }
}

void Graph::write(std::span<const Slot> ids, const Slot* rows, std::size_t num_threads,
                  Gate& gate) noexcept {
  const std::size_t step = edges_ ? kRowsWithCodes : kRows;
  for (std::size_t i = 0; i < ids.size(); i += step) {
    const std::span<const Slot> part = ids.subspan(i, std::min(step, ids.size() - i));
    make_ready(part, rows + i * degree(), num_threads);
    const std::lock_guard exclusive(gate);
    put(part, rows + i * degree());
  }
}

}  // namespace annx
