#include "check/mapped.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <utility>

#include "base/bits.h"
#include "base/errors.h"
#include "check/graph.h"
#include "check/links.h"
#include "check/sums.h"

namespace annx {
namespace {

// Looks at the things from `first` up to `last`; says what is wrong with one, and which, or null.
using Content = std::function<const char*(std::size_t first, std::size_t last, std::size_t& which)>;

class SectionGuard final : public Guard {
 public:
  // `part` names one of its things, each of `stride` bytes.
  SectionGuard(std::string section, std::span<const std::byte> bytes, const SectionSums& sums,
               std::string part, std::size_t stride, Content content)
      : Guard(bytes.size()),
        section_(std::move(section)),
        bytes_(bytes),
        sums_(sums),
        part_(std::move(part)),
        stride_(stride),
        content_(std::move(content)) {}

 private:
  void check(std::size_t block) const override {
    const std::size_t from = block * kBlockBytes;
    const std::size_t to = std::min(bytes_.size(), from + kBlockBytes);
    if (block_sum(bytes_, block) != sums_.sums[block]) {
      throw FormatError("section '" + section_ + "': checksum of bytes " +
                        std::to_string(sums_.offset + from) + " to " +
                        std::to_string(sums_.offset + to) + " does not match");
    }
    if (!content_) return;
    std::size_t which = 0;
    // All things that lie in it, be it in part.
    const char* what = content_(from / stride_, (to + stride_ - 1) / stride_, which);
    if (what != nullptr) throw FormatError(part_ + " " + std::to_string(which) + ": " + what);
  }

  std::string section_;
  std::span<const std::byte> bytes_;
  SectionSums sums_;
  std::string part_;
  std::size_t stride_;
  Content content_;
};

Content rows_of(const RowFormat& format, const std::byte* rows, std::shared_ptr<const Bits> free) {
  return [check = RowCheck(format), rows, free = std::move(free)](
             std::size_t first, std::size_t last, std::size_t& which) -> const char* {
    for (which = first; which < last; ++which) {
      const std::byte* row = rows + which * check.format().stride;
      if (const char* what = check.defect(row, free->test(which))) return what;
    }
    return nullptr;
  };
}

Content links_of(const Slot* links, std::size_t degree, std::size_t nodes) {
  return [=](std::size_t first, std::size_t last, std::size_t& which) -> const char* {
    LinkCheck check(degree, nodes, kSlotMask);
    for (which = first; which < last; ++which) {
      if (const char* what = check.defect(links + which * degree, which)) return what;
    }
    return nullptr;
  };
}

// Rows of all levels above 0 in sequence.
Content upper_of(const Slot* links, std::size_t M, std::vector<std::size_t> sizes) {
  return [=, sizes = std::move(sizes)](std::size_t first, std::size_t last,
                                       std::size_t& which) -> const char* {
    std::size_t start = 0;
    for (const std::size_t size : sizes) {
      LinkCheck check(M, size, ~Slot{0});
      for (which = std::max(first, start); which < std::min(last, start + size); ++which) {
        if (const char* what = check.defect(links + which * M, which - start)) return what;
      }
      start += size;
    }
    return nullptr;
  };
}

void check_removed(const MappedState& state, Bits& gone, Bits& free) {
  const std::size_t n = state.view.labels.size();
  std::size_t next = 0;
  for (std::size_t i = 0; i < state.removed.size(); ++i) {
    const std::size_t slot = state.removed[i] & ~kFreeFlag;
    if (slot < next || slot >= n) {
      throw FormatError("removed " + std::to_string(i) + ": not in order, or out of range");
    }
    next = slot + 1;
    gone.set(slot);
    if ((state.removed[i] & kFreeFlag) != 0) free.set(slot);
  }
  if (gone.count() == n && n > 0) {
    throw FormatError("labels: expected a row that was not removed, or none at all");
  }
}

// Returns which rows are twins.
Bits check_twins(const StateView& view, const Bits& gone) {
  const std::size_t n = view.labels.size();
  const auto wrong = [](std::size_t i, const char* what) {
    throw FormatError("twin " + std::to_string(i) + ": " + what);
  };
  Bits twins;
  if (!view.twins.empty()) twins.reserve(n);
  for (std::size_t i = 0; 2 * i < view.twins.size(); ++i) {
    const std::size_t slot = view.twins[2 * i];
    if (slot >= n || view.twins[2 * i + 1] >= n) wrong(i, "out of range");
    if (i > 0 && slot <= view.twins[2 * i - 2]) wrong(i, "not in order");
    if (gone.test(slot)) wrong(i, "a removed row is a twin");
    twins.set(slot);
  }
  for (std::size_t i = 0; 2 * i < view.twins.size(); ++i) {
    const std::size_t representative = view.twins[2 * i + 1];
    if (twins.test(representative)) wrong(i, "its representative is a twin");
    if (gone.test(representative)) wrong(i, "its representative was removed");
  }
  return twins;
}

void check_down(const StateView& view) {
  std::size_t below = view.labels.size();
  for (std::size_t l = 0; l < view.levels.size(); ++l) {
    const std::span<const Slot> down = view.levels[l].down;
    const std::string name = "level " + std::to_string(l + 1);
    if (down.empty() || down.size() > below) throw FormatError(name + ": too many nodes, or none");
    std::size_t next = 0;
    for (std::size_t i = 0; i < down.size(); ++i) {
      if (down[i] < next || down[i] >= below) {
        throw FormatError(name + ", node " + std::to_string(i) + ": no such node, or not in order");
      }
      next = down[i] + std::size_t{1};
    }
    below = down.size();
  }
  if (view.entry >= std::max<std::size_t>(below, 1)) {
    throw FormatError("entry: expected less than " + std::to_string(below) + ", got " +
                      std::to_string(view.entry));
  }
}

}  // namespace

void guard(const StateFormat& format, const MappedSums& sums, MappedState& state) {
  const StateView& view = state.view;
  const std::size_t n = view.labels.size();
  Bits gone;
  const auto free = std::make_shared<Bits>();
  check_removed(state, gone, *free);
  const Bits twins = check_twins(view, gone);
  check_down(view);
  check_growth(view.growth);
  check_seeds(view.seeds, n, [&](Slot slot) { return free->test(slot) || twins.test(slot); });
  state.rows =
      std::make_shared<SectionGuard>("rows", view.rows, sums.rows, "row", format.rows.stride,
                                     rows_of(format.rows, view.rows.data(), free));
  if (format.originals) {
    state.originals = std::make_shared<SectionGuard>(
        "original", view.originals, sums.originals, "original of row", format.originals->stride,
        rows_of(*format.originals, view.originals.data(), free));
  }
  const std::size_t degree = 2 * format.M;
  state.links =
      std::make_shared<SectionGuard>("links", std::as_bytes(view.links), sums.links, "links of row",
                                     degree * sizeof(Slot), links_of(view.links.data(), degree, n));
  std::vector<std::size_t> sizes;
  for (const StateView::Level& level : view.levels) sizes.push_back(level.down.size());
  state.upper_links = std::make_shared<SectionGuard>(
      "upper", std::as_bytes(state.upper), sums.upper, "links above level 0, node",
      format.M * sizeof(Slot), upper_of(state.upper.data(), format.M, std::move(sizes)));
  state.labels = std::make_shared<SectionGuard>("labels", std::as_bytes(view.labels), sums.labels,
                                                "label", sizeof(Label), nullptr);
  state.norms = std::make_shared<SectionGuard>("norms", std::as_bytes(view.norms), sums.norms,
                                               "norm", sizeof(float), nullptr);
}

}  // namespace annx
