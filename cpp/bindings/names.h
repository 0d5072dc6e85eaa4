// The words that Python uses for metrics and codecs.
#pragma once

#include <pybind11/numpy.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "base/errors.h"
#include "base/types.h"
#include "storage/space.h"

namespace annx::bindings {

namespace py = pybind11;

template <class T>
T lookup(const std::map<std::string, T>& names, const std::string& name, const char* what) {
  const auto found = names.find(name);
  if (found != names.end()) return found->second;
  throw ParameterError(std::string("unknown ") + what + " " + name);
}

inline Metric metric_of(const std::string& name) {
  static const std::map<std::string, Metric> names{{"l2", Metric::kL2},
                                                   {"ip", Metric::kInnerProduct},
                                                   {"cosine", Metric::kCosine},
                                                   {"hamming", Metric::kHamming}};
  return lookup(names, name, "metric");
}

inline Codec codec_of(const std::string& name) {
  static const std::map<std::string, Codec> names{{"f32", Codec::kF32},   {"f16", Codec::kF16},
                                                  {"bf16", Codec::kBF16}, {"i8", Codec::kI8},
                                                  {"u8", Codec::kU8},     {"b1", Codec::kB1}};
  return lookup(names, name, "codec");
}

inline bool is_scaled(const std::string& codec) {
  return codec == "sq8" || codec == "sq10" || codec == "sq4";
}
// Codes of 10 bits; those of sq4 where nothing better is kept beside them.
inline bool has_more(const std::string& codec, const std::string& keep) {
  return codec == "sq10" || (codec == "sq4" && keep.empty());
}

inline std::unique_ptr<const Space> space_of(const std::string& codec, const std::string& keep,
                                             bool wide, std::size_t dim, Metric metric,
                                             std::uint64_t seed) {
  if (codec == "sq4") return make_planes_space(dim, metric, seed, has_more(codec, keep));
  if (is_scaled(codec)) return make_scaled_space(dim, metric, seed, has_more(codec, keep));
  return make_plain_space(dim, metric, codec_of(codec), wide);
}

inline std::unique_ptr<const Space> kept_space_of(const std::string& keep, std::size_t dim,
                                                  Metric metric) {
  if (keep.empty()) return nullptr;
  return make_plain_space(dim, metric, codec_of(keep), true);
}

inline py::dtype dtype_of(Codec codec) {
  switch (codec) {
    case Codec::kF32:
      return py::dtype("float32");
    case Codec::kF16:
      return py::dtype("float16");
    case Codec::kBF16:
      return py::dtype("uint16");
    case Codec::kI8:
      return py::dtype("int8");
    default:
      return py::dtype("uint8");
  }
}

}  // namespace annx::bindings
