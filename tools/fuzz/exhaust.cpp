// Memory that runs out, at every single allocation in turn: each call must leave an index that is
// whole, holds what it held before the call, and goes on.
//   annx_exhaust [N]: at one in N, in a bulk build at one in 2000 N
#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <map>
#include <new>
#include <numeric>
#include <random>
#include <string>

#include "check/check.h"
#include "index/index.h"

namespace {

// Allocations that still succeed, and how many fail then.
constexpr long kNever = std::numeric_limits<long>::max();
std::atomic<long> g_left{kNever};
std::atomic<long> g_failures{0};

bool fails() noexcept {
  if (g_left.load(std::memory_order_relaxed) == kNever) return false;
  if (g_left.fetch_sub(1) > 0) return false;
  return g_failures.fetch_sub(1) > 0;
}

void* take(std::size_t bytes, std::size_t alignment = 16) {
  if (fails()) throw std::bad_alloc();
  void* p = std::aligned_alloc(alignment, (bytes + alignment) / alignment * alignment);
  if (p == nullptr) throw std::bad_alloc();
  return p;
}

}  // namespace

void* operator new(std::size_t bytes) { return take(bytes); }
void* operator new[](std::size_t bytes) { return take(bytes); }
void* operator new(std::size_t bytes, std::align_val_t to) {
  return take(bytes, static_cast<std::size_t>(to));
}
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  return fails() ? nullptr : std::aligned_alloc(16, (bytes + 16) / 16 * 16);
}
void operator delete(void* p, const std::nothrow_t&) noexcept { std::free(p); }
void operator delete(void* p) noexcept { std::free(p); }
void operator delete[](void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }
void operator delete[](void* p, std::size_t) noexcept { std::free(p); }
void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete(void* p, std::size_t, std::align_val_t) noexcept { std::free(p); }

// The linker puts these in place of what cpp/base/buffer.cpp calls (--wrap).
extern "C" void* __real_mmap(void*, std::size_t, int, int, int, off_t);
extern "C" void* __wrap_mmap(void* at, std::size_t bytes, int protection, int flags, int file,
                             off_t offset) {
  if (fails()) return MAP_FAILED;
  return __real_mmap(at, bytes, protection, flags, file, offset);
}

namespace annx::fuzz {
namespace {

using Rows = std::vector<std::byte>;
using Content = std::map<Label, Rows>;

void must(bool holds, const std::string& what) {
  if (holds) return;
  std::fprintf(stderr, "broken promise: %s\n", what.c_str());
  std::abort();
}

struct Kind {
  const char* name;
  Metric metric;
  bool scaled;
  bool planes;
  bool kept;
  unsigned edge_bits;
};
constexpr Kind kKinds[] = {
    {"l2 f32", Metric::kL2, false, false, false, 0},
    {"cosine f32", Metric::kCosine, false, false, false, 0},
    {"cosine sq8 with f32", Metric::kCosine, true, false, true, 0},
    {"l2 sq4", Metric::kL2, true, true, false, 0},
    {"l2 turbo", Metric::kL2, true, false, false, 2},
};
constexpr std::size_t kDim = 6, kM = 3;

class Session {
 public:
  Session(const Kind& kind, std::size_t threads, long stride)
      : kind_(kind), threads_(threads), stride_(stride), random_(1) {
    fresh();
  }

  void run() {
    // Few rows at once, then as many as are built in bulk.
    sweep("first add", [&] { add(9); });
    sweep("add", [&] { add(40); });
    sweep("labelled add", [&] { labelled(30, false); });
    sweep("upsert", [&] { labelled(30, true); });
    sweep("search", [&] { search(); });
    sweep("remove", [&] { remove(20); });
    sweep("repair", [&] { index_->repair(1e9, threads_, {}); });
    sweep("remove many", [&] { remove(70); });
    sweep("add to free slots", [&] { add(30); });
    sweep("compact", [&] { index_->compact(threads_, {}); });
    sweep("reserve", [&] { index_->reserve(next_room_ += 4096); });
    const IndexState state = index_->export_state();
    sweep("import", [&] { index_->import_state(state.view()); });
    sweep("remove all", [&] { remove(std::numeric_limits<std::size_t>::max()); });
    fresh();
    // There are thousands, and each takes a whole build.
    if (threads_ == 1) return;
    stride_ *= 2000;
    sweep("bulk", [&] { add(5000); });
  }

 private:
  void fresh() {
    const auto make = [&]() -> std::unique_ptr<const Space> {
      if (kind_.planes) return make_planes_space(kDim, kind_.metric, 0, !kind_.kept);
      if (kind_.scaled) return make_scaled_space(kDim, kind_.metric, 0, false);
      return make_plain_space(kDim, kind_.metric, Codec::kF32, false);
    };
    auto kept = kind_.kept ? make_plain_space(kDim, kind_.metric, Codec::kF32, true) : nullptr;
    index_ =
        std::make_unique<Index>(make(), std::move(kept), GraphOptions{kM, 12, 0, kind_.edge_bits});
    format_ = {};
    format_.rows =
        kind_.scaled ? scaled_format(kind_.metric, kDim, kind_.planes && !kind_.kept, kind_.planes)
                     : plain_format(kind_.metric, Codec::kF32, kDim);
    if (kind_.kept) format_.originals = plain_format(kind_.metric, Codec::kF32, kDim);
    format_.M = kM;
  }

  // From where the index is now, calls with the n-th allocation failing, once and with all that
  // follow, until none is left.
  template <class Call>
  void sweep(const char* what, const Call& call) {
    const IndexState start = index_->export_state();
    const Content before = content();
    const std::size_t calls = calls_;
    for (const long failures : {1L, kNever - 1}) {
      // Other places for each kind.
      for (long n = static_cast<long>(random_()) % stride_;; n += stride_) {
        fresh();
        index_->import_state(start.view());
        name_ = std::string(kind_.name) + ", " + what + ", allocation " + std::to_string(n);
        removed_.clear();
        changed_.clear();
        g_failures = failures;
        g_left = n;
        bool failed = false;
        try {
          call();
        } catch (const std::bad_alloc&) {
          failed = true;
        }
        const bool reached = g_left.exchange(kNever) < 0;
        whole(before);
        ++calls_;
        if (!reached) {
          must(!failed, name_ + ": no allocation failed, and yet it did");
          break;
        }
      }
    }
    if (std::getenv("ANNX_VERBOSE") != nullptr) {
      std::fprintf(stderr, "%s, %s: %zu calls\n", kind_.name, what, calls_ - calls);
    }
  }

  void whole(const Content& before) {
    const IndexState state = index_->export_state();
    try {
      check_state(format_, state.view(), true, {});
    } catch (const FormatError& error) {
      must(false, name_ + ": " + error.what());
    }
    const Content after = content();
    for (const auto& [label, row] : before) {
      const auto found = after.find(label);
      const bool may_go = std::count(removed_.begin(), removed_.end(), label) != 0;
      const bool may_change = std::count(changed_.begin(), changed_.end(), label) != 0;
      must(found != after.end() || may_go, name_ + ": lost label " + std::to_string(label));
      must(found == after.end() || may_change || found->second == row,
           name_ + ": label " + std::to_string(label) + " has another row");
    }
    search();
  }

  Content content() const {
    Content out;
    for (const Label label : index_->labels()) {
      Rows row(index_->space().input_bytes());
      index_->get({&label, 1}, row.data());
      must(out.emplace(label, row).second, name_ + ": label twice");
    }
    return out;
  }

  // Every fourth row equals another.
  Rows rows(std::size_t count) {
    std::vector<float> values(count * kDim);
    for (std::size_t i = 0; i < count; ++i) {
      const unsigned seed = i % 4 == 3 ? static_cast<unsigned>(i) : random_();
      std::minstd_rand own(seed);
      for (std::size_t j = 0; j < kDim; ++j) {
        values[i * kDim + j] = static_cast<float>(own() % 1000) - 300.5F;
      }
    }
    const auto* raw = reinterpret_cast<const std::byte*>(values.data());
    return {raw, raw + values.size() * sizeof(float)};
  }

  // Allocations of the caller's own do not fail.
  template <class Make>
  auto aside(const Make& make) {
    const long left = g_left.exchange(kNever);
    auto made = make();
    g_left = left;
    return made;
  }

  void add(std::size_t count) {
    const Rows input = aside([&] { return rows(count); });
    index_->add(input.data(), count, std::nullopt, false, threads_, {});
  }
  void labelled(std::size_t count, bool upsert) {
    const Rows input = aside([&] { return rows(count); });
    const std::vector<Label> labels = aside([&] {
      std::vector<Label> out = upsert ? index_->labels() : std::vector<Label>();
      std::shuffle(out.begin(), out.end(), random_);
      out.resize(std::min(out.size(), count / 2));
      while (out.size() < count) out.push_back(next_label_ += 1000);
      changed_ = out;
      return out;
    });
    index_->add(input.data(), count, std::span<const Label>(labels), upsert, threads_, {});
  }
  void remove(std::size_t count) {
    const std::vector<Label> labels = aside([&] {
      std::vector<Label> out = index_->labels();
      std::shuffle(out.begin(), out.end(), random_);
      // Some stay, so that there is something to remove in the next round.
      out.resize(std::min(out.size() / (count > out.size() ? 1 : 3), count));
      removed_ = out;
      return out;
    });
    index_->remove(labels, threads_, {});
  }
  void search() {
    constexpr std::size_t kQueries = 6, kHits = 5;
    const Rows queries = aside([&] { return rows(kQueries); });
    Label labels[kQueries * kHits];
    float distances[kQueries * kHits];
    const std::byte* data = queries.data();
    index_->search(data, kQueries, kHits, 20, threads_, {}, labels, distances);
    index_->exact_search(data, kQueries, kHits, threads_, {}, labels, distances);
    index_->range_search(data, kQueries, 1e5F, 20, {}, false, threads_, {});
    const auto filter = aside(
        [&] { return std::make_unique<Filter>(std::vector<Label>{labels[0], labels[1]}, false); });
    const Filter* filters[] = {filter.get()};
    Report reports[kQueries];
    index_->planned_search(data, kQueries, kHits, 20, filters, false, threads_, {}, labels,
                           distances, reports);
  }

 public:
  std::size_t calls() const noexcept { return calls_; }

 private:
  Kind kind_;
  std::size_t threads_;
  long stride_;
  std::minstd_rand random_;
  StateFormat format_;
  std::unique_ptr<Index> index_;
  std::string name_;
  std::vector<Label> removed_, changed_;
  Label next_label_ = 1'000'000;
  std::size_t next_room_ = 1 << 14;
  std::size_t calls_ = 0;
};

}  // namespace
}  // namespace annx::fuzz

int main(int count, char** arguments) {
  using namespace annx::fuzz;
  const long stride = count > 1 ? std::atol(arguments[1]) : 1;
  std::size_t calls = 0;
  for (const Kind& kind : kKinds) {
    for (const std::size_t threads : {1, 2}) {
      Session session(kind, threads, stride);
      session.run();
      calls += session.calls();
    }
  }
  std::fprintf(stderr, "%zu calls, each short of memory at another place: whole after each\n",
               calls);
  return 0;
}
