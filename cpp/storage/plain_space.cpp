// Vectors stored as elements of one type. Under cosine, float32 rows are made unit vectors and
// rows of other types are followed by a float32 1 / |row|.
#include <cmath>
#include <cstring>

#include "kernels/dispatch.h"
#include "storage/elements.h"
#include "storage/rounding.h"
#include "storage/space.h"

namespace annx {
namespace {

constexpr std::size_t padded(std::size_t bytes) { return (bytes + 3) / 4 * 4; }

kernels::Kernel choose(Metric metric, kernels::Type type) {
  const kernels::KernelTable& table = kernels::selected_table();
  if (metric == Metric::kL2) return table.l2[type];
  return metric == Metric::kHamming ? table.hamming : table.dot[type];
}

kernels::Type wide_type(Codec codec) {
  return codec == Codec::kF16  ? kernels::kF16ByF32
         : codec == Codec::kI8 ? kernels::kI8ByF32
                               : kernels::kU8ByF32;
}

bool carries_scale(Metric metric, Codec codec) {
  return metric == Metric::kCosine && codec != Codec::kF32;
}

class PlainSpace : public Space {
 public:
  PlainSpace(Metric metric, std::size_t columns, Codec codec, bool wide)
      : Space(metric, columns, columns * element_bytes(wide ? Codec::kF32 : codec),
              padded(columns * element_bytes(codec)) +
                  (carries_scale(metric, codec) ? sizeof(float) : 0),
              metric == Metric::kCosine && codec == Codec::kF32),
        codec_(codec),
        wide_(wide),
        scaled_(carries_scale(metric, codec)),
        kernel_(choose(metric, kernel_type(codec))),
        wide_kernel_(wide ? choose(metric, wide_type(codec)) : kernel_) {}

  float encode(const void* input, std::byte* stored) const override {
    if (normalises()) return encode_unit(input, stored);
    const std::size_t bytes = columns() * element_bytes(codec_);
    std::memset(stored + bytes, 0, stride() - bytes);
    if (wide_) {
      from_floats(static_cast<const float*>(input), columns(), codec_, stored);
    } else {
      std::memcpy(stored, input, bytes);
    }
    if (scaled_) {
      const float scale = inverse_norm(stored, codec_);
      std::memcpy(stored + stride() - sizeof scale, &scale, sizeof scale);
    }
    return 1;
  }

  void decode(const std::byte* stored, float norm, void* input) const noexcept override {
    if (wide_) {
      to_floats(stored, columns(), codec_, 1, static_cast<float*>(input));
      return;
    }
    std::memcpy(input, stored, input_bytes());
    if (!normalises() || norm == 1.0F) return;
    for (std::size_t i = 0; i < columns(); ++i) static_cast<float*>(input)[i] *= norm;
  }

  Query prepare(const void* input, std::byte* work) const noexcept override {
    Query query;
    query.data = input;
    if (normalises()) {
      encode_unit(input, work);
      query.data = work;
    } else if (wide_ && codec_ != Codec::kF16 && is_whole(static_cast<const float*>(input))) {
      // The kernels of whole numbers are some three times as fast.
      from_floats(static_cast<const float*>(input), columns(), codec_, work);
      query.data = work;
    } else {
      query.wide = wide_;
    }
    if (scaled_) query.scale = inverse_norm(input, wide_ ? Codec::kF32 : codec_);
    return query;
  }

  Query from_stored(const std::byte* stored) const noexcept override {
    Query query;
    query.data = stored;
    if (scaled_) query.scale = scale_of(stored);
    return query;
  }

  void distances(const Query& query, const std::byte* base, std::size_t pitch, const Slot* slots,
                 std::size_t count, float* out) const noexcept override {
    const kernels::Kernel& kernel = query.wide ? wide_kernel_ : kernel_;
    kernel.many(query.data, reinterpret_cast<const unsigned char*>(base), pitch, slots, count,
                columns(), out);
    if (metric() == Metric::kL2 || metric() == Metric::kHamming) return;
    if (!scaled_) {
      for (std::size_t i = 0; i < count; ++i) out[i] = 1 - out[i];
      return;
    }
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t slot = slots != nullptr ? slots[i] : i;
      out[i] = 1 - out[i] * query.scale * scale_of(base + slot * pitch);
    }
  }

  void unpack(const std::byte* stored, float* x) const noexcept override {
    to_floats(stored, columns(), codec_, scaled_ ? scale_of(stored) : 1, x);
  }
  void unpack(const Query& query, float* x) const noexcept override {
    to_floats(query.data, columns(), query.wide ? Codec::kF32 : codec_, query.scale, x);
  }

 private:
  bool is_whole(const float* x) const noexcept {
    const float low = codec_ == Codec::kI8 ? -128.0F : 0.0F, high = low + 255;
    std::uint32_t others = 0;
    for (std::size_t i = 0, count = columns(); i < count; ++i) {
      const float above = x[i] < low ? low : x[i];
      const float within = above > high ? high : above;
      others |= static_cast<float>(nearest_integer(within)) != x[i] ? 1U : 0U;
    }
    return others == 0;
  }

  float encode_unit(const void* input, std::byte* stored) const noexcept {
    const double norm = std::sqrt(squared_norm(input, columns(), Codec::kF32));
    const double inverse = 1 / norm;
    const auto* from = static_cast<const float*>(input);
    auto* to = reinterpret_cast<float*>(stored);
    for (std::size_t i = 0; i < columns(); ++i) to[i] = static_cast<float>(from[i] * inverse);
    return static_cast<float>(norm);
  }

  float inverse_norm(const void* row, Codec codec) const noexcept {
    return static_cast<float>(1 / std::sqrt(squared_norm(row, columns(), codec)));
  }

  float scale_of(const std::byte* stored) const noexcept {
    float scale;
    std::memcpy(&scale, stored + stride() - sizeof scale, sizeof scale);
    return scale;
  }

  Codec codec_;
  bool wide_;
  bool scaled_;
  kernels::Kernel kernel_;
  kernels::Kernel wide_kernel_;
};

}  // namespace

std::unique_ptr<const Space> make_plain_space(std::size_t dim, Metric metric, Codec codec,
                                              bool wide) {
  const std::size_t columns = codec == Codec::kB1 ? dim / 8 : dim;
  return std::make_unique<PlainSpace>(metric, columns, codec, wide && codec != Codec::kF32);
}

}  // namespace annx
