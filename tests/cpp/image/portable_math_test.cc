#include "image/portable_math.h"

#include <gtest/gtest.h>

#include <cmath>

namespace stoker {
namespace {

constexpr long double kRelativeError = 1e-14L;

TEST(PortableExpTest, IsExactToOnePartInTenToTheFourteen) {
  for (int i = -20000; i <= 20000; ++i) {
    const double x = i / 1000.0;
    const long double exact = std::exp(static_cast<long double>(x));
    ASSERT_LT(std::fabs(PortableExp(x) / exact - 1), kRelativeError) << "x = " << x;
  }
}

TEST(PortableLogTest, IsExactToOnePartInTenToTheFourteen) {
  for (int i = -20000; i <= 20000; ++i) {
    const double y = std::exp(i / 1000.0);
    const long double exact = std::log(static_cast<long double>(y));
    ASSERT_LE(std::fabs(PortableLog(y) - exact), kRelativeError * std::fabs(exact)) << "y = " << y;
  }
}

TEST(PortableLogTest, IsExactNearOne) {
  for (int i = -1000; i <= 1000; ++i) {
    const double y = 1.0 + i / 65536.0 / 65536.0;
    const long double exact = std::log(static_cast<long double>(y));
    ASSERT_LE(std::fabs(PortableLog(y) - exact), kRelativeError * std::fabs(exact)) << "y = " << y;
  }
}

TEST(PortableMathTest, ZeroAndOneAreExact) {
  EXPECT_EQ(PortableExp(0.0), 1.0);
  EXPECT_EQ(PortableLog(1.0), 0.0);
}

}  // namespace
}  // namespace stoker
