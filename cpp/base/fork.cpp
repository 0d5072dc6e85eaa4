#include "base/fork.h"

#include <algorithm>
#include <mutex>
#include <vector>

#if !defined(_WIN32)
#include <pthread.h>
#endif

namespace annx {
namespace {

struct Registry {
  std::mutex mutex;
  std::vector<Forkable*> all;
};

// Never destroyed: a fork may come after static destruction has begun.
Registry& registry() {
  static auto* const one = new Registry;
  return *one;
}

#if !defined(_WIN32)
void before() {
  registry().mutex.lock();
  for (Forkable* each : registry().all) each->before_fork();
}

void after(bool in_child) {
  for (Forkable* each : registry().all) each->after_fork(in_child);
  registry().mutex.unlock();
}
#endif

}  // namespace

Forkable::Forkable() {
#if !defined(_WIN32)
  static const int registered = pthread_atfork(before, [] { after(false); }, [] { after(true); });
  (void)registered;
#endif
}

void Forkable::enlist() {
  const std::lock_guard lock(registry().mutex);
  registry().all.push_back(this);
}

void Forkable::retire() noexcept {
  const std::lock_guard lock(registry().mutex);
  auto& all = registry().all;
  all.erase(std::find(all.begin(), all.end(), this));
}

}  // namespace annx
