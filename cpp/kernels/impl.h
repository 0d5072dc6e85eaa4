// The loops of all kernels, written once over a policy P that an ISA file assembles.
//
// A policy says how one vector's worth of elements is loaded and accumulated:
//   Element, Asked, kStep      element type of a row and of a query, elements a vector
//   Reg, Acc                   a loaded vector, an accumulator
//   query(p), row(p)           load kStep elements
//   query_tail(p, n), row_tail(p, n)   load n < kStep elements, the rest zero; where they stand is
//                                      the same in both
//   query_last(p, n), row_last(p, n)   the same where kStep - n elements stand before them, and
//                                      may be read: see row_end()
//   zero(), step(acc, q, r), add(acc, acc)
//   Bias, bias(query, dim)     what must be added to each sum, from the query alone
//   sum(acc, bias)             the float result
//   sum_four(...)              four of these, which share the steps of a reduction where they can
//
// Everything is in an anonymous namespace: see table.h.
#pragma once

#include "hadamard.h"
#include "table.h"

namespace annx::kernels {
namespace {

struct Half {
  std::uint16_t bits;
};
struct BFloat {
  std::uint16_t bits;
};

struct NoBias {};

template <class P>
inline void one_by_one(typename P::Acc a, typename P::Acc b, typename P::Acc c, typename P::Acc d,
                       typename P::Bias bias, float* out) noexcept {
  out[0] = P::sum(a, bias);
  out[1] = P::sum(b, bias);
  out[2] = P::sum(c, bias);
  out[3] = P::sum(d, bias);
}

template <class T>
inline void copy_tail(T* to, const T* from, std::size_t count) noexcept {
  __builtin_memcpy(to, from, count * sizeof(T));
}

// Integer accumulators hold 32-bit lanes: 2^15 elements of 255^2 are the most that their sum can
// take.
template <class P>
constexpr std::size_t kBlock =
    sizeof(typename P::Asked) == 1 ? std::size_t{1} << 15 : ~std::size_t{0};

// The last n < kStep elements of a row of which i come before. Even what a masked load leaves out
// is waited for: one that reached beyond the row into a cache line that no one had asked for took
// 20 to 40 % of a search's time in 24, 100 and 200 dimensions, 5 to 12 % in 300.
template <class P>
inline typename P::Reg query_end(const typename P::Asked* query, std::size_t i,
                                 std::size_t n) noexcept {
  return i == 0 ? P::query_tail(query, n) : P::query_last(query + i, n);
}
template <class P>
inline typename P::Reg row_end(const typename P::Element* row, std::size_t i,
                               std::size_t n) noexcept {
  return i == 0 ? P::row_tail(row, n) : P::row_last(row + i, n);
}

template <class P>
float one_block(const typename P::Asked* query, const typename P::Element* row, std::size_t dim,
                const typename P::Bias& bias) noexcept {
  // 4 accumulators: FMA latency 4 on Zen and Intel, and half the throughput is loads.
  typename P::Acc a = P::zero(), b = P::zero(), c = P::zero(), d = P::zero();
  std::size_t i = 0;
  for (; i + 4 * P::kStep <= dim; i += 4 * P::kStep) {
    a = P::step(a, P::query(query + i), P::row(row + i));
    b = P::step(b, P::query(query + i + P::kStep), P::row(row + i + P::kStep));
    c = P::step(c, P::query(query + i + 2 * P::kStep), P::row(row + i + 2 * P::kStep));
    d = P::step(d, P::query(query + i + 3 * P::kStep), P::row(row + i + 3 * P::kStep));
  }
  for (; i + P::kStep <= dim; i += P::kStep) {
    a = P::step(a, P::query(query + i), P::row(row + i));
  }
  if (const std::size_t n = dim - i; n > 0) {
    b = P::step(b, query_end<P>(query, i, n), row_end<P>(row, i, n));
  }
  return P::sum(P::add(P::add(a, b), P::add(c, d)), bias);
}

// Four rows share each load of the query; two accumulators a row make the eight chains that two
// FMA ports of latency 4 need.
template <class P>
void four_block(const typename P::Asked* query, const unsigned char* const (&rows)[4],
                std::size_t dim, const typename P::Bias& bias, float* out) noexcept {
  using Element = typename P::Element;
  const Element* r0 = reinterpret_cast<const Element*>(rows[0]);
  const Element* r1 = reinterpret_cast<const Element*>(rows[1]);
  const Element* r2 = reinterpret_cast<const Element*>(rows[2]);
  const Element* r3 = reinterpret_cast<const Element*>(rows[3]);
  typename P::Acc a0 = P::zero(), a1 = P::zero(), a2 = P::zero(), a3 = P::zero();
  typename P::Acc b0 = P::zero(), b1 = P::zero(), b2 = P::zero(), b3 = P::zero();
  std::size_t i = 0;
  for (; i + 2 * P::kStep <= dim; i += 2 * P::kStep) {
    const typename P::Reg q = P::query(query + i);
    a0 = P::step(a0, q, P::row(r0 + i));
    a1 = P::step(a1, q, P::row(r1 + i));
    a2 = P::step(a2, q, P::row(r2 + i));
    a3 = P::step(a3, q, P::row(r3 + i));
    const typename P::Reg p = P::query(query + i + P::kStep);
    b0 = P::step(b0, p, P::row(r0 + i + P::kStep));
    b1 = P::step(b1, p, P::row(r1 + i + P::kStep));
    b2 = P::step(b2, p, P::row(r2 + i + P::kStep));
    b3 = P::step(b3, p, P::row(r3 + i + P::kStep));
  }
  if (i + P::kStep <= dim) {
    const typename P::Reg q = P::query(query + i);
    a0 = P::step(a0, q, P::row(r0 + i));
    a1 = P::step(a1, q, P::row(r1 + i));
    a2 = P::step(a2, q, P::row(r2 + i));
    a3 = P::step(a3, q, P::row(r3 + i));
    i += P::kStep;
  }
  if (const std::size_t n = dim - i; n > 0) {
    const typename P::Reg q = query_end<P>(query, i, n);
    b0 = P::step(b0, q, row_end<P>(r0, i, n));
    b1 = P::step(b1, q, row_end<P>(r1, i, n));
    b2 = P::step(b2, q, row_end<P>(r2, i, n));
    b3 = P::step(b3, q, row_end<P>(r3, i, n));
  }
  P::sum_four(P::add(a0, b0), P::add(a1, b1), P::add(a2, b2), P::add(a3, b3), bias, out);
}

template <class P>
float one(const void* query, const void* row, std::size_t dim) noexcept {
  using Element = typename P::Element;
  const auto* q = static_cast<const typename P::Asked*>(query);
  const Element* r = static_cast<const Element*>(row);
  double total = 0;
  for (; dim > kBlock<P>; dim -= kBlock<P>) {
    total += one_block<P>(q, r, kBlock<P>, P::bias(q, kBlock<P>));
    q += kBlock<P>;
    r += kBlock<P>;
  }
  return static_cast<float>(total + one_block<P>(q, r, dim, P::bias(q, dim)));
}

template <class P>
void many(const void* query, const unsigned char* base, std::size_t stride,
          const std::uint32_t* slots, std::size_t count, std::size_t dim, float* out) noexcept {
  using Element = typename P::Element;
  const auto row = [=](std::size_t i) noexcept {
    return base + static_cast<std::size_t>(slots != nullptr ? slots[i] : i) * stride;
  };
  if (dim > kBlock<P>) {
    for (std::size_t i = 0; i < count; ++i) out[i] = one<P>(query, row(i), dim);
    return;
  }
  const auto* q = static_cast<const typename P::Asked*>(query);
  const typename P::Bias bias = P::bias(q, dim);
  std::size_t i = 0;
  for (; i + 4 <= count; i += 4) {
    const unsigned char* rows[4] = {row(i), row(i + 1), row(i + 2), row(i + 3)};
    four_block<P>(q, rows, dim, bias, out + i);
  }
  for (; i < count; ++i) {
    out[i] = one_block<P>(q, reinterpret_cast<const Element*>(row(i)), dim, bias);
  }
}

template <class P>
constexpr Kernel kernel() noexcept {
  return {one<P>, many<P>};
}

// Policies for float accumulation over V: V::load(p), V::load_tail(p, n) and V::load_last(p, n) for
// float, Half, BFloat and bytes; V::sub, V::fma, V::add, V::zero, V::sum.
template <class V, class T, class Q>
struct FloatPolicy {
  using Element = T;
  using Asked = Q;
  using Reg = typename V::Reg;
  using Acc = typename V::Reg;
  using Bias = NoBias;
  static constexpr std::size_t kStep = V::kStep;
  static Reg query(const Q* p) noexcept { return V::load(p); }
  static Reg row(const T* p) noexcept { return V::load(p); }
  static Reg query_tail(const Q* p, std::size_t n) noexcept { return V::load_tail(p, n); }
  static Reg query_last(const Q* p, std::size_t n) noexcept { return V::load_last(p, n); }
  static Reg row_tail(const T* p, std::size_t n) noexcept { return V::load_tail(p, n); }
  static Reg row_last(const T* p, std::size_t n) noexcept { return V::load_last(p, n); }
  static Acc zero() noexcept { return V::zero(); }
  static Acc add(Acc a, Acc b) noexcept { return V::add(a, b); }
  static Bias bias(const Q*, std::size_t) noexcept { return {}; }
  static float sum(Acc a, Bias) noexcept { return V::sum(a); }
  static void sum_four(Acc a, Acc b, Acc c, Acc d, Bias bias, float* out) noexcept {
    one_by_one<FloatPolicy>(a, b, c, d, bias, out);
  }
};

template <class V, class T, class Q = T>
struct FloatL2 : FloatPolicy<V, T, Q> {
  using Reg = typename V::Reg;
  static Reg step(Reg acc, Reg q, Reg r) noexcept {
    const Reg d = V::sub(q, r);
    return V::fma(d, d, acc);
  }
};

template <class V, class T, class Q = T>
struct FloatDot : FloatPolicy<V, T, Q> {
  using Reg = typename V::Reg;
  static Reg step(Reg acc, Reg q, Reg r) noexcept { return V::fma(q, r, acc); }
};

// Policies for bytes over V: V::load(p), V::load_tail(p, n), V::load_last(p, n) widen to 16 bits;
// V::sub, and V::madd(acc, a, b), which adds products of neighbours into 32-bit lanes.
template <class V, class T>
struct BytePolicy {
  using Element = T;
  using Asked = T;
  using Reg = typename V::Reg;
  using Acc = typename V::Reg;
  using Bias = NoBias;
  static constexpr std::size_t kStep = V::kStep;
  static Reg query(const T* p) noexcept { return V::load(p); }
  static Reg row(const T* p) noexcept { return V::load(p); }
  static Reg query_tail(const T* p, std::size_t n) noexcept { return V::load_tail(p, n); }
  static Reg query_last(const T* p, std::size_t n) noexcept { return V::load_last(p, n); }
  static Reg row_tail(const T* p, std::size_t n) noexcept { return V::load_tail(p, n); }
  static Reg row_last(const T* p, std::size_t n) noexcept { return V::load_last(p, n); }
  static Acc zero() noexcept { return V::zero(); }
  static Acc add(Acc a, Acc b) noexcept { return V::add(a, b); }
  static Bias bias(const T*, std::size_t) noexcept { return {}; }
  static float sum(Acc a, Bias) noexcept { return static_cast<float>(V::sum(a)); }
  static void sum_four(Acc a, Acc b, Acc c, Acc d, Bias, float* out) noexcept {
    V::sum_four(a, b, c, d, 0, out);
  }
};

template <class V, class T>
struct ByteL2 : BytePolicy<V, T> {
  using Reg = typename V::Reg;
  static Reg step(Reg acc, Reg q, Reg r) noexcept {
    const Reg d = V::sub(q, r);
    return V::madd(acc, d, d);
  }
};

template <class V, class T>
struct ByteDot : BytePolicy<V, T> {
  using Reg = typename V::Reg;
  static Reg step(Reg acc, Reg q, Reg r) noexcept { return V::madd(acc, q, r); }
};

// Policy for packed bits over V: V::load(p), V::load_tail(p, n), V::load_last(p, n) of bytes;
// V::differ(acc, a, b) adds the number of differing bits into 64-bit lanes.
template <class V>
struct Hamming : BytePolicy<V, std::uint8_t> {
  using Reg = typename V::Reg;
  static void sum_four(Reg a, Reg b, Reg c, Reg d, NoBias bias, float* out) noexcept {
    one_by_one<Hamming>(a, b, c, d, bias, out);
  }
  static Reg step(Reg acc, Reg q, Reg r) noexcept { return V::differ(acc, q, r); }
};

// Estimates over E, the edge codes of one instruction set: E::kLanes edges at a time;
// E::one_bit and E::two_bits(sums, query, codes, groups) write 32 sums; E::combine(query, sums,
// factors, near, weight, limit, out) turns kLanes of them into estimates and a mask. Products are
// rounded before they are added, so that every instruction set gives the same floats.
template <class E, bool kTwoBits>
std::uint32_t estimate(const EdgeQuery& query, const unsigned char* edges, std::size_t groups,
                       float near, float weight, float limit, float* out) noexcept {
  alignas(64) std::int32_t sums[32];
  const unsigned char* codes = edges + 32 * sizeof(std::uint32_t);
  if (kTwoBits) {
    E::two_bits(sums, static_cast<const std::int8_t*>(query.data), codes, groups);
  } else {
    E::one_bit(sums, static_cast<const unsigned char*>(query.data), codes, groups);
  }
  const auto* factors = reinterpret_cast<const std::uint32_t*>(edges);
  std::uint32_t mask = 0;
  for (unsigned j = 0; j < 32; j += E::kLanes) {
    mask |= E::combine(query, sums + j, factors + j, near, weight, limit, out + j) << j;
  }
  return mask;
}

template <class F, class B, class H, class E>
constexpr KernelTable table() noexcept {
  return {{kernel<FloatL2<F, float>>(), kernel<FloatL2<F, Half>>(), kernel<FloatL2<F, BFloat>>(),
           kernel<ByteL2<B, std::int8_t>>(), kernel<ByteL2<B, std::uint8_t>>(),
           kernel<FloatL2<F, Half, float>>(), kernel<FloatL2<F, std::int8_t, float>>(),
           kernel<FloatL2<F, std::uint8_t, float>>()},
          {kernel<FloatDot<F, float>>(), kernel<FloatDot<F, Half>>(), kernel<FloatDot<F, BFloat>>(),
           kernel<ByteDot<B, std::int8_t>>(), kernel<ByteDot<B, std::uint8_t>>(),
           kernel<FloatDot<F, Half, float>>(), kernel<FloatDot<F, std::int8_t, float>>(),
           kernel<FloatDot<F, std::uint8_t, float>>()},
          kernel<Hamming<H>>(),
          {estimate<E, false>, estimate<E, true>},
          E::fine,
          hadamard<F>};
}

}  // namespace
}  // namespace annx::kernels
