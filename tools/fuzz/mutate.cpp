// Mutations that know what a file holds: most of their results pass the length checks, and many
// all others, so that the engine sees states that no writer of ours would make.
#include <algorithm>
#include <cstring>
#include <random>

#include "file.h"

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t most);

namespace annx::fuzz {
namespace {

class Mutator {
 public:
  Mutator(File& file, unsigned seed) : file_(file), head_(file.head), random_(seed) {}

  void run() {
    using Step = void (Mutator::*)();
    static constexpr Step kSteps[] = {
        &Mutator::value,      &Mutator::value,      &Mutator::value,    &Mutator::value,
        &Mutator::bytes,      &Mutator::exchange,   &Mutator::copy_row, &Mutator::header,
        &Mutator::append_row, &Mutator::make_twin,  &Mutator::drop_row, &Mutator::remove_row,
        &Mutator::add_level,  &Mutator::drop_level, &Mutator::edge,     &Mutator::edge,
        &Mutator::drop_links, &Mutator::add_seed,
    };
    for (std::size_t i = 1 + below(3); i-- > 0;) (this->*kSteps[below(std::size(kSteps))])();
  }

 private:
  std::size_t below(std::size_t limit) { return limit == 0 ? 0 : random_() % limit; }
  std::size_t rows() { return file_.sections["labels"].size() / sizeof(Label); }
  // Bytes of a row of a section that has one for each slot, as far as it is one.
  std::size_t width(const std::string& name) {
    return rows() == 0 ? 0 : file_.sections[name].size() / rows();
  }
  static constexpr const char* kPerRow[] = {"labels", "links", "rows", "norms", "original"};

  std::string any_section() {
    // Those that say how things hang together are small, and matter more than rows.
    static constexpr const char* kNames[] = {"links", "links", "links",    "labels",  "levels",
                                             "down",  "upper", "twins",    "removed", "seeds",
                                             "rows",  "norms", "original", "growth"};
    return kNames[below(std::size(kNames))];
  }

  template <class T>
  void value_of(std::span<T> all) {
    if (all.empty()) return;
    T& value = all[below(all.size())];
    const auto n = static_cast<T>(rows());
    const T extremes[] = {0, 1, static_cast<T>(n - 1), n, static_cast<T>(-1), static_cast<T>(-2)};
    switch (below(6)) {
      case 0:
        value = all[below(all.size())];
        break;
      case 1:
        value = static_cast<T>(value + 1);
        break;
      case 2:
        value = static_cast<T>(value - 1);
        break;
      case 3:
        value ^= static_cast<T>(T{1} << below(8 * sizeof(T)));
        break;
      case 4:
        value = extremes[below(std::size(extremes))];
        break;
      default:
        // A link to anywhere, with any flags.
        value = static_cast<T>(below(rows()) | below(4) << 30);
    }
  }
  void value() {
    const std::string name = any_section();
    if (element_of(name) == 1) return value_of(file_.as<std::uint8_t>(name));
    if (element_of(name) == 8) return value_of(file_.as<std::uint64_t>(name));
    value_of(file_.as<std::uint32_t>(name));
  }
  // As libFuzzer does it, which remembers what comparisons looked for.
  void bytes() {
    Bytes& all = file_.sections[any_section()];
    const std::size_t size = all.size();
    if (size == 0) return;
    LLVMFuzzerMutate(reinterpret_cast<std::uint8_t*>(all.data()), size, size);
  }
  void exchange() {
    const std::string name = any_section();
    Bytes& all = file_.sections[name];
    const std::size_t unit =
        below(2) == 0 ? element_of(name) : std::max<std::size_t>(width(name), 1);
    const std::size_t count = all.size() / unit;
    if (count < 2) return;
    const auto at = [&](std::size_t i) {
      return all.begin() + static_cast<std::ptrdiff_t>(i * unit);
    };
    const std::size_t a = below(count), b = below(count);
    std::swap_ranges(at(a), at(a) + static_cast<std::ptrdiff_t>(unit), at(b));
  }
  void copy_row() {
    const std::string name = any_section();
    if (rows() >= 2) copy(name, below(rows()), below(rows()));
  }
  void copy(const std::string& name, std::size_t from, std::size_t to) {
    Bytes& all = file_.sections[name];
    const std::size_t bytes = width(name);
    for (std::size_t i = 0; i < bytes; ++i) all[to * bytes + i] = all[from * bytes + i];
  }
  void header() {
    switch (below(9)) {
      case 0:
        head_.entry = static_cast<std::uint32_t>(below(2 * rows() + 1));
        break;
      case 1:
        head_.metric = static_cast<std::uint8_t>(below(4));
        break;
      case 2:
        head_.codec = static_cast<std::uint8_t>(below(9));
        break;
      case 3:
        head_.keep = static_cast<std::uint8_t>(below(3));
        break;
      case 4:
        head_.wide ^= 1;
        break;
      case 5:
        head_.edge_bits = static_cast<std::uint8_t>(below(3));
        break;
      case 6:
        head_.seed = random_();
        break;
      case 7:
        head_.ef_construction = static_cast<std::uint32_t>(1 + below(30));
        break;
      default:
        head_.dim = static_cast<std::uint32_t>(head_.dim + below(3) - 1);
    }
  }

  void append_row() {
    const std::size_t n = rows();
    if (n == 0 || n >= 300) return;
    const std::size_t from = below(n);
    for (const char* name : kPerRow) {
      Bytes& all = file_.sections[name];
      const std::size_t bytes = all.size() / n;
      all.resize(bytes * (n + 1));
    }
    for (const char* name : kPerRow) copy(name, from, n);
    file_.as<Label>("labels")[n] = static_cast<Label>(random_());
    head_.n = n + 1;
  }
  void unlink(std::size_t slot) {
    const std::span<Slot> row = links(slot);
    std::fill(row.begin(), row.end(), kNoLink);
  }
  std::span<Slot> links(std::size_t slot) {
    const std::size_t degree = width("links") / sizeof(Slot);
    return file_.as<Slot>("links").subspan(slot * degree, degree);
  }
  // Keeps padding at the end.
  static void drop(std::span<Slot> row, Slot node, Slot mask) {
    const auto end = std::remove_if(row.begin(), row.end(), [=](Slot link) {
      return link != kNoLink && (link & mask) == node;
    });
    std::fill(end, row.end(), kNoLink);
  }
  // A valid one, as long as what it equals is none itself.
  void make_twin() {
    const std::size_t n = rows();
    append_row();
    if (rows() == n) return;
    const std::size_t of = below(n);
    for (const char* name : {"rows", "original", "norms"}) copy(name, of, n);
    unlink(n);
    Bytes& twins = file_.sections["twins"];
    const Slot pair[] = {static_cast<Slot>(n), static_cast<Slot>(of)};
    const auto* raw = reinterpret_cast<const std::byte*>(pair);
    twins.insert(twins.end(), raw, raw + sizeof pair);
  }
  void drop_row() {
    const std::size_t n = rows();
    if (n == 0) return;
    const auto last = static_cast<Slot>(n - 1);
    for (std::size_t i = 0; i < n; ++i) drop(links(i), last, kSlotMask);
    for (const char* name : kPerRow) {
      Bytes& all = file_.sections[name];
      all.resize(all.size() / n * last);
    }
    head_.n = last;
  }
  void remove_row() {
    if (rows() == 0) return;
    const auto slot = static_cast<Slot>(below(rows()));
    const std::span<Label> labels = file_.as<Label>("labels");
    labels[slot] = kNoLabel;
    const bool free = below(2) == 0;
    if (free) {
      for (std::size_t i = 0; i < rows(); ++i) drop(links(i), slot, kSlotMask);
      unlink(slot);
      for (const char* name : {"rows", "original", "norms"}) {
        Bytes& all = file_.sections[name];
        const std::size_t bytes = width(name);
        std::fill_n(all.begin() + static_cast<std::ptrdiff_t>(slot * bytes), bytes, std::byte{0});
      }
    }
    Bytes fresh;
    for (std::size_t i = 0; i < rows(); ++i) {
      if (labels[i] != kNoLabel) continue;
      const bool empty = width("links") < sizeof(Slot) || links(i)[0] == kNoLink;
      const Slot entry = static_cast<Slot>(i) | (empty ? kFreeFlag : 0);
      const auto* raw = reinterpret_cast<const std::byte*>(&entry);
      fresh.insert(fresh.end(), raw, raw + sizeof entry);
    }
    file_.sections["removed"] = std::move(fresh);
  }
  void add_level() {
    Bytes& levels = file_.sections["levels"];
    const auto sizes = file_.as<Slot>("levels");
    const std::size_t under = sizes.empty() ? rows() : sizes.back();
    const Slot one = 1, down = static_cast<Slot>(below(under));
    const auto append = [](Bytes& to, const Slot& value) {
      const auto* raw = reinterpret_cast<const std::byte*>(&value);
      to.insert(to.end(), raw, raw + sizeof value);
    };
    append(levels, one);
    append(file_.sections["down"], down);
    for (std::size_t i = 0; i < head_.M && i < 64; ++i) append(file_.sections["upper"], kNoLink);
    head_.entry = 0;
  }
  void add_seed() {
    const auto slot = static_cast<Slot>(below(rows()));
    const auto* raw = reinterpret_cast<const std::byte*>(&slot);
    Bytes& seeds = file_.sections["seeds"];
    seeds.insert(seeds.end(), raw, raw + sizeof slot);
  }
  void drop_level() {
    const auto sizes = file_.as<Slot>("levels");
    if (sizes.empty()) return;
    const std::size_t nodes = sizes.back();
    const auto cut = [&](const char* name, std::size_t bytes) {
      Bytes& all = file_.sections[name];
      all.resize(all.size() - std::min(all.size(), bytes));
    };
    cut("levels", sizeof(Slot));
    cut("down", nodes * sizeof(Slot));
    cut("upper", nodes * sizeof(Slot) * head_.M);
    const auto left = file_.as<Slot>("levels");
    head_.entry = static_cast<std::uint32_t>(below(left.empty() ? rows() : left.back()));
  }
  // Adds an edge both ways, or changes its flags.
  void edge() {
    if (rows() < 2 || width("links") < sizeof(Slot)) return;
    const auto a = static_cast<Slot>(below(rows())), b = static_cast<Slot>(below(rows()));
    const Slot flags = static_cast<Slot>(below(4)) << 30;
    for (const auto& [from, to] : {std::pair(a, b), std::pair(b, a)}) {
      const std::span<Slot> row = links(from);
      auto place = std::find_if(row.begin(), row.end(), [to = to](Slot link) {
        return link == kNoLink || (link & kSlotMask) == to;
      });
      if (place == row.end()) --place;
      *place = to | flags;
    }
  }
  void drop_links() {
    if (rows() == 0) return;
    const auto a = static_cast<Slot>(below(rows())), b = static_cast<Slot>(below(rows()));
    drop(links(a), b, kSlotMask);
    drop(links(b), a, kSlotMask);
    if (below(4) == 0) {
      for (std::size_t i = 0; i < rows(); ++i) drop(links(i), a, kSlotMask);
      unlink(a);
    }
  }

  File& file_;
  Header& head_;
  std::minstd_rand random_;
};

std::size_t store(File& file, std::uint8_t* data, std::size_t most) {
  const Bytes out = encode(file);
  if (out.size() > most) return 0;
  std::memcpy(data, out.data(), out.size());
  return out.size();
}

}  // namespace
}  // namespace annx::fuzz

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t most, unsigned seed) {
  using namespace annx::fuzz;
  std::optional<File> file = decode(std::as_bytes(std::span(data, size)));
  // Now and then without understanding, for what decodes it.
  if (!file || seed % 64 == 0) return LLVMFuzzerMutate(data, size, most);
  Mutator(*file, seed).run();
  const std::size_t stored = store(*file, data, most);
  return stored != 0 ? stored : size;
}

// The header of one file with sections of another.
extern "C" std::size_t LLVMFuzzerCustomCrossOver(const std::uint8_t* a, std::size_t a_size,
                                                 const std::uint8_t* b, std::size_t b_size,
                                                 std::uint8_t* out, std::size_t most,
                                                 unsigned seed) {
  using namespace annx::fuzz;
  std::optional<File> file = decode(std::as_bytes(std::span(a, a_size)));
  std::optional<File> other = decode(std::as_bytes(std::span(b, b_size)));
  if (!file || !other) return 0;
  std::minstd_rand random(seed);
  for (auto& [name, content] : other->sections) {
    if (random() % 3 != 0) continue;
    // As long as before, so that the rest still fits.
    Bytes& mine = file->sections[name];
    std::copy_n(content.begin(), std::min(content.size(), mine.size()), mine.begin());
  }
  return store(*file, out, most);
}
