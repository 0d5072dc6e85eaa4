// Many readers or one writer. A reader pays two atomic additions on a cache line that it shares
// with few others; a waiting writer holds new readers back, so that it is never starved.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <thread>

namespace annx {

class Gate {
  struct alignas(64) Stripe {
    std::atomic<std::uint32_t> readers{0};
  };

 public:
  void lock() noexcept {
    while (writer_.exchange(true)) writer_.wait(true);
    for (Stripe& stripe : stripes_) {
      while (stripe.readers.load() != 0) std::this_thread::yield();
    }
  }

  void unlock() noexcept {
    writer_.store(false);
    writer_.notify_all();
  }

  class Reader {
   public:
    explicit Reader(Gate& gate) noexcept : stripe_(gate.enter()) {}
    ~Reader() { stripe_.readers.fetch_sub(1); }
    Reader(const Reader&) = delete;
    Reader& operator=(const Reader&) = delete;

   private:
    Stripe& stripe_;
  };

 private:
  Stripe& enter() noexcept {
    static std::atomic<std::size_t> threads{0};
    thread_local const std::size_t mine = threads.fetch_add(1);
    Stripe& stripe = stripes_[mine % stripes_.size()];
    for (;;) {
      stripe.readers.fetch_add(1);
      if (!writer_.load()) return stripe;
      stripe.readers.fetch_sub(1);
      writer_.wait(true);
    }
  }

  std::array<Stripe, 16> stripes_;
  std::atomic<bool> writer_{false};
};

}  // namespace annx
