// The loops over codes in planes (table.h), written once as those of impl.h are. Everything is in
// an anonymous namespace: see table.h.
#pragma once

#include "table.h"

namespace annx::kernels {
namespace {

// Codes of a query in planes, those of even and of odd dimensions, as the kernels multiply by them.
struct Staged {
  static constexpr std::size_t kPlane = 1024;
  alignas(64) std::int8_t even[kPlane];
  alignas(64) std::int8_t odd[kPlane];
  std::int32_t sum;

  Staged(const unsigned char* high, const unsigned char* low, std::size_t plane) noexcept {
    std::int32_t total = 0;
    for (std::size_t j = 0; j < plane; ++j) {
      even[j] = static_cast<std::int8_t>((high[j] << 4 | (low[j] & 15)) - 136);
      odd[j] = static_cast<std::int8_t>(((high[j] & 240) | low[j] >> 4) - 136);
      total += even[j] + odd[j];
    }
    sum = total;
    const std::size_t whole = (plane + 63) / 64 * 64;
    for (std::size_t j = plane; j < whole; ++j) even[j] = odd[j] = 0;
  }
};

// Codes in planes over N:
//   kStep, Reg, Acc              bytes of a plane at a time; these; sums in two parts
//   load(p), load_tail(p, n), load_last(p, n)   kStep bytes, or n fewer, as in the policies of
//                                               impl.h, but a tail stands in its place
//   zero()                       none
//   upper(acc, q, i, high)       q * 16 h, and
//   whole(acc, q, i, high, low)  q * (16 h + l) added to acc, for the bytes from i on
//   fold_upper(acc), fold_whole(acc)   what sum() and sum_four() take, as in the policies above
template <class N, bool kWhole>
struct PlanesOver {
  using Acc = typename N::Acc;

  static void step(Acc& acc, const Staged& q, std::size_t i, const unsigned char* row,
                   std::size_t lower) noexcept {
    if constexpr (kWhole) {
      N::whole(acc, q, i, N::load(row + i), N::load(row + lower + i));
    } else {
      N::upper(acc, q, i, N::load(row + i));
    }
  }
  // The last n of a plane: see row_end() in impl.h.
  static void tail(Acc& acc, const Staged& q, std::size_t i, const unsigned char* row,
                   std::size_t lower, std::size_t n) noexcept {
    const std::size_t at = i == 0 ? 0 : i + n - N::kStep;
    const auto end = [=](const unsigned char* plane) noexcept {
      return i == 0 ? N::load_tail(plane, n) : N::load_last(plane + i, n);
    };
    if constexpr (kWhole) {
      N::whole(acc, q, at, end(row), end(row + lower));
    } else {
      N::upper(acc, q, at, end(row));
    }
  }
  static auto fold(const Acc& acc) noexcept {
    return kWhole ? N::fold_whole(acc) : N::fold_upper(acc);
  }

  // What each sum has too much: the middle of u or of 16 h, which stands for a code of 0.
  static std::int32_t bias(const Staged& q) noexcept { return q.sum * (kWhole ? -136 : -128); }

  static std::int32_t one(const Staged& q, const unsigned char* row, std::size_t plane,
                          std::size_t lower) noexcept {
    Acc a = N::zero();
    std::size_t i = 0;
    for (; i + N::kStep <= plane; i += N::kStep) step(a, q, i, row, lower);
    if (i < plane) tail(a, q, i, row, lower, plane - i);
    return N::sum(fold(a)) + bias(q);
  }

  static void four(const Staged& q, const unsigned char* const (&rows)[4], std::size_t plane,
                   std::size_t lower, float* out) noexcept {
    const unsigned char *r0 = rows[0], *r1 = rows[1], *r2 = rows[2], *r3 = rows[3];
    Acc a = N::zero(), b = N::zero(), c = N::zero(), d = N::zero();
    std::size_t i = 0;
    for (; i + N::kStep <= plane; i += N::kStep) {
      step(a, q, i, r0, lower);
      step(b, q, i, r1, lower);
      step(c, q, i, r2, lower);
      step(d, q, i, r3, lower);
    }
    if (const std::size_t n = plane - i; n > 0) {
      tail(a, q, i, r0, lower, n);
      tail(b, q, i, r1, lower, n);
      tail(c, q, i, r2, lower, n);
      tail(d, q, i, r3, lower, n);
    }
    N::sum_four(fold(a), fold(b), fold(c), fold(d), bias(q), out);
  }

  static void many(const unsigned char* query, const unsigned char* base, std::size_t stride,
                   const std::uint32_t* slots, std::size_t count, std::size_t plane,
                   std::size_t lower, float* out) noexcept {
    const Staged q(query, query + lower, plane);
    const auto row = [=](std::size_t i) noexcept {
      return base + static_cast<std::size_t>(slots != nullptr ? slots[i] : i) * stride;
    };
    std::size_t i = 0;
    for (; i + 4 <= count; i += 4) {
      const unsigned char* const rows[4] = {row(i), row(i + 1), row(i + 2), row(i + 3)};
      four(q, rows, plane, lower, out + i);
    }
    for (; i < count; ++i) out[i] = static_cast<float>(one(q, row(i), plane, lower));
  }
};

template <class N, bool kWhole>
void planes(const unsigned char* query, const unsigned char* base, std::size_t stride,
            const std::uint32_t* slots, std::size_t count, std::size_t plane, std::size_t lower,
            float* out) noexcept {
  using Over = PlanesOver<N, kWhole>;
  if (plane <= Staged::kPlane) {
    Over::many(query, base, stride, slots, count, plane, lower, out);
    return;
  }
  for (std::size_t i = 0; i < count; ++i) {
    const unsigned char* row = base + (slots != nullptr ? slots[i] : i) * stride;
    std::int64_t total = 0;
    for (std::size_t at = 0; at < plane; at += Staged::kPlane) {
      const std::size_t piece = plane - at < Staged::kPlane ? plane - at : Staged::kPlane;
      const Staged q(query + at, query + lower + at, piece);
      total += Over::one(q, row + at, piece, lower);
    }
    out[i] = static_cast<float>(total);
  }
}

template <class N>
constexpr KernelTable with_planes(KernelTable table) noexcept {
  table.planes = planes<N, true>;
  table.upper = planes<N, false>;
  return table;
}

}  // namespace
}  // namespace annx::kernels
