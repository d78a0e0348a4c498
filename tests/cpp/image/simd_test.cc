#include "image/simd.h"

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

namespace stoker {
namespace {

class SimdTest : public ::testing::Test {
 protected:
  void TearDown() override { SetSimdTarget(at_start_); }

 private:
  const std::string at_start_ = SimdTarget();
};

// Highway has two kinds of plain C++, and each compiler gets the one that it translates correctly.
TEST_F(SimdTest, PlainCppIsAlwaysThereAndLast) {
  ASSERT_FALSE(SimdTargets().empty());
  const std::string last = SimdTargets().back();
  EXPECT_TRUE(last == "EMU128" || last == "SCALAR") << last;
}

TEST_F(SimdTest, TargetsAreDifferent) {
  std::vector<std::string> targets = SimdTargets();
  std::sort(targets.begin(), targets.end());
  EXPECT_EQ(std::unique(targets.begin(), targets.end()), targets.end());
}

#if defined(__x86_64__) && defined(__GNUC__)
TEST_F(SimdTest, TheMachinesBestTargetComesFirst) {
  const bool avx512 = __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512cd");
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  EXPECT_EQ(SimdTargets().front(), avx512 ? "AVX3" : avx2 ? "AVX2" : SimdTargets().front());
}
#endif

TEST_F(SimdTest, KernelsRunOnTheTargetThatWasSet) {
  for (const std::string& target : SimdTargets()) {
    EXPECT_TRUE(SetSimdTarget(target));
    EXPECT_EQ(SimdTarget(), target);
  }
}

TEST_F(SimdTest, TheEmptyNameStandsForTheBest) {
  ASSERT_TRUE(SetSimdTarget(SimdTargets().back()));
  EXPECT_TRUE(SetSimdTarget(""));
  EXPECT_EQ(SimdTarget(), SimdTargets().front());
}

TEST_F(SimdTest, OtherNamesAreRefusedAndChangeNothing) {
  for (const std::string& target : SimdTargets()) {
    ASSERT_TRUE(SetSimdTarget(target));
    for (const char* name : {"nonsense", "avx2", "AVX2 ", "EMU", "SVE"}) {
      EXPECT_FALSE(SetSimdTarget(name)) << name;
      EXPECT_EQ(SimdTarget(), target);
    }
  }
}

// Runs this binary again with the variable set; there, the same test looks at its target.
TEST_F(SimdTest, StartsOnTheTargetThatTheEnvironmentNames) {
  constexpr const char* kExpected = "STOKER_TEST_EXPECTED_TARGET";
  if (const char* expected = std::getenv(kExpected)) {
    EXPECT_EQ(SimdTarget(), expected);
    return;
  }
  const std::string self = std::filesystem::read_symlink("/proc/self/exe").string();
  const auto starts_on = [&](const std::string& variable, const std::string& expected) {
    // Whichever shard of the tests this is, that one test shall run.
    const std::string command = "env -u GTEST_TOTAL_SHARDS -u GTEST_SHARD_INDEX STOKER_SIMD='" +
                                variable + "' " + kExpected + "=" + expected + " '" + self +
                                "' --gtest_filter='SimdTest.StartsOn*' >/dev/null";
    const int status = std::system(command.c_str());
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
  };
  for (const std::string& target : SimdTargets()) EXPECT_TRUE(starts_on(target, target)) << target;
  EXPECT_TRUE(starts_on("", SimdTargets().front()));
  EXPECT_TRUE(starts_on("nonsense", SimdTargets().front()));
  EXPECT_FALSE(starts_on("", "nonsense"));
}

}  // namespace
}  // namespace stoker
