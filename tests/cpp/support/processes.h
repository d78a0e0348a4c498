// Tests that need a process of their own: a fresh one, or a forked one.
#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>

namespace stoker::testing {

// Whether this is a fresh process. Where it is not, runs the present test in one and expects it to
// pass there; the caller then has nothing to do but return.
inline bool InFreshProcess() {
  constexpr const char* kMark = "STOKER_TEST_FRESH_PROCESS";
  if (std::getenv(kMark) != nullptr) return true;
  const ::testing::TestInfo* test = ::testing::UnitTest::GetInstance()->current_test_info();
  const std::string command = std::string(kMark) + "=1 '" +
                              std::filesystem::read_symlink("/proc/self/exe").string() +
                              "' --gtest_filter='" + test->test_suite_name() + "." + test->name() +
                              "' --gtest_brief=1 >/dev/null";
  const int status = std::system(command.c_str());
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0)
      << "failed in a fresh process; to see how: " << command;
  return false;
}

// Runs `body` in a forked child and returns what it returned, or −1 where the child died of it or
// was still stuck after a minute. No exit handlers run in the child.
template <typename Body>
int ReturnedByFork(const Body& body) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(60);
    _exit(body());
  }
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status)) return -1;
  return WEXITSTATUS(status);
}

}  // namespace stoker::testing
