// What a file may do to the core: it is refused, or whatever is done with it crashes nothing and
// leaves a state that would be accepted again. See README.md.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <numeric>
#include <random>
#include <string>

#include "base/errors.h"
#include "check/check.h"
#include "check/sums.h"
#include "file.h"
#include "index/index.h"
#include "storage/elements.h"

namespace annx::fuzz {
namespace {

// Unlike assert, also with NDEBUG.
void must(bool holds, const std::string& what) {
  if (holds) return;
  std::fprintf(stderr, "broken promise: %s\n", what.c_str());
  std::abort();
}

// Why a state is refused, or nothing.
std::string refusal(const StateFormat& format, const StateView& state, bool spanning) {
  try {
    check_state(format, state, spanning, {});
  } catch (const FormatError& error) {
    return error.what();
  }
  return {};
}

class Session {
 public:
  Session(const Header& head, unsigned edge_bits)
      : head_(head),
        format_(head.format()),
        index_(space(), kept(),
               {head.M, std::min(head.ef_construction, 40U), head.seed, edge_bits}),
        random_(head.n) {}

  Index& index() noexcept { return index_; }

  // Everything that a mapped index can do.
  void read() {
    const std::vector<Label> labels = index_.labels();
    if (labels.empty()) {
      search(row());
      return;
    }
    std::vector<std::byte> query(index_.space().input_bytes());
    for (const std::size_t i : {std::size_t{0}, labels.size() / 2, labels.size() - 1}) {
      index_.get({&labels[i], 1}, query.data());
      if (index_.contains(labels[i])) search(query);
    }
    search(row());
    index_.contains(std::numeric_limits<Label>::max());
  }

  // Changes, after each of which the index must be whole. `spanning`: its tree leads everywhere.
  void change(bool spanning) {
    const std::vector<Label> before = index_.labels();
    whole("import", spanning);
    add(7, spanning);
    if (!before.empty()) {
      // A twin of a row, then others in its place, and in place of what may be a representative.
      std::vector<std::byte> known(index_.space().input_bytes());
      index_.get({&before[0], 1}, known.data());
      if (good(known)) attempt([&] { index_.add(known.data(), 1, std::nullopt, false, 1, {}); });
      whole("add of a twin", spanning);
      const std::vector<Label> replaced{before.front(), before.back()};
      std::vector<std::byte> fresh = row();
      const std::vector<std::byte> second = row();
      fresh.insert(fresh.end(), second.begin(), second.end());
      if (replaced[0] != replaced[1]) index_.add(fresh.data(), 2, replaced, true, 1, {});
      whole("upsert", spanning);
    }
    remove(3, spanning);
    read();
    const std::size_t left = index_.repair(1e9, 1, {});
    spanning |= left == 0;
    whole("repair", spanning);
    index_.compact(1, {});
    whole("compact", spanning);
    add(40, spanning);
    read();
    remove(1, spanning);
  }

 private:
  std::unique_ptr<const Space> space() const {
    if (head_.planes()) {
      return make_planes_space(head_.dim, head_.metric_kind(), head_.seed, head_.more());
    }
    if (head_.scaled()) {
      return make_scaled_space(head_.dim, head_.metric_kind(), head_.seed, head_.more());
    }
    return make_plain_space(head_.dim, head_.metric_kind(), head_.codec_kind(), head_.wide != 0);
  }
  std::unique_ptr<const Space> kept() const {
    if (head_.keep == 0) return nullptr;
    return make_plain_space(head_.dim, head_.metric_kind(), head_.keep_kind(), true);
  }
  bool good(const std::vector<std::byte>& row) const {
    return !find_defect(row.data(), index_.space().columns(), head_.input(), head_.metric_kind());
  }

  // A row that Python would let through.
  std::vector<std::byte> row() {
    std::vector<std::byte> out(index_.space().input_bytes());
    const std::size_t columns = index_.space().columns();
    for (std::size_t i = 0; i < columns; ++i) {
      const auto number = static_cast<float>(random_() % 100 + 1);
      if (head_.input() == Codec::kF32) {
        std::memcpy(out.data() + 4 * i, &number, 4);
      } else if (head_.input() == Codec::kF16 || head_.input() == Codec::kBF16) {
        std::uint32_t bits;
        std::memcpy(&bits, &number, 4);
        const auto half =
            head_.input() == Codec::kF16 ? to_half(number) : static_cast<std::uint16_t>(bits >> 16);
        std::memcpy(out.data() + 2 * i, &half, 2);
      } else {
        out[i] = static_cast<std::byte>(number);
      }
    }
    return out;
  }

  void search(const std::vector<std::byte>& query) {
    if (!good(query)) return;
    constexpr std::size_t kHits = 6, kWidth = 12;
    Label labels[kHits];
    float distances[kHits];
    index_.search(query.data(), 1, kHits, kWidth, 1, {}, labels, distances);
    index_.exact_search(query.data(), 1, kHits, 1, {}, labels, distances);
    const float radius = labels[0] == kNoLabel ? 1 : distances[0] * 1.5F;
    const Filter some(std::vector<Label>{labels[0], labels[1], 3}, random_() % 2 != 0);
    const Filter* filters[] = {&some};
    for (const bool exact : {false, true}) {
      Report report;
      index_.planned_search(query.data(), 1, kHits, kWidth, filters, exact, 1, {}, labels,
                            distances, &report);
      if (radius == radius) index_.range_search(query.data(), 1, radius, kWidth, {}, exact, 1, {});
    }
  }

  // What is refused, as Python would be told, changes nothing.
  template <class Call>
  void attempt(const Call& call) {
    try {
      call();
    } catch (const LabelError&) {  // none is left above the highest
    }
  }

  void add(std::size_t count, bool spanning) {
    std::vector<std::byte> rows;
    for (std::size_t i = 0; i < count; ++i) {
      const std::vector<std::byte> one = row();
      rows.insert(rows.end(), one.begin(), one.end());
    }
    attempt([&] { index_.add(rows.data(), count, std::nullopt, false, 1, {}); });
    whole("add", spanning);
  }

  // All but one in `share`.
  void remove(std::size_t share, bool spanning) {
    std::vector<Label> gone = index_.labels();
    std::size_t turn = 0;
    std::erase_if(gone, [&](Label) { return share > 1 && ++turn % share == 0; });
    index_.remove(gone, 1, {});
    whole("remove", spanning);
  }

  void whole(const char* after, bool spanning) {
    const IndexState state = index_.export_state();
    const std::string why = refusal(format_, state.view(), spanning);
    must(why.empty(), std::string(after) + " left: " + why);
  }

  Header head_;
  StateFormat format_;
  Index index_;
  std::minstd_rand random_;
};

// Blocks are verified when they are used: anything may be wrong that is not looked at.
void read_mapped(const Header& head, MappedState state) {
  std::vector<std::vector<std::uint32_t>> sums;
  const auto sums_of = [&](std::span<const std::byte> bytes) -> SectionSums {
    auto& of = sums.emplace_back(blocks_of(bytes.size()));
    block_sums(bytes, 1, of.data());
    return {0, of};
  };
  const StateView& view = state.view;
  const MappedSums all{sums_of(view.rows),
                       sums_of(view.originals),
                       sums_of(std::as_bytes(view.links)),
                       sums_of(std::as_bytes(state.upper)),
                       sums_of(std::as_bytes(view.labels)),
                       sums_of(std::as_bytes(view.norms))};
  try {
    guard(head.format(), all, state);
    Session session(head, 0);
    session.index().map(std::move(state));
    session.read();
    session.index().export_state();
  } catch (const FormatError&) {
  } catch (const LabelError&) {  // of labels that come twice, one is not found
  }
}

void run(std::span<const std::byte> data) {
  std::optional<File> file = decode(data);
  if (!file) return;
  const std::optional<MappedState> state = view(*file);
  if (!state) return;
  const Header& head = file->head;
  read_mapped(head, *state);
  const bool spanning = refusal(head.format(), state->view, true).empty();
  if (!spanning && !refusal(head.format(), state->view, false).empty()) return;
  Session session(head, head.edge_bits);
  session.index().import_state(state->view);
  session.read();
  session.change(spanning);
}

}  // namespace
}  // namespace annx::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  annx::fuzz::run(std::as_bytes(std::span(data, size)));
  return 0;
}
