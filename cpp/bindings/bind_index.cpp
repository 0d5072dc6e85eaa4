// annx._native.Core: the Protocol of _backends/base.py over annx::Index.
#include <chrono>
#include <cstring>
#include <map>
#include <optional>
#include <string>

#include "base/errors.h"
#include "bindings/arrays.h"
#include "bindings/bindings.h"
#include "bindings/names.h"
#include "bindings/state.h"
#include "index/index.h"
#include "storage/elements.h"

namespace annx::bindings {
namespace {

const char* reason(Defect defect) {
  switch (defect) {
    case Defect::kNaN:
      return "nan";
    case Defect::kInfinite:
      return "inf";
    case Defect::kOverflow:
      return "overflow";
    default:
      return "zero";
  }
}

[[noreturn]] void throw_bad_query(std::size_t row, Defect defect) {
  const std::string at = "query " + std::to_string(row);
  switch (defect) {
    case Defect::kZero:
      throw ZeroVectorError(at + " is a zero vector, which has no direction under cosine");
    case Defect::kOverflow:
      throw NonFiniteError(at + " is too long: its squared norm overflows float32");
    default:
      throw NonFiniteError(at + " holds " + (defect == Defect::kNaN ? "NaN" : "infinity"));
  }
}

// Lets Python handle signals, and calls `poll` where there is one.
Poll make_poll(const py::object& poll) {
  using Clock = std::chrono::steady_clock;
  static constexpr auto kInterval = std::chrono::milliseconds(30);
  return [poll, last = Clock::now()](std::size_t done) mutable {
    const auto now = Clock::now();
    if (now - last < kInterval) return;
    last = now;
    const py::gil_scoped_acquire gil;
    if (PyErr_CheckSignals() != 0) throw py::error_already_set();
    if (!poll.is_none()) poll(done);
  };
}

class Core {
 public:
  Core(std::size_t dim, const std::string& metric, const std::string& codec, std::size_t M,
       std::size_t ef_construction, std::uint64_t seed, const std::string& keep, bool wide,
       unsigned edge_bits)
      : metric_(metric_of(metric)),
        input_(wide || is_scaled(codec) ? Codec::kF32 : codec_of(codec)),
        dtype_(dtype_of(input_)),
        format_(format_of(dim, metric, codec, keep, M)),
        index_(space_of(codec, keep, wide, dim, metric_, seed), kept_space_of(keep, dim, metric_),
               {M, ef_construction, seed, edge_bits}) {}

  std::size_t size() const { return index_.size(); }

  void reserve(std::size_t capacity) {
    const py::gil_scoped_release release;
    index_.reserve(capacity);
  }

  py::object find_bad_row(const py::array& rows) const {
    const std::size_t count = check(rows);
    const std::byte* data = bytes(rows);
    std::optional<std::pair<std::size_t, Defect>> bad;
    {
      const py::gil_scoped_release release;
      bad = find_bad(data, count);
    }
    if (!bad) return py::none();
    return py::make_tuple(bad->first, reason(bad->second));
  }

  void add(const py::array& rows, const py::object& labels, std::size_t num_threads,
           const py::object& poll, bool upsert) {
    const std::size_t count = check(rows);
    const std::byte* data = bytes(rows);
    std::optional<std::span<const Label>> given;
    if (!labels.is_none()) {
      const auto array = expect<Label>(labels, 1, "labels");
      if (static_cast<std::size_t>(array.size()) != count) {
        throw ParameterError("expected " + std::to_string(count) + " labels, got " +
                             std::to_string(array.size()));
      }
      given = std::span<const Label>(array.data(), count);
    }
    const Poll check_signals = make_poll(poll);
    const py::gil_scoped_release release;
    index_.add(data, count, given, upsert, num_threads, check_signals);
  }

  void remove(const py::array& labels, std::size_t num_threads, const py::object& poll) {
    const auto array = expect<Label>(labels, 1, "labels");
    const std::span<const Label> given(array.data(), static_cast<std::size_t>(array.size()));
    const Poll check_signals = make_poll(poll);
    const py::gil_scoped_release release;
    index_.remove(given, num_threads, check_signals);
  }

  void compact(std::size_t num_threads, const py::object& poll) {
    const Poll check_signals = make_poll(poll);
    const py::gil_scoped_release release;
    index_.compact(num_threads, check_signals);
  }

  std::size_t repair(double seconds, std::size_t num_threads, const py::object& poll) {
    const Poll check_signals = make_poll(poll);
    const py::gil_scoped_release release;
    return index_.repair(seconds, num_threads, check_signals);
  }

  py::tuple search(const py::array& queries, std::size_t k, std::size_t ef, std::size_t num_threads,
                   const py::object& poll) const {
    return run(queries, k,
               [&](const std::byte* data, std::size_t count, Label* labels, float* distances) {
                 if (count == 1) {
                   const py::gil_scoped_release release;
                   index_.search(data, count, k, ef, 1, nullptr, labels, distances);
                   return;
                 }
                 const Poll check_signals = make_poll(poll);
                 const py::gil_scoped_release release;
                 index_.search(data, count, k, ef, num_threads, check_signals, labels, distances);
               });
  }

  py::tuple exact_search(const py::array& queries, std::size_t k, std::size_t num_threads,
                         const py::object& poll) const {
    return run(queries, k,
               [&](const std::byte* data, std::size_t count, Label* labels, float* distances) {
                 const Poll check_signals = make_poll(poll);
                 const py::gil_scoped_release release;
                 index_.exact_search(data, count, k, num_threads, check_signals, labels, distances);
               });
  }

  // The pair of search, and per query: plan, nodes expanded, distances, why there are too few.
  py::tuple planned_search(const py::array& queries, std::size_t k, std::size_t ef,
                           const py::list& filters, bool exact, std::size_t num_threads,
                           const py::object& poll) const {
    const std::size_t asked = check(queries);
    const std::vector<const Filter*> given = check_filters(filters, asked);
    std::vector<Report> reports(asked);
    const py::tuple hits = run(
        queries, k, [&](const std::byte* data, std::size_t count, Label* labels, float* distances) {
          const Poll check_signals = make_poll(poll);
          const py::gil_scoped_release release;
          index_.planned_search(data, count, k, ef, given, exact, num_threads, check_signals,
                                labels, distances, reports.data());
        });
    std::vector<std::int64_t> fields;
    fields.reserve(asked * Report::kFields);
    for (const Report& report : reports) {
      fields.push_back(static_cast<std::int64_t>(report.plan));
      fields.push_back(static_cast<std::int64_t>(report.expanded));
      fields.push_back(static_cast<std::int64_t>(report.distances));
      fields.push_back(static_cast<std::int64_t>(report.reason));
    }
    const auto rows = static_cast<py::ssize_t>(asked);
    const auto columns = static_cast<py::ssize_t>(Report::kFields);
    return py::make_tuple(hits[0], hits[1], to_array(std::move(fields), {rows, columns}));
  }

  // Where each query's hits begin, and all of them.
  py::tuple range_search(const py::array& queries, float radius, std::size_t ef,
                         const py::list& filters, bool exact, std::size_t num_threads,
                         const py::object& poll) const {
    const std::size_t count = check(queries);
    const std::byte* data = bytes(queries);
    const std::vector<const Filter*> given = check_filters(filters, count);
    check_queries(data, count);
    std::vector<std::int64_t> starts{0};
    std::vector<Label> labels;
    std::vector<float> distances;
    {
      const Poll check_signals = make_poll(poll);
      const py::gil_scoped_release release;
      for (const Index::Hits& hits :
           index_.range_search(data, count, radius, ef, given, exact, num_threads, check_signals)) {
        labels.insert(labels.end(), hits.labels.begin(), hits.labels.end());
        distances.insert(distances.end(), hits.distances.begin(), hits.distances.end());
        starts.push_back(static_cast<std::int64_t>(labels.size()));
      }
    }
    const auto found = static_cast<py::ssize_t>(labels.size());
    return py::make_tuple(to_array(std::move(starts), {static_cast<py::ssize_t>(count) + 1}),
                          to_array(std::move(labels), {found}),
                          to_array(std::move(distances), {found}));
  }

  std::shared_ptr<Filter> make_filter(const py::array& labels, bool allow) const {
    if (labels.dtype().kind() == 'b') {
      const auto dense = expect<bool>(labels, 1, "labels");
      const auto* data = reinterpret_cast<const std::uint8_t*>(dense.data());
      const py::gil_scoped_release release;
      return std::make_shared<Filter>(std::vector<std::uint8_t>(data, data + dense.size()), allow);
    }
    const auto array = expect<Label>(labels, 1, "labels");
    const Label* data = array.data();
    const py::gil_scoped_release release;
    return std::make_shared<Filter>(std::vector<Label>(data, data + array.size()), allow);
  }

  py::array get(const py::array& labels) const {
    const auto wanted = expect<Label>(labels, 1, "labels");
    const std::size_t count = static_cast<std::size_t>(wanted.size());
    py::array rows(dtype_, {count, index_.space().columns()});
    auto* out = static_cast<std::byte*>(rows.mutable_data());
    const std::span<const Label> span(wanted.data(), count);
    const py::gil_scoped_release release;
    index_.get(span, out);
    return rows;
  }

  py::array_t<bool> contains(const py::array& labels) const {
    const auto asked = expect<Label>(labels, 1, "labels");
    py::array_t<bool> out(asked.size());
    for (py::ssize_t i = 0; i < asked.size(); ++i) {
      out.mutable_data()[i] = index_.contains(asked.data()[i]);
    }
    return out;
  }

  py::array_t<Label> labels() const {
    std::vector<Label> all = index_.labels();
    const auto count = static_cast<py::ssize_t>(all.size());
    return to_array(std::move(all), {count});
  }

  // What an index would hold of rows: stored rows, and originals and norms or None.
  py::tuple encode(const py::array& rows, std::size_t num_threads) const {
    const auto count = static_cast<py::ssize_t>(check(rows));
    const std::byte* data = bytes(rows);
    IndexState state;
    {
      const py::gil_scoped_release release;
      state = index_.encode(data, static_cast<std::size_t>(count), num_threads);
    }
    const auto table = [&](std::vector<std::uint8_t>&& bytes) {
      const auto size = static_cast<py::ssize_t>(bytes.size());
      return to_array(std::move(bytes), {count, count == 0 ? 0 : size / count});
    };
    py::object originals = py::none(), norms = py::none();
    if (!state.originals.empty()) originals = table(std::move(state.originals));
    if (!state.norms.empty()) norms = to_array(std::move(state.norms), {count});
    return py::make_tuple(table(std::move(state.rows)), originals, norms);
  }

  py::dict export_state() const {
    IndexState state;
    {
      const py::gil_scoped_release release;
      state = index_.export_state();
    }
    const auto n = static_cast<py::ssize_t>(state.labels.size());
    const auto stride = static_cast<py::ssize_t>(index_.space().stride());
    const auto M = static_cast<py::ssize_t>(index_.options().M);
    py::dict out;
    out["rows"] = to_array(std::move(state.rows), {n, stride});
    if (!state.originals.empty()) {
      const auto bytes = static_cast<py::ssize_t>(state.originals.size());
      out["originals"] = to_array(std::move(state.originals), {n, n == 0 ? 0 : bytes / n});
    } else {
      out["originals"] = py::none();
    }
    out["links"] = to_array(std::move(state.links), {n, 2 * M});
    out["labels"] = to_array(std::move(state.labels), {n});
    if (!state.norms.empty() || index_.normalises()) {
      out["norms"] = to_array(std::move(state.norms), {n});
    } else {
      out["norms"] = py::none();
    }
    const auto twins = static_cast<py::ssize_t>(state.twins.size()) / 2;
    out["twins"] = to_array(std::move(state.twins), {twins, 2});
    py::list levels;
    for (IndexState::Level& level : state.levels) {
      const auto count = static_cast<py::ssize_t>(level.down.size());
      levels.append(py::make_tuple(to_array(std::move(level.down), {count}),
                                   to_array(std::move(level.links), {count, M})));
    }
    out["levels"] = levels;
    out["entry"] = state.entry;
    const auto seeds = static_cast<py::ssize_t>(state.seeds.size());
    out["seeds"] = to_array(std::move(state.seeds), {seeds});
    const auto growth = static_cast<py::ssize_t>(state.growth.size());
    out["growth"] = to_array(std::move(state.growth), {growth});
    return out;
  }

  void import_state(const py::dict& from) {
    const StateArrays state(from);
    const py::gil_scoped_release release;
    index_.import_state(state.view());
  }

  // `arrays` are a state's of a mapped file, with "removed" and "upper"; `sums` by name the offset
  // of a section and the checksums of its blocks.
  void map_state(const py::dict& arrays, const py::dict& sums) {
    const auto owner = std::shared_ptr<MappedArrays>(new MappedArrays(arrays, sums), [](auto* p) {
      const py::gil_scoped_acquire gil;
      delete p;
    });
    expect_sizes(format_, owner->state.view());
    MappedState mapped = owner->mapped(format_);
    mapped.owner = owner;
    guard(format_, owner->sums, mapped);
    index_.map(std::move(mapped));
  }

  py::dict memory() const {
    const MemoryUse use = index_.memory();
    py::dict out;
    out["rows"] = use.rows;
    out["originals"] = use.originals;
    out["links"] = use.links;
    out["upper"] = use.upper;
    out["labels"] = use.labels;
    out["lookup"] = use.lookup;
    out["scratch"] = use.scratch;
    return out;
  }

 private:
  static const std::byte* bytes(const py::array& array) {
    return static_cast<const std::byte*>(array.data());
  }

  // Number of rows of a clean array: the door above has converted it.
  std::size_t check(const py::array& rows) const {
    const py::ssize_t ndim = rows.ndim();
    if (rows.dtype().num() != dtype_.num() || ndim < 1 || ndim > 2 ||
        rows.shape(ndim - 1) != static_cast<py::ssize_t>(index_.space().columns()) ||
        (rows.flags() & py::array::c_style) == 0) {
      throw py::type_error("expected C-contiguous rows of the index's element type and dim");
    }
    return ndim == 1 ? 1 : static_cast<std::size_t>(rows.shape(0));
  }

  static std::vector<const Filter*> check_filters(const py::list& filters, std::size_t queries) {
    std::vector<const Filter*> given;
    for (const py::handle filter : filters) given.push_back(py::cast<const Filter*>(filter));
    if (given.size() > 1 && given.size() != queries) {
      throw ParameterError("expected one filter, or " + std::to_string(queries) + ", got " +
                           std::to_string(given.size()));
    }
    return given;
  }

  void check_queries(const std::byte* data, std::size_t count) const {
    // For one query, handing the GIL over would cost more than the check.
    std::optional<py::gil_scoped_release> release;
    if (count > 1) release.emplace();
    if (const auto bad = find_bad(data, count)) throw_bad_query(bad->first, bad->second);
  }

  template <class Body>
  py::tuple run(const py::array& queries, std::size_t k, const Body& body) const {
    const std::size_t count = check(queries);
    const std::byte* data = bytes(queries);
    check_queries(data, count);
    py::array_t<Label> labels({count, k});
    py::array_t<float> distances({count, k});
    body(data, count, labels.mutable_data(), distances.mutable_data());
    return py::make_tuple(std::move(labels), std::move(distances));
  }

  std::optional<std::pair<std::size_t, Defect>> find_bad(const std::byte* rows,
                                                         std::size_t count) const {
    const Space& space = index_.space();
    for (std::size_t i = 0; i < count; ++i) {
      if (const auto defect =
              find_defect(rows + i * space.input_bytes(), space.columns(), input_, metric_)) {
        return std::pair(i, *defect);
      }
    }
    return std::nullopt;
  }

  Metric metric_;
  Codec input_;
  py::dtype dtype_;
  StateFormat format_;
  Index index_;
};

}  // namespace

void bind_index(py::module_& module) {
  py::class_<Filter, std::shared_ptr<Filter>>(module, "Filter",
                                              "Labels that searches may or may not return.");
  py::class_<Core>(module, "Core", "An index over clean arrays; see annx._backends.base.Core.")
      .def(py::init<std::size_t, const std::string&, const std::string&, std::size_t, std::size_t,
                    std::uint64_t, const std::string&, bool, unsigned>(),
           py::arg("dim"), py::arg("metric"), py::arg("codec"), py::arg("M"),
           py::arg("ef_construction"), py::arg("seed"), py::arg("keep") = "",
           py::arg("wide") = false, py::arg("edge_bits") = 0U)
      .def("__len__", &Core::size)
      .def("reserve", &Core::reserve, py::arg("capacity"))
      .def("find_bad_row", &Core::find_bad_row, py::arg("rows"))
      .def("add", &Core::add, py::arg("rows"), py::arg("labels"), py::arg("num_threads"),
           py::arg("poll") = py::none(), py::arg("upsert") = false)
      .def("remove", &Core::remove, py::arg("labels"), py::arg("num_threads"),
           py::arg("poll") = py::none())
      .def("compact", &Core::compact, py::arg("num_threads"), py::arg("poll") = py::none())
      .def("repair", &Core::repair, py::arg("seconds"), py::arg("num_threads"),
           py::arg("poll") = py::none())
      .def("search", &Core::search, py::arg("queries"), py::arg("k"), py::arg("ef_search"),
           py::arg("num_threads"), py::arg("poll") = py::none())
      .def("exact_search", &Core::exact_search, py::arg("queries"), py::arg("k"),
           py::arg("num_threads"), py::arg("poll") = py::none())
      .def("make_filter", &Core::make_filter, py::arg("labels"), py::arg("allow"))
      .def("planned_search", &Core::planned_search, py::arg("queries"), py::arg("k"),
           py::arg("ef_search"), py::arg("filters"), py::arg("exact"), py::arg("num_threads"),
           py::arg("poll") = py::none())
      .def("range_search", &Core::range_search, py::arg("queries"), py::arg("radius"),
           py::arg("ef_search"), py::arg("filters"), py::arg("exact"), py::arg("num_threads"),
           py::arg("poll") = py::none())
      .def("get", &Core::get, py::arg("labels"))
      .def("contains", &Core::contains, py::arg("labels"))
      .def("labels", &Core::labels)
      .def("encode", &Core::encode, py::arg("rows"), py::arg("num_threads"))
      .def("export_state", &Core::export_state)
      .def("import_state", &Core::import_state, py::arg("state"))
      .def("map_state", &Core::map_state, py::arg("arrays"), py::arg("sums"))
      .def("memory", &Core::memory);
}

}  // namespace annx::bindings
