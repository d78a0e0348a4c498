// exp and log from + − × ÷ only, so that geometry is the same on every machine: libm's differ in
// the last bit between versions. Compiled without contraction (-ffp-contract=off).
//
// Threads: any; pure. For |x| <= 20 and results in between; relative error below 1e-14 there.
#pragma once

namespace stoker {

// e^x = 2^k e^r with |r| <= ln(2) / 2, and e^r by its Taylor series.
inline double PortableExp(double x) {
  // ln 2 in two parts: k times the first is exact, so that x − k ln 2 loses nothing.
  constexpr double kLn2High = 0x1.62e42feep-1;
  constexpr double kLn2Low = 0x1.a39ef35793c76p-33;
  const double k = static_cast<double>(static_cast<int>(x / kLn2High + (x < 0 ? -0.5 : 0.5)));
  const double r = (x - k * kLn2High) - k * kLn2Low;
  double sum = 1.0;
  for (int n = 16; n >= 1; --n) sum = 1.0 + sum * r / n;
  for (int i = 0; i < static_cast<int>(k); ++i) sum *= 2.0;
  for (int i = 0; i > static_cast<int>(k); --i) sum *= 0.5;
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
