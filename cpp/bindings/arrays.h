// NumPy arrays in and out.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace annx::bindings {

namespace py = pybind11;

// A vector as an array that owns it, without a copy.
template <class T>
py::array_t<T> to_array(std::vector<T>&& values, std::vector<py::ssize_t> shape) {
  auto owned = std::make_unique<std::vector<T>>(std::move(values));
  T* data = owned->data();
  const py::capsule owner(owned.release(), [](void* p) { delete static_cast<std::vector<T>*>(p); });
  return py::array_t<T>(std::move(shape), data, owner);
}

// A C-contiguous array of exactly this type and number of dimensions, or a TypeError.
template <class T>
py::array_t<T, py::array::c_style> expect(const py::handle& object, py::ssize_t ndim,
                                          const char* name) {
  if (!py::isinstance<py::array_t<T, py::array::c_style>>(object)) {
    throw py::type_error(std::string(name) + ": expected a C-contiguous array of another type");
  }
  auto array = py::reinterpret_borrow<py::array_t<T, py::array::c_style>>(object);
  if (array.ndim() != ndim)
    throw py::type_error(std::string(name) + ": wrong number of dimensions");
  return array;
}

}  // namespace annx::bindings
