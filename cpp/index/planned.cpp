// Queries with a filter or a report: which way is cheapest, and the ways.
#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <span>

#include "exact/exact.h"
#include "index/index.h"

namespace annx {
namespace {

// What a beam of width ef computes: some 16 distances for each of its nodes at M = 16.
constexpr std::size_t kPerNode = 16;
// Rows that a scan compares in the time of one distance of a beam: it knows them beforehand, and
// keeps no account of them.
constexpr double kScanSpeed = 5;
// A filter passes less near the query than elsewhere if less than this part of its share does.
constexpr double kPoor = 0.7;
// Rows that a walk over such a filter may cost, in rows that a walk costs otherwise.
constexpr double kPoorCost = 3;

// Rows that are scanned in the time of a beam over a share of the rows: the smaller the share, the
// more edges it looks at.
double scanned_meanwhile(std::size_t width, double share) {
  return kScanSpeed * static_cast<double>(kPerNode * width) * (1 + 0.5 * std::log2(1 / share));
}
// Share of rows that must pass for a beam through the others to be the cheaper one.
constexpr double kMost = 0.8;
// Rows that pass, spread over the filter, that a beam over them starts from too.
constexpr std::size_t kSeeds = 16;

void set(std::vector<std::uint64_t>& bits, Slot slot) noexcept {
  bits[slot / 64] |= std::uint64_t{1} << (slot % 64);
}
bool test(const std::vector<std::uint64_t>& bits, Slot slot) noexcept {
  return (bits[slot / 64] >> (slot % 64) & 1) != 0;
}

}  // namespace

// Slots of the labels i with by_label[i] != 0.
void Index::list_dense(std::span<const std::uint8_t> by_label, Filter::Slots& out) const {
  const auto passes = [&](Slot slot) {
    // A negative label is beyond the end too.
    const auto label = static_cast<std::uint64_t>(labels_[slot]);
    return label < by_label.size() && by_label[label] != 0 && labels_.has(slot);
  };
  for (Slot slot = 0; slot < size_; ++slot) {
    out.rows[slot / 64] |= static_cast<std::uint64_t>(passes(slot)) << (slot % 64);
  }
  std::size_t count = 0;
  for (const std::uint64_t word : out.rows) count += static_cast<std::size_t>(std::popcount(word));
  out.listed.reserve(count);
  for (std::size_t i = 0; i < out.rows.size(); ++i) {
    for (std::uint64_t word = out.rows[i]; word != 0; word &= word - 1) {
      out.listed.push_back(static_cast<Slot>(64 * i + std::countr_zero(word)));
    }
  }
}

// What a filter means now; with the gate held.
std::shared_ptr<const Filter::Slots> Index::resolve(const Filter& filter) const {
  const std::lock_guard lock(filter.mutex_);
  if (filter.slots_ && filter.slots_->epoch == epoch_) return filter.slots_;
  settle_labels();
  auto fresh = std::make_shared<Filter::Slots>();
  fresh->epoch = epoch_;
  const std::size_t words = size_ / 64 + 1;
  fresh->rows.assign(words, 0);
  if (filter.is_dense_) {
    list_dense(filter.by_label_, *fresh);
  } else {
    for (const Label label : filter.labels_) {
      const std::optional<Slot> slot = labels_.find(label);
      if (!slot || test(fresh->rows, *slot)) continue;
      set(fresh->rows, *slot);
      fresh->listed.push_back(*slot);
    }
    std::sort(fresh->listed.begin(), fresh->listed.end());
  }
  if (!twins_.empty()) {
    fresh->nodes.assign(words, 0);
    for (const Slot slot : fresh->listed) {
      const Slot node = twins_.representative(slot);
      const std::span<const Slot> twins = twins_.of(node);
      const auto listed = [&](Slot row) { return test(fresh->rows, row); };
      // A node of which one row may be found is not denied.
      if (filter.allow_ || (listed(node) && std::all_of(twins.begin(), twins.end(), listed))) {
        set(fresh->nodes, node);
      }
    }
  }
  filter.slots_ = fresh;
  return fresh;
}

void Index::planned_one(const std::byte* input, std::size_t k, std::size_t ef, const Filter* filter,
                        bool exact, Scratch& scratch, Label* labels, float* distances,
                        Report& report) const {
  const Gate::Reader reader(gate_);
  settle_twins();
  const std::shared_ptr<const Filter::Slots> slots = filter ? resolve(*filter) : nullptr;
  const bool deny = filter != nullptr && !filter->allow();
  Passing rows;
  Passing nodes;
  const std::size_t all = labels_.count();
  std::size_t pass = all;
  if (slots) {
    rows = {slots->rows.data(), deny, nullptr};
    nodes = {slots->nodes.empty() ? slots->rows.data() : slots->nodes.data(), deny, nullptr};
    pass = deny ? all - std::min(all, slots->listed.size()) : slots->listed.size();
  }
  if (!graph_.dead().empty()) nodes.dead = &graph_.dead();
  const std::size_t width = std::min(std::max(ef, k), std::max<std::size_t>(live_nodes(), 1));
  const double share =
      static_cast<double>(pass) / static_cast<double>(std::max<std::size_t>(all, 1));

  std::size_t found = 0;
  const auto put = [&](Slot slot, float distance) {
    labels[found] = label_of(slot);
    distances[found] = distance;
    ++found;
  };
  const auto walk = [&] {
    scratch.work.resize(space().work_bytes());
    const Query query = space().prepare(input, scratch.work.data());
    // Twice what it takes when all goes well.
    const std::size_t budget = std::max<std::size_t>(1000, 4 * kPerNode * width);
    Walk cost;
    bool done = false;
    const auto account = [&] {
      report.expanded = cost.expanded;
      report.distances = cost.distances;
    };
    if (share >= kMost) {
      report.plan = Plan::kGraph;
      const std::size_t room = filter ? 4 * budget : std::numeric_limits<std::size_t>::max();
      done = through(query, width, k, nodes, room, scratch, cost);
    } else {
      report.plan = Plan::kTwoHop;
      done = among(query, width, k, pass, share, slots.get(), nodes, deny, scratch, cost);
    }
    account();
    // Fewer than asked for, although more pass: what was reached is an island.
    if (!done || scratch.pool.size() < std::min(width, pass) / 2) return false;
    scratch.query = query;
    if (reranks()) rerank(input, k, scratch);
    const std::size_t hits = reranks() ? scratch.candidates.size() : scratch.pool.size();
    for (std::size_t i = 0; i < hits && found < k; ++i) {
      const Neighbor hit = reranks() ? scratch.candidates[i] : scratch.pool[i];
      if (rows(hit.id)) put(hit.id, hit.distance);
      if (twins_.empty()) continue;
      for (const Slot twin : twins_.of(hit.id)) {
        if (found < k && rows(twin)) put(twin, hit.distance);
      }
    }
    return found >= std::min(k, pass);
  };
  const auto compare = [&] {
    found = 0;
    const Space& space = kept().space();
    scratch.exact_work.resize(space.work_bytes());
    const Query query = space.prepare(input, scratch.exact_work.data());
    Nearest nearest(std::min(k, pass));
    const auto offer = [&](Slot slot, float distance) {
      nearest.offer(distance, slot);
      ++report.distances;
    };
    const auto allowed = [&](Slot slot) { return labels_.has(slot) && rows(slot); };
    if (slots && !deny) {
      scan_listed(kept(), query, slots->listed, allowed, offer);
    } else {
      scan(kept(), query, size_, allowed, offer);
    }
    for (const Neighbor& hit : std::move(nearest).sorted()) put(hit.id, hit.distance);
  };
  const bool few = 2 * k >= pass ||
                   (share < kMost && static_cast<double>(pass) <= scanned_meanwhile(width, share));
  if (exact || few) {
    report.plan = Plan::kScan;
    compare();
  } else if (!walk()) {
    report.plan = Plan::kFallback;
    compare();
  }
  if (found < k) report.reason = pass < all ? Short::kFilter : Short::kRows;
  for (; found < k; ++found) {
    labels[found] = kNoLabel;
    distances[found] = std::numeric_limits<float>::infinity();
  }
}

// A beam through the graph. Rows that pass may lie behind so many that do not that they are at the
// end of the beam, which is vague; then it takes a wider one.
bool Index::through(const Query& query, std::size_t width, std::size_t k, const Passing& nodes,
                    std::size_t budget, Scratch& scratch, Walk& cost) const {
  const WidePool& pool = scratch.wide;
  if (!graph_.search_through(query, k, width, size_, nodes, budget, scratch, cost)) return false;
  const std::size_t deep = pool.rank(k);
  // Coarse distances mix the ranks near the k-th more.
  const std::size_t wanted = deep + (space().is_coarse() ? deep : deep / 3);
  if (deep > k && wanted > pool.size()) {
    const std::size_t wider = std::min(width + wanted - pool.size(), live_nodes());
    if (!graph_.search_through(query, k, wider, size_, nodes, budget, scratch, cost)) return false;
  }
  scratch.pool.reset(pool.counted());
  for (std::size_t i = 0; i < pool.size(); ++i) {
    if (pool.counts(i)) scratch.pool.insert(pool[i].distance, pool[i].id);
  }
  return true;
}

// A beam over the rows that pass. Where hardly any pass near the query, such a beam may end in any
// valley: two from different places must then find the same.
bool Index::among(const Query& query, std::size_t width, std::size_t k, std::size_t pass,
                  double share, const Filter::Slots* slots, const Passing& nodes, bool deny,
                  Scratch& scratch, Walk& cost) const {
  const std::size_t budget = std::max(4 * kPerNode * width, pass);
  const Slot start = graph_.nearest_by(query, scratch, cost);
  const bool poor = graph_.passing_near(start, nodes) < kPoor * share;
  if (poor && static_cast<double>(pass) <= kPoorCost * scanned_meanwhile(width, share))
    return false;
  if (!graph_.search_among(query, k, width, size_, nodes, start, spread(slots, deny, 0, nodes),
                           budget, scratch, cost)) {
    return false;
  }
  if (!poor) return true;
  std::vector<Neighbor> first;
  for (std::size_t i = 0; i < scratch.pool.size(); ++i) first.push_back(scratch.pool[i]);
  if (!graph_.search_among(query, k, width, size_, nodes, kNoLink, spread(slots, deny, 1, nodes),
                           budget, scratch, cost)) {
    return false;
  }
  const std::size_t best = std::min({k, first.size(), scratch.pool.size()});
  std::size_t same = 0;
  for (std::size_t i = 0; i < best; ++i) {
    same += std::any_of(first.begin(), first.begin() + static_cast<std::ptrdiff_t>(best),
                        [&](const Neighbor& n) { return n.id == scratch.pool[i].id; });
  }
  return 10 * same >= 9 * best;
}

// Nodes that pass, evenly over the slots; others for another `turn`.
std::vector<Slot> Index::spread(const Filter::Slots* slots, bool deny, std::size_t turn,
                                const Passing& passing) const {
  std::vector<Slot> out;
  const bool listed = slots != nullptr && !deny;
  const std::size_t count = listed ? slots->listed.size() : size_;
  for (std::size_t i = 0; i < kSeeds; ++i) {
    const std::size_t at = count * (4 * i + 1 + 2 * turn) / (4 * kSeeds);
    if (at >= count) break;
    const Slot row = listed ? slots->listed[at] : static_cast<Slot>(at);
    if (!labels_.has(row)) continue;
    const Slot node = twins_.representative(row);
    if (passing(node)) out.push_back(node);
  }
  return out;
}

void Index::planned_search(const std::byte* queries, std::size_t count, std::size_t k,
                           std::size_t ef, std::span<const Filter* const> filters, bool exact,
                           std::size_t num_threads, const Poll& poll, Label* labels,
                           float* distances, Report* reports) const {
  for_queries(count, num_threads, poll, [&](std::size_t i, Scratch& scratch) {
    const Filter* filter = filters.empty() ? nullptr : filters[filters.size() == 1 ? 0 : i];
    planned_one(queries + i * space().input_bytes(), k, ef, filter, exact, scratch, labels + i * k,
                distances + i * k, reports[i]);
  });
}

}  // namespace annx
