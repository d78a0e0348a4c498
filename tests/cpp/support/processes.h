// Tests that need a process of their own: a fresh one, or a forked one.
#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
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

#if defined(__SANITIZE_ADDRESS__)
inline constexpr int kForks = 4;
#else
inline constexpr int kForks = 1;
#endif

// Runs `body` in a forked child and returns what it returned, or −1 where the child died of it or
// was still stuck after a minute. No exit handlers run in the child.
//
// The address sanitizer's allocator, unlike the C library's, does not look after its locks while a
// process forks: a child that was forked while another thread allocated may wait for one for ever.
// There a child that is stuck after 20 seconds is replaced by another one, three times.
template <typename Body>
int ReturnedByFork(const Body& body) {
  for (int left = kForks; left > 0; --left) {
    const pid_t child = fork();
    if (child == 0) {
      alarm(kForks > 1 ? 20 : 60);
      _exit(body());
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child) return -1;
    if (WIFEXITED(status)) return WEXITSTATUS(status);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGALRM) return -1;
  }
  return -1;
}

}  // namespace stoker::testing
