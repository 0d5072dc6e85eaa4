// Worker threads shared by all indexes of the process, started when first needed.
#pragma once

#include <cstddef>
#include <functional>

namespace annx {

// Calls body(i) once for each i < count on up to `num_threads` threads, the caller's among
// them, and returns when all have. The first exception ends the work and is rethrown here.
// Bodies must not call parallel_for.
void parallel_for(std::size_t count, std::size_t num_threads,
                  const std::function<void(std::size_t)>& body);

std::size_t hardware_threads();

}  // namespace annx
