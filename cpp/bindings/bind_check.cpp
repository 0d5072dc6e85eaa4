// What makes sure that a file can do no harm.
#include <string>

#include "bindings/bindings.h"
#include "bindings/names.h"
#include "bindings/state.h"
#include "check/check.h"
#include "check/sums.h"

namespace annx::bindings {
namespace {

void check(std::size_t dim, const std::string& metric, const std::string& codec,
           const std::string& keep, std::size_t M, const py::dict& state, bool spanning,
           std::size_t num_threads) {
  const StateArrays arrays(state);
  const StateFormat format = format_of(dim, metric, codec, keep, M);
  expect_sizes(format, arrays.view());
  const Work work{num_threads, [] {
                    const py::gil_scoped_acquire gil;
                    if (PyErr_CheckSignals() != 0) throw py::error_already_set();
                  }};
  const py::gil_scoped_release release;
  check_state(format, arrays.view(), spanning, work);
}

py::array_t<std::uint32_t> sums(const py::buffer& data, std::size_t num_threads) {
  const py::buffer_info info = data.request();
  const auto* bytes = static_cast<const std::byte*>(info.ptr);
  const auto size = static_cast<std::size_t>(info.size * info.itemsize);
  py::array_t<std::uint32_t> out(static_cast<py::ssize_t>(blocks_of(size)));
  std::uint32_t* to = out.mutable_data();
  const py::gil_scoped_release release;
  block_sums({bytes, size}, num_threads, to);
  return out;
}

}  // namespace

void bind_check(py::module_& module) {
  module.def("check_state", &check, py::arg("dim"), py::arg("metric"), py::arg("codec"),
             py::arg("keep"), py::arg("M"), py::arg("state"), py::arg("spanning"),
             py::arg("num_threads"), "See annx._check.");
  module.def("block_sums", &sums, py::arg("data"), py::arg("num_threads"),
             "CRC-32 of each 64 KiB of a buffer.");
}

}  // namespace annx::bindings
