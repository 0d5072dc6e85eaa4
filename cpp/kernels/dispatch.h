// Chooses the kernels that this machine runs.
#pragma once

#include <string>
#include <vector>

#include "kernels/table.h"

namespace annx::kernels {

// "scalar", "avx2", "avx512": those compiled in and supported here, slowest first.
std::vector<std::string> available_isas();

// Kernels of one instruction set. Throws BackendError if it is not available.
const KernelTable& table_for(const std::string& isa);

// The best instruction set, or the one that the environment variable ANNX_ISA names; fixed at
// first use. Throws BackendError if ANNX_ISA names one that is not available.
const std::string& selected_isa();
const KernelTable& selected_table();

}  // namespace annx::kernels
