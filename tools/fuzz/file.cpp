#include "file.h"

#include <algorithm>
#include <cstring>
#include <memory>

namespace annx::fuzz {
namespace {

constexpr std::size_t kHeader = 80, kEntry = 32, kAlignment = 64;
constexpr std::size_t kMaxSections = 16, kMaxLevels = 64;
constexpr char kMagic[] =
    "\x89"
    "ANNX\r\n\x1a";  // clang-format would join what must not be

struct Kind {
  std::uint8_t type;
  std::uint8_t bytes;
};
const std::map<std::string, Kind> kKinds{
    {"levels", {2, 4}},  {"down", {2, 4}},     {"upper", {2, 4}}, {"twins", {2, 4}},
    {"removed", {2, 4}}, {"labels", {3, 8}},   {"links", {2, 4}}, {"rows", {1, 1}},
    {"norms", {4, 4}},   {"original", {1, 1}}, {"seeds", {2, 4}}, {"growth", {4, 4}},
};

bool is_optional(const std::string& name) { return name == "seeds" || name == "growth"; }

template <class T>
T get(std::span<const std::byte> data, std::size_t at) {
  T value;
  std::memcpy(&value, data.data() + at, sizeof value);
  return value;
}

template <class T>
void put(Bytes& data, std::size_t at, T value) {
  std::memcpy(data.data() + at, &value, sizeof value);
}

// Calls both(place, field) for each field of the header.
template <class Head, class Each>
void fields(Head& head, const Each& both) {
  both(28, head.dim);
  both(32, head.M);
  both(36, head.ef_construction);
  both(40, head.ef_search);
  both(44, head.metric);
  both(45, head.codec);
  both(46, head.keep);
  both(47, head.wide);
  both(48, head.seed);
  both(56, head.n);
  both(64, head.entry);
  both(68, head.preset);
  both(69, head.wish);
  both(70, head.edge_bits);
}

bool was_removed_from(File& file) {
  const auto labels = file.as<Label>("labels");
  const auto twins = file.as<Slot>("twins");
  bool found = std::find(labels.begin(), labels.end(), kNoLabel) != labels.end();
  for (std::size_t i = 0; i + 1 < twins.size(); i += 2) found |= twins[i + 1] > twins[i];
  return found;
}

}  // namespace

bool Header::sound() const noexcept {
  const bool bits = codec == 5;
  return dim >= 1 && dim <= 96 && M >= 2 && M <= 40 && ef_construction >= 1 && n <= 400 &&
         metric <= 3 && codec <= 8 && keep <= 2 && wide <= 1 && edge_bits <= 2 &&
         bits == (metric == 3) && (!bits || dim % 8 == 0) && (keep == 0 || scaled()) &&
         (wide == 0 || codec == 3 || codec == 4) &&
         (edge_bits == 0 || (scaled() && !planes()) || codec == 3 || codec == 4);
}

StateFormat Header::format() const {
  StateFormat format;
  format.rows = scaled() ? scaled_format(metric_kind(), dim, more(), planes())
                         : plain_format(metric_kind(), codec_kind(), dim);
  if (keep != 0) format.originals = plain_format(metric_kind(), keep_kind(), dim);
  format.M = M;
  return format;
}

std::size_t element_of(const std::string& section) {
  const auto found = kKinds.find(section);
  return found == kKinds.end() ? 0 : found->second.bytes;
}

std::optional<File> decode(std::span<const std::byte> data) {
  if (data.size() < kHeader || std::memcmp(data.data(), kMagic, 8) != 0) return std::nullopt;
  File file;
  fields(file.head, [&]<class T>(std::size_t at, T& field) { field = get<T>(data, at); });
  const std::size_t count = get<std::uint32_t>(data, 24);
  if (count > kMaxSections || data.size() < kHeader + count * kEntry) return std::nullopt;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t at = kHeader + i * kEntry;
    const auto* raw = reinterpret_cast<const char*>(data.data()) + at;
    const std::string name(raw, std::find(raw, raw + 8, '\0'));
    const auto offset = get<std::uint64_t>(data, at + 16),
               length = get<std::uint64_t>(data, at + 24);
    if (offset > data.size() || length > data.size() - offset) return std::nullopt;
    if (element_of(name) == 0) continue;  // checksums, logs, settings
    const auto from = data.begin() + static_cast<std::ptrdiff_t>(offset);
    file.sections[name].assign(from, from + static_cast<std::ptrdiff_t>(length));
  }
  return file;
}

Bytes encode(File& file) {
  const auto wanted = [&](const std::string& name) {
    if (name == "norms") return file.head.has_norms();
    if (is_optional(name)) return !file.sections[name].empty();
    return name != "original" || file.head.keep != 0;
  };
  std::size_t count = 0;
  for (const auto& [name, kind] : kKinds) count += wanted(name) ? 1 : 0;
  Bytes out(kHeader + count * kEntry);
  std::memcpy(out.data(), kMagic, 8);
  put<std::uint32_t>(out, 8, 1);
  put<std::uint32_t>(out, 16, was_removed_from(file) ? 1 : 0);
  put<std::uint32_t>(out, 24, static_cast<std::uint32_t>(count));
  fields(file.head, [&]<class T>(std::size_t at, const T& field) { put<T>(out, at, field); });
  std::size_t at = kHeader;
  for (const auto& [name, kind] : kKinds) {
    if (!wanted(name)) continue;
    const Bytes& content = file.sections[name];
    out.resize((out.size() + kAlignment - 1) / kAlignment * kAlignment);
    std::memcpy(out.data() + at, name.data(), name.size());
    put<std::uint8_t>(out, at + 8, kind.type);
    put<std::uint8_t>(out, at + 9, is_optional(name) ? 0 : 1);
    put<std::uint64_t>(out, at + 16, out.size());
    put<std::uint64_t>(out, at + 24, content.size());
    out.insert(out.end(), content.begin(), content.end());
    at += kEntry;
  }
  return out;
}

std::optional<MappedState> view(File& file) {
  const Header& head = file.head;
  if (!head.sound()) return std::nullopt;
  for (const auto& [name, kind] : kKinds) {
    if (file.sections[name].size() % kind.bytes != 0) return std::nullopt;
  }
  const StateFormat format = head.format();
  MappedState state;
  state.owner = std::make_shared<int>();  // whoever has none owns the arrays
  state.view.rows = std::span(file.sections["rows"]);
  state.view.labels = file.as<Label>("labels");
  state.view.links = file.as<Slot>("links");
  state.view.twins = file.as<Slot>("twins");
  state.view.entry = head.entry;
  state.view.seeds = file.as<Slot>("seeds");
  state.view.growth = file.as<float>("growth");
  if (format.originals) state.view.originals = std::span(file.sections["original"]);
  if (head.has_norms()) state.view.norms = file.as<float>("norms");
  state.removed = file.as<Slot>("removed");
  state.upper = file.as<Slot>("upper");
  const auto sizes = file.as<Slot>("levels");
  const std::span<const Slot> down = file.as<Slot>("down");
  const std::size_t n = head.n;
  if (sizes.size() > kMaxLevels || state.view.labels.size() != n ||
      state.view.rows.size() != n * format.rows.stride ||
      state.view.links.size() != n * 2 * head.M || state.view.twins.size() % 2 != 0 ||
      state.upper.size() != down.size() * head.M ||
      (format.originals && state.view.originals.size() != n * format.originals->stride) ||
      (head.has_norms() && state.view.norms.size() != n)) {
    return std::nullopt;
  }
  std::size_t first = 0;
  for (const Slot size : sizes) {
    if (size > down.size() - first) return std::nullopt;
    if (size == 0) continue;
    state.view.levels.push_back(
        {down.subspan(first, size), state.upper.subspan(first * head.M, size * head.M)});
    first += size;
  }
  if (first != down.size()) return std::nullopt;
  return state;
}

}  // namespace annx::fuzz
