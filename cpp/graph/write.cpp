// How rows of level 0 change once searches may see them: made ready aside, then copied while
// searches are shut out.
#include <algorithm>
#include <cstring>
#include <mutex>

#include "base/thread_pool.h"
#include "graph/graph.h"

namespace annx {
namespace {

// Copied at a time: some 30 microseconds without codes, 60 with.
constexpr std::size_t kRows = 256;
constexpr std::size_t kRowsWithCodes = 128;

}  // namespace

void Graph::clear(Slot slot) noexcept { std::fill_n(links_of(slot), degree(), kNoLink); }

// What leads each row, with codes where a link leads elsewhere than before.
void Graph::make_ready(std::span<const Slot> ids, const Slot* rows, std::size_t num_threads) {
  if (!edges_) return;
  const std::size_t bytes = edges_->bytes();
  if (ready_.size() < ids.size() * bytes) ready_.resize(ids.size() * bytes);
  constexpr std::size_t kTask = 8;  // rows: some 100 microseconds
  parallel_for((ids.size() + kTask - 1) / kTask, num_threads, [&](std::size_t task) {
    EdgeCodes::Room room = edges_->room();
    for (std::size_t i = task * kTask; i < std::min(ids.size(), (task + 1) * kTask); ++i) {
      std::byte* lead = ready_.data() + i * bytes;
      edges_->change(vectors_, ids[i], rows + i * degree(), lead, room);
    }
  });
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
                  Gate& gate) {
  const std::size_t step = edges_ ? kRowsWithCodes : kRows;
  for (std::size_t i = 0; i < ids.size(); i += step) {
    const std::span<const Slot> part = ids.subspan(i, std::min(step, ids.size() - i));
    make_ready(part, rows + i * degree(), num_threads);
    const std::lock_guard exclusive(gate);
    put(part, rows + i * degree());
  }
}

}  // namespace annx
