// exp and log from + − × ÷ only, so that geometry is the same on every machine: libm's differ in
// the last bit between versions. Compiled without contraction (-ffp-contract=off).
//
// Threads: any; pure. For |x| <= 20 and results in between; relative error below 1e-14 there.
#pragma once

namespace stoker {

// e^x by halving the argument until it is small, its Taylor series, and squaring back.
inline double PortableExp(double x) {
  int halvings = 0;
  while (x > 0.125 || x < -0.125) {
    x *= 0.5;
    ++halvings;
  }
  double sum = 1.0;
  double term = 1.0;
  for (int n = 1; n <= 12; ++n) {
    term = term * x / n;
    sum += term;
  }
  for (; halvings > 0; --halvings) sum *= sum;
  return sum;
}

// ln(y), y > 0: y is brought near 1 by powers of two, then ln(m) = 2 artanh((m − 1) / (m + 1)).
inline double PortableLog(double y) {
  constexpr double kLn2 = 0.693147180559945309417;
  int twos = 0;
  for (; y > 1.5; y *= 0.5) ++twos;
  for (; y < 0.75; y *= 2.0) --twos;
  const double z = (y - 1.0) / (y + 1.0);
  const double z2 = z * z;
  double sum = 0.0;
  for (int n = 27; n >= 1; n -= 2) sum = sum * z2 + 1.0 / n;
  return 2.0 * z * sum + twos * kLn2;
}

}  // namespace stoker
