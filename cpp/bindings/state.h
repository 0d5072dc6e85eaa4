// A state as a dict of NumPy arrays, and as the core sees it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "bindings/arrays.h"
#include "bindings/names.h"
#include "check/check.h"
#include "check/mapped.h"
#include "storage/state.h"

namespace annx::bindings {

// Keeps the arrays alive.
class StateArrays {
 public:
  explicit StateArrays(const py::dict& from) {
    view_.rows = std::as_bytes(take<std::uint8_t>(from["rows"], 2, "rows"));
    view_.links = take<Slot>(from["links"], 2, "links");
    view_.labels = take<Label>(from["labels"], 1, "labels");
    view_.twins = take<Slot>(from["twins"], 2, "twins");
    if (has(from, "originals")) {
      view_.originals = std::as_bytes(take<std::uint8_t>(from["originals"], 2, "originals"));
    }
    if (has(from, "norms")) view_.norms = take<float>(from["norms"], 1, "norms");
    for (const py::handle item : from["levels"]) {
      const auto level = py::cast<py::tuple>(item);
      view_.levels.push_back({take<Slot>(level[0], 1, "down"), take<Slot>(level[1], 2, "links")});
    }
    view_.entry = py::cast<Slot>(from["entry"]);
    view_.seeds = take<Slot>(from["seeds"], 1, "seeds");
    view_.growth = take<float>(from["growth"], 1, "growth");
  }

  const StateView& view() const noexcept { return view_; }

 private:
  static bool has(const py::dict& from, const char* name) {
    return from.contains(name) && !from[name].is_none();
  }
  template <class T>
  std::span<const T> take(const py::handle& object, py::ssize_t ndim, const char* name) {
    const auto array = expect<T>(object, ndim, name);
    owners_.push_back(array);
    return {array.data(), static_cast<std::size_t>(array.size())};
  }

  std::vector<py::object> owners_;
  StateView view_;
};

inline StateFormat format_of(std::size_t dim, const std::string& metric, const std::string& codec,
                             const std::string& keep, std::size_t M) {
  const Metric kind = metric_of(metric);
  StateFormat format;
  format.rows = is_scaled(codec) ? scaled_format(kind, dim, has_more(codec, keep), codec == "sq4")
                                 : plain_format(kind, codec_of(codec), dim);
  if (!keep.empty()) format.originals = plain_format(kind, codec_of(keep), dim);
  format.M = M;
  return format;
}

inline void expect_size(const char* part, std::size_t got, std::size_t expected) {
  if (got == expected) return;
  throw py::value_error(std::string(part) + ": expected " + std::to_string(expected) +
                        " elements, got " + std::to_string(got));
}

inline void expect_sizes(const StateFormat& format, const StateView& state) {
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

// What an index maps: sections of a file as arrays.
struct MappedArrays {
  MappedArrays(const py::dict& arrays, const py::dict& of)
      : state(arrays),
        removed(expect<Slot>(arrays["removed"], 1, "removed")),
        upper(expect<Slot>(arrays["upper"], 2, "upper")) {
    const auto take = [&](SectionSums& to, const char* name, std::size_t bytes) {
      if (!of.contains(name)) {
        expect_size(name, bytes, 0);
        return;
      }
      const auto pair = py::cast<py::tuple>(of[name]);
      const auto array = expect<std::uint32_t>(pair[1], 1, name);
      owners.push_back(array);
      to = {py::cast<std::size_t>(pair[0]), {array.data(), static_cast<std::size_t>(array.size())}};
      expect_size(name, to.sums.size(), blocks_of(bytes));
    };
    const StateView& view = state.view();
    take(sums.rows, "rows", view.rows.size_bytes());
    take(sums.originals, "original", view.originals.size_bytes());
    take(sums.links, "links", view.links.size_bytes());
    take(sums.upper, "upper", static_cast<std::size_t>(upper.nbytes()));
    take(sums.labels, "labels", view.labels.size_bytes());
    take(sums.norms, "norms", view.norms.size_bytes());
  }

  MappedState mapped(const StateFormat& format) const {
    MappedState mapped;
    mapped.view = state.view();
    mapped.removed = {removed.data(), static_cast<std::size_t>(removed.size())};
    mapped.upper = {upper.data(), static_cast<std::size_t>(upper.size())};
    // The levels' own links are parts of the whole.
    std::size_t first = 0;
    for (StateView::Level& level : mapped.view.levels) {
      expect_size("upper", level.links.size(), level.down.size() * format.M);
      expect_size("upper", std::min(first + level.links.size(), mapped.upper.size()),
                  first + level.links.size());
      level.links = mapped.upper.subspan(first, level.links.size());
      first += level.links.size();
    }
    return mapped;
  }

  StateArrays state;
  py::array_t<Slot, py::array::c_style> removed, upper;
  std::vector<py::object> owners;
  MappedSums sums;
};

}  // namespace annx::bindings
