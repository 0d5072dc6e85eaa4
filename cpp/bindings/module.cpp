#include <exception>

#include "base/errors.h"
#include "bindings/bindings.h"

namespace py = pybind11;

namespace {

void raise(const char* name, const std::exception& error) {
  const py::object type = py::module_::import("annx.errors").attr(name);
  PyErr_SetString(type.ptr(), error.what());
}

void translate(std::exception_ptr pointer) {
  try {
    if (pointer) std::rethrow_exception(pointer);
  } catch (const annx::NonFiniteError& e) {
    raise("NonFiniteError", e);
  } catch (const annx::ZeroVectorError& e) {
    raise("ZeroVectorError", e);
  } catch (const annx::LabelError& e) {
    raise("LabelError", e);
  } catch (const annx::CapacityError& e) {
    raise("CapacityError", e);
  } catch (const annx::FormatError& e) {
    raise("FormatError", e);
  } catch (const annx::ReadOnlyError& e) {
    raise("ReadOnlyError", e);
  } catch (const annx::BackendError& e) {
    raise("BackendError", e);
  } catch (const annx::ParameterError& e) {
    raise("ParameterError", e);
  }
}

}  // namespace

// Nothing here leans on the GIL: indexes and filters have locks of their own, and what is static is
// constant once made.
PYBIND11_MODULE(_native, module, py::mod_gil_not_used()) {
  module.doc() = "The C++ core of annx. Use annx.Index; this module trusts its input.";
  py::register_local_exception_translator(&translate);
  annx::bindings::bind_index(module);
  annx::bindings::bind_check(module);
  annx::bindings::bind_kernels(module);
}
