// What makes sure that a file can do no harm.
#include <string>

#include "bindings/bindings.h"
#include "bindings/names.h"
#include "bindings/state.h"
#include "check/check.h"
#include "check/sums.h"

namespace annx::bindings {
namespace {

StateFormat format_of(std::size_t dim, const std::string& metric, const std::string& codec,
                      const std::string& keep, std::size_t M) {
  const Metric kind = metric_of(metric);
  StateFormat format;
  format.rows = is_scaled(codec) ? scaled_format(kind, dim, codec == "sq10")
                                 : plain_format(kind, codec_of(codec), dim);
  if (!keep.empty()) format.originals = plain_format(kind, codec_of(keep), dim);
  format.M = M;
  return format;
}

void expect_size(const char* part, std::size_t got, std::size_t expected) {
  if (got == expected) return;
  throw py::value_error(std::string(part) + ": expected " + std::to_string(expected) +
                        " elements, got " + std::to_string(got));
}

void expect_sizes(const StateFormat& format, const StateView& state) {
  const std::size_t n = state.labels.size();
  expect_size("rows", state.rows.size(), n * format.rows.stride);
  expect_size("links", state.links.size(), n * 2 * format.M);
  if (format.originals) {
    expect_size("originals", state.originals.size(), n * format.originals->stride);
  }
  if (!state.norms.empty()) expect_size("norms", state.norms.size(), n);
  expect_size("twins", state.twins.size() % 2, 0);
  for (const StateView::Level& level : state.levels) {
    expect_size("level", level.links.size(), level.down.size() * format.M);
  }
}

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
