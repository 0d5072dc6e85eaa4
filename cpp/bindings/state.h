// A state as a dict of NumPy arrays, and as the core sees it.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "bindings/arrays.h"
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

}  // namespace annx::bindings
