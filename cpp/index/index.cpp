#include "index/index.h"

#include <string>

#include "base/errors.h"

namespace annx {
Index::Index(std::unique_ptr<const Space> space, std::unique_ptr<const Space> exact,
             const GraphOptions& options)
    : edges_(options.edge_bits == 0 ? std::nullopt
                                   : std::make_optional<EdgeCodes>(*space, 2 * options.M,
                                                                   options.edge_bits, options.seed)),
      vectors_(std::move(space), edges_ ? edges_->bytes() : 0),
      originals_(exact ? std::make_optional<Vectors>(std::move(exact)) : std::nullopt),
      twins_(kept().space().stride(), kept().pitch()),
      graph_(vectors_, edges_, options) {}

std::size_t Index::size() const {
  const Gate::Reader reader(gate_);
  return size_;
}

bool Index::contains(Label label) const {
  const Gate::Reader reader(gate_);
  return labels_.find(label).has_value();
}

void Index::get(std::span<const Label> labels, std::byte* output) const {
  const Gate::Reader reader(gate_);
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const std::optional<Slot> slot = labels_.find(labels[i]);
    if (!slot) throw LabelError("label " + std::to_string(labels[i]) + " is not in the index");
    kept().space().decode(kept().row(*slot), kept().norm(*slot),
                          output + i * space().input_bytes());
  }
}

std::vector<Label> Index::labels() const {
  const Gate::Reader reader(gate_);
  std::vector<Label> all(size_);
  for (std::size_t i = 0; i < size_; ++i) all[i] = labels_[static_cast<Slot>(i)];
  return all;
}

}  // namespace annx
