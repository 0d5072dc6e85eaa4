#include "index/index.h"

#include <memory>
#include <string>

#include "base/errors.h"

namespace annx {
Index::Index(std::unique_ptr<const Space> space, std::unique_ptr<const Space> exact,
             const GraphOptions& options)
    : edges_(options.edge_bits == 0 ? std::nullopt
                                    : std::make_optional<EdgeCodes>(
                                          *space, 2 * options.M, options.edge_bits, options.seed)),
      vectors_(std::move(space), edges_ ? edges_->bytes() : 0),
      originals_(exact ? std::make_optional<Vectors>(std::move(exact)) : std::nullopt),
      twins_(kept().space().stride(), kept().pitch()),
      graph_(vectors_, edges_, options) {
  enlist();
}

// With the gate closed there is neither a reader, nor a writer who changes what readers see.
void Index::before_fork() noexcept {
  gate_.lock();
  scratch_.lock();
}

void Index::after_fork(bool in_child) noexcept {
  scratch_.unlock();
  gate_.unlock();
  // Whoever held it is not in the child.
  if (in_child) std::construct_at(&writer_);
}

std::size_t Index::size() const {
  const Gate::Reader reader(gate_);
  return labels_.count();
}

bool Index::contains(Label label) const {
  const Gate::Reader reader(gate_);
  settle_labels();
  return labels_.find(label).has_value();
}

void Index::get(std::span<const Label> labels, std::byte* output) const {
  const Gate::Reader reader(gate_);
  settle_labels();
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const std::optional<Slot> slot = labels_.find(labels[i]);
    if (!slot) throw LabelError("label " + std::to_string(labels[i]) + " is not in the index");
    kept().touch(*slot);
    kept().touch_norm(*slot);
    kept().space().decode(kept().row(*slot), kept().norm(*slot),
                          output + i * space().input_bytes());
  }
}

std::vector<Label> Index::labels() const {
  const Gate::Reader reader(gate_);
  if (label_guard_) label_guard_->touch_all();
  std::vector<Label> all;
  all.reserve(labels_.count());
  for (std::size_t i = 0; i < size_; ++i) {
    const auto slot = static_cast<Slot>(i);
    if (labels_.has(slot)) all.push_back(labels_[slot]);
  }
  return all;
}

}  // namespace annx
