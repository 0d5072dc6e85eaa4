// Worker threads shared by all indexes of the process, started when first needed.
#pragma once

#include <cstddef>
#include <functional>

namespace annx {

// Calls body(i) once for each i < count on up to `num_threads` threads, the caller's among them,
// and returns when all have. The first exception ends the work and is rethrown here. Bodies must
// not call parallel_for.
void parallel_for(std::size_t count, std::size_t num_threads,
                  const std::function<void(std::size_t)>& body);

// The same in rounds of `round` tasks a thread, with between(share of the work done) called on
// the caller's thread after each: long work stays interruptible.
void parallel_rounds(std::size_t count, std::size_t num_threads, std::size_t round,
                     const std::function<void(double)>& between,
                     const std::function<void(std::size_t)>& body);

}  // namespace annx
