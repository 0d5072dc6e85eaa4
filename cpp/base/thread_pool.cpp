#include "base/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <thread>
#include <utility>
#include <vector>

#if !defined(_WIN32)
#include <pthread.h>
#endif

namespace annx {
namespace {

class Job {
 public:
  Job(std::size_t count, TaskRef body) : count_(count), body_(body) {}

  void run() noexcept {
    for (std::size_t i; (i = next_.fetch_add(1)) < count_;) {
      try {
        body_(i);
      } catch (...) {
        const std::lock_guard lock(mutex_);
        if (!error_) error_ = std::current_exception();
        next_.store(count_);
      }
    }
  }

  void enter() { ++running_; }
  void leave() noexcept {
    // Under the mutex: the caller may destroy nothing that notify still touches, because it holds
    // the job by shared_ptr, but it must not miss the wake-up.
    const std::lock_guard lock(mutex_);
    if (--running_ == 0) done_.notify_all();
  }
  void close_and_wait() {
    std::unique_lock lock(mutex_);
    closed_ = true;
    done_.wait(lock, [&] { return running_ == 0; });
    // Taken out of the job, which a worker may be the last to let go of: it would then end what
    // the caller has caught.
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
  }
  // A worker joins unless the caller has already seen the end.
  bool try_enter() {
    const std::lock_guard lock(mutex_);
    if (closed_) return false;
    ++running_;
    return true;
  }

 private:
  const std::size_t count_;
  const TaskRef body_;
  std::atomic<std::size_t> next_{0};
  std::mutex mutex_;
  std::condition_variable done_;
  std::size_t running_ = 0;
  bool closed_ = false;
  std::exception_ptr error_;
};

class Pool {
 public:
  // Fewer help where there is no memory for all.
  void submit(const std::shared_ptr<Job>& job, std::size_t helpers) noexcept {
    try {
      const std::lock_guard lock(mutex_);
      while (workers_ < helpers) {
        std::thread([this] { work(); }).detach();
        ++workers_;
      }
    } catch (const std::exception&) {  // bad_alloc, or system_error without room for a stack
    }
    try {
      const std::lock_guard lock(mutex_);
      for (std::size_t i = 0; i < std::min(helpers, workers_); ++i) queue_.push_back(job);
    } catch (const std::bad_alloc&) {
    }
    helpers == 1 ? ready_.notify_one() : ready_.notify_all();
  }

 private:
  [[noreturn]] void work() {
    for (;;) {
      std::shared_ptr<Job> job;
      {
        std::unique_lock lock(mutex_);
        ready_.wait(lock, [&] { return !queue_.empty(); });
        job = std::move(queue_.front());
        queue_.pop_front();
      }
      if (job->try_enter()) {
        job->run();
        job->leave();
      }
    }
  }

  std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<std::shared_ptr<Job>> queue_;
  std::size_t workers_ = 0;
};

// Never destroyed: workers may outlive static destruction. A forked child has none of the parent's
// threads, so it starts over with a new pool.
std::atomic<Pool*> g_pool{nullptr};

Pool& pool() {
  Pool* current = g_pool.load();
  if (current == nullptr) {
    auto* fresh = new Pool;
    if (g_pool.compare_exchange_strong(current, fresh)) {
      current = fresh;
#if !defined(_WIN32)
      static const int registered = pthread_atfork(nullptr, nullptr, [] { g_pool.store(nullptr); });
      (void)registered;
#endif
    } else {
      delete fresh;
    }
  }
  return *current;
}

}  // namespace

void parallel_for(std::size_t count, std::size_t num_threads, TaskRef body) {
  const std::size_t helpers = std::min(num_threads, count) - (count == 0 ? 0 : 1);
  std::shared_ptr<Job> job;
  Pool* workers = nullptr;
  if (helpers > 0) {
    try {
      workers = &pool();
      job = std::make_shared<Job>(count, body);
    } catch (const std::bad_alloc&) {  // then alone
    }
  }
  if (!job) {
    for (std::size_t i = 0; i < count; ++i) body(i);
    return;
  }
  job->enter();
  workers->submit(job, helpers);
  job->run();
  job->leave();
  job->close_and_wait();
}

void parallel_rounds(std::size_t count, std::size_t num_threads, std::size_t round,
                     const std::function<void(double)>& between, TaskRef body) {
  const std::size_t step = round * num_threads;
  for (std::size_t first = 0; first < count; first += step) {
    const std::size_t end = std::min(count, first + step);
    parallel_for(end - first, num_threads, [&](std::size_t i) { body(first + i); });
    between(static_cast<double>(end) / static_cast<double>(count));
  }
}

}  // namespace annx
