// The kernels by instruction set, for tests and benchmarks, and what the CPU offers.
#include <algorithm>
#include <bit>
#include <map>
#include <string>

#include "base/cpu.h"
#include "bindings/arrays.h"
#include "bindings/bindings.h"
#include "kernels/dispatch.h"
#include "storage/planes.h"

namespace annx::bindings {
namespace {

// Bytes of an element of a query and of a row.
std::pair<std::size_t, std::size_t> element_bytes(const std::string& type) {
  if (type == "f16_by_f32") return {4, 2};
  if (type == "i8_by_f32" || type == "u8_by_f32") return {4, 1};
  const std::size_t bytes = type == "f32" ? 4 : type == "i8" || type == "u8" ? 1 : 2;
  return {bytes, bytes};
}

const kernels::Kernel& find(const std::string& isa, const std::string& operation,
                            const std::string& type) {
  static const std::map<std::string, kernels::Type> types{{"f32", kernels::kF32},
                                                          {"f16", kernels::kF16},
                                                          {"bf16", kernels::kBF16},
                                                          {"i8", kernels::kI8},
                                                          {"u8", kernels::kU8},
                                                          {"f16_by_f32", kernels::kF16ByF32},
                                                          {"i8_by_f32", kernels::kI8ByF32},
                                                          {"u8_by_f32", kernels::kU8ByF32}};
  const kernels::KernelTable& table = kernels::table_for(isa);
  if (operation == "hamming" && type == "u8") return table.hamming;
  const auto found = types.find(type);
  if (found != types.end() && operation == "l2") return table.l2[found->second];
  if (found != types.end() && operation == "dot") return table.dot[found->second];
  throw py::value_error("no kernel " + operation + " for " + type);
}

// Rows as bytes, so that tests can place them at any address. `slots` null: rows in sequence.
py::array_t<float> distances(const std::string& isa, const std::string& operation,
                             const std::string& type, const py::buffer& query,
                             const py::buffer& rows, std::size_t stride, std::size_t dim,
                             const py::object& slots) {
  const kernels::Kernel& kernel = find(isa, operation, type);
  const py::buffer_info q = query.request();
  const py::buffer_info r = rows.request();
  const auto* base = static_cast<const unsigned char*>(r.ptr);
  const auto available = static_cast<std::size_t>(r.size * r.itemsize);
  const auto [asked, stored] = element_bytes(type);
  if (static_cast<std::size_t>(q.size * q.itemsize) < dim * asked || stride < dim * stored) {
    throw py::value_error("query or stride shorter than dim elements");
  }
  if (slots.is_none()) {
    const std::size_t count = available / stride;
    py::array_t<float> out(static_cast<py::ssize_t>(count));
    kernel.many(q.ptr, base, stride, nullptr, count, dim, out.mutable_data());
    return out;
  }
  const auto wanted = expect<std::uint32_t>(slots, 1, "slots");
  for (py::ssize_t i = 0; i < wanted.size(); ++i) {
    if ((wanted.data()[i] + std::size_t{1}) * stride > available) {
      throw py::value_error("slot past the end of rows");
    }
  }
  py::array_t<float> out(wanted.size());
  kernel.many(q.ptr, base, stride, wanted.data(), static_cast<std::size_t>(wanted.size()), dim,
              out.mutable_data());
  return out;
}

float distance(const std::string& isa, const std::string& operation, const std::string& type,
               const py::buffer& query, const py::buffer& row, std::size_t dim) {
  const kernels::Kernel& kernel = find(isa, operation, type);
  const auto [asked, stored] = element_bytes(type);
  const py::buffer_info q = query.request();
  const py::buffer_info r = row.request();
  if (static_cast<std::size_t>(q.size * q.itemsize) < dim * asked ||
      static_cast<std::size_t>(r.size * r.itemsize) < dim * stored) {
    throw py::value_error("query or row shorter than dim elements");
  }
  return kernel.one(q.ptr, r.ptr, dim);
}

// 32 edges by the named kernel, and the mask of those beneath `limit`; for what the bytes mean see
// kernels/table.h.
py::tuple estimates(const std::string& isa, unsigned bits, const py::buffer& query, float scale,
                    float offset, const py::buffer& edges, std::size_t groups, float near,
                    float weight, float limit) {
  const py::buffer_info q = query.request(), e = edges.request();
  const auto size = [](const py::buffer_info& x) {
    return static_cast<std::size_t>(x.size * x.itemsize);
  };
  if (bits < 1 || bits > 2 || size(q) < groups * (bits == 1 ? 64 : 16) ||
      size(e) < 128 + groups * 64 * bits) {
    throw py::value_error("bits, query or edges do not fit");
  }
  py::array_t<float> out(32);
  const std::uint32_t mask = kernels::table_for(isa).estimate[bits - 1](
      {q.ptr, scale, offset}, static_cast<const unsigned char*>(e.ptr), groups, near, weight, limit,
      out.mutable_data());
  return py::make_tuple(out, mask);
}

float fine_dot(const std::string& isa, const py::buffer& query, const py::buffer& high,
               const py::buffer& low, std::size_t dim) {
  const py::buffer_info q = query.request(), h = high.request(), l = low.request();
  if (q.size * q.itemsize < static_cast<py::ssize_t>(4 * dim) ||
      h.size * h.itemsize < static_cast<py::ssize_t>(dim) ||
      l.size * l.itemsize < static_cast<py::ssize_t>((dim + 15) / 16 * 4)) {
    throw py::value_error("query or codes shorter than dim elements");
  }
  return kernels::table_for(isa).fine(static_cast<const float*>(q.ptr),
                                      static_cast<const std::int8_t*>(h.ptr),
                                      static_cast<const unsigned char*>(l.ptr), dim);
}

// Rows of two planes as tests place them; `slots` null: rows in sequence, the last of which may end
// where the kernel reads no more of it.
py::array_t<float> planes(const std::string& isa, bool whole, const py::buffer& query,
                          const py::buffer& rows, std::size_t stride, std::size_t dim,
                          const py::object& slots) {
  const py::buffer_info q = query.request(), r = rows.request();
  const std::size_t plane = plane_bytes(dim), lower = plane + 8;
  const std::size_t row = whole ? lower + plane : plane;
  const auto available = static_cast<std::size_t>(r.size * r.itemsize);
  if (static_cast<std::size_t>(q.size * q.itemsize) < lower + plane || stride < row) {
    throw py::value_error("query or stride shorter than two planes and what is between");
  }
  const kernels::KernelTable& table = kernels::table_for(isa);
  const kernels::Planes kernel = whole ? table.planes : table.upper;
  std::size_t count = available < row ? 0 : (available - row) / stride + 1;
  const std::uint32_t* which = nullptr;
  py::array_t<std::uint32_t> wanted;
  if (!slots.is_none()) {
    wanted = expect<std::uint32_t>(slots, 1, "slots");
    for (py::ssize_t i = 0; i < wanted.size(); ++i) {
      if (wanted.data()[i] >= count) throw py::value_error("slot past the end of rows");
    }
    count = static_cast<std::size_t>(wanted.size());
    which = wanted.data();
  }
  py::array_t<float> out(static_cast<py::ssize_t>(count));
  kernel(static_cast<const unsigned char*>(q.ptr), static_cast<const unsigned char*>(r.ptr), stride,
         which, count, plane, lower, out.mutable_data());
  return out;
}

py::array_t<float> hadamard(const std::string& isa,
                            const py::array_t<float, py::array::c_style>& x) {
  const auto size = static_cast<std::size_t>(x.size());
  if (!std::has_single_bit(size)) throw py::value_error("not a power of 2 of elements");
  py::array_t<float> out(x.size());
  std::copy_n(x.data(), size, out.mutable_data());
  kernels::table_for(isa).hadamard(out.mutable_data(), size);
  return out;
}

std::uint32_t crc32(const std::string& isa, const py::buffer& data) {
  const py::buffer_info d = data.request();
  return kernels::table_for(isa).crc32(static_cast<const unsigned char*>(d.ptr),
                                       static_cast<std::size_t>(d.size * d.itemsize));
}

py::dict cpu_info() {
  const CpuFeatures& cpu = cpu_features();
  py::dict features;
  features["avx2"] = cpu.avx2;
  features["pclmul"] = cpu.pclmul;
  features["avx512"] = cpu.avx512;
  features["avx512_vnni"] = cpu.avx512_vnni;
  features["avx512_bf16"] = cpu.avx512_bf16;
  features["avx512_vpopcntdq"] = cpu.avx512_vpopcntdq;
  py::list isas;
  for (const std::string& isa : kernels::available_isas()) isas.append(isa);
  py::dict info;
  info["isa"] = kernels::selected_isa();
  info["available"] = isas;
  info["features"] = features;
  return info;
}

}  // namespace

void bind_kernels(py::module_& module) {
  module.def("cpu_info", &cpu_info, "Instruction sets: the one in use, those available.");
  module.def("kernel_distances", &distances, py::arg("isa"), py::arg("operation"), py::arg("type"),
             py::arg("query"), py::arg("rows"), py::arg("stride"), py::arg("dim"),
             py::arg("slots") = py::none(),
             "One query against many rows of `stride` bytes, by the named kernel.");
  module.def("kernel_distance", &distance, py::arg("isa"), py::arg("operation"), py::arg("type"),
             py::arg("query"), py::arg("row"), py::arg("dim"),
             "One query against one row, by the named kernel.");
  module.def("kernel_estimates", &estimates, py::arg("isa"), py::arg("bits"), py::arg("query"),
             py::arg("scale"), py::arg("offset"), py::arg("edges"), py::arg("groups"),
             py::arg("near"), py::arg("weight"), py::arg("limit"),
             "Estimates of 32 edges and a mask of those beneath `limit`, by the named kernel.");
  module.def("kernel_fine_dot", &fine_dot, py::arg("isa"), py::arg("query"), py::arg("high"),
             py::arg("low"), py::arg("dim"),
             "One query against one row of 10-bit codes, by the named kernel.");
  module.def("kernel_planes", &planes, py::arg("isa"), py::arg("whole"), py::arg("query"),
             py::arg("rows"), py::arg("stride"), py::arg("dim"), py::arg("slots") = py::none(),
             "One query against many rows of codes in planes, by the named kernel.");
  module.def("kernel_hadamard", &hadamard, py::arg("isa"), py::arg("x"),
             "Walsh-Hadamard transform, not normalised, by the named kernel.");
  module.def("kernel_crc32", &crc32, py::arg("isa"), py::arg("data"),
             "CRC-32 of bytes, by the named kernel.");
}

}  // namespace annx::bindings
