// Worker threads shared by all indexes of the process, started when first needed.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <type_traits>

namespace annx {

// A call of something that lives longer. Unlike std::function it takes no memory.
class TaskRef {
 public:
  template <class Body>
    requires(!std::is_same_v<std::remove_cvref_t<Body>, TaskRef>)
  TaskRef(const Body& body) noexcept
      : body_(std::addressof(body)),
        call_([](const void* to, std::size_t i) { (*static_cast<const Body*>(to))(i); }) {}
  void operator()(std::size_t i) const { call_(body_, i); }

 private:
  const void* body_;
  void (*call_)(const void*, std::size_t);
};

// Calls body(i) once for each i < count on up to `num_threads` threads, the caller's among them,
// and returns when all have. The first exception ends the work and is rethrown here; there are no
// others: without memory for more threads there are fewer. Bodies must not call parallel_for.
void parallel_for(std::size_t count, std::size_t num_threads, TaskRef body);

// The same in rounds of `round` tasks a thread, with between(share of the work done) called on
// the caller's thread after each: long work stays interruptible.
void parallel_rounds(std::size_t count, std::size_t num_threads, std::size_t round,
                     const std::function<void(double)>& between, TaskRef body);

}  // namespace annx
