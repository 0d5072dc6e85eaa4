#pragma once

#include <pybind11/pybind11.h>

namespace annx::bindings {

void bind_check(pybind11::module_& module);
void bind_index(pybind11::module_& module);
void bind_kernels(pybind11::module_& module);

}  // namespace annx::bindings
