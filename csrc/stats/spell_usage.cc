#include "stats/spell_usage.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <utility>

namespace stoker {

namespace {

// Spells that are read at both ends are forgotten by half when there is more of them than this.
constexpr int64_t kRemembered = 50'000'000;

// Linux's run delay: the second number of a thread's schedstat. The file stays open.
class NoCoreReader {
 public:
  NoCoreReader() = default;
  NoCoreReader(const NoCoreReader&) = delete;
  NoCoreReader& operator=(const NoCoreReader&) = delete;
  ~NoCoreReader() {
    if (file_ >= 0) close(file_);
  }

  // Of the calling thread, which is `thread`.
  int64_t Read(int64_t thread) {
    if (thread != thread_) {
      if (file_ >= 0) close(file_);
      file_ = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
      thread_ = thread;
    }
    std::array<char, 64> text{};
    if (file_ < 0 || pread(file_, text.data(), text.size() - 1, 0) <= 0) return 0;
    char* rest = nullptr;
    std::strtoll(text.data(), &rest, 10);
    return std::strtoll(rest, nullptr, 10);
  }

 private:
  int64_t thread_ = 0;
  int file_ = -1;
};

// std::clamp, but with `most` where the two contradict each other.
int64_t Between(int64_t least, int64_t value, int64_t most) {
  return std::min(most, std::max(least, value));
}

}  // namespace

// The wall clock comes last: a thread whose time is up may lose its core in asking for the CPU
// time, and what it has lost by then belongs before this reading, as the kernel's count of it does.
std::function<ThreadTimes()> ThreadTimesReader(Clock clock, bool with_no_core) {
  auto no_core = with_no_core ? std::make_shared<NoCoreReader>() : nullptr;
  return [clock = std::move(clock), no_core = std::move(no_core)] {
    ThreadTimes times;
    times.thread = syscall(SYS_gettid);
    timespec cpu{};
    if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu) == 0) {
      times.cpu_ns = int64_t{cpu.tv_sec} * 1'000'000'000 + cpu.tv_nsec;
    }
    if (no_core != nullptr) times.no_core_ns = no_core->Read(times.thread);
    times.wall_ns = clock();
    return times;
  };
}

int64_t SpellUsage::Begin(int64_t now_ns) {
  read_at_begin_ = !read_before_ || now_ns - last_.wall_ns >= kLeastNs;
  begin_ns_ = now_ns;
  if (!read_at_begin_) return now_ns;
  const ThreadTimes now = read_();
  if (read_before_ && now.thread == last_.thread) {
    const SpellTimes share = Share(now);
    said_ = {said_.cpu_ns - share.cpu_ns,
             said_.no_core_ns - share.no_core_ns};  // until End says so
  } else {
    said_ = {};
  }
  last_ = now;
  read_before_ = true;
  work_ns_ = 0;
  begin_ns_ = std::max(now_ns, now.wall_ns);
  return begin_ns_;
}

SpellTimes SpellUsage::End(int64_t now_ns) {
  const int64_t spell_ns = std::max<int64_t>(0, now_ns - begin_ns_);
  work_ns_ += spell_ns;
  if (read_at_begin_ || now_ns - last_.wall_ns >= kLeastNs) return Read(read_at_begin_, spell_ns);
  const SpellTimes estimate{static_cast<int64_t>(CpuShare() * static_cast<double>(spell_ns)), 0};
  said_.cpu_ns += estimate.cpu_ns;
  return estimate;
}

SpellTimes SpellUsage::Read(bool whole, int64_t spell_ns) {
  const ThreadTimes now = read_();
  SpellTimes share;
  if (now.thread == last_.thread) {
    share = Share(now);
  } else {
    share = said_;  // nobody knows more
    whole = false;
  }
  if (whole) {
    known_ns_ += spell_ns;
    known_cpu_ns_ += share.cpu_ns;
    if (known_ns_ > kRemembered) {
      known_ns_ /= 2;
      known_cpu_ns_ /= 2;
    }
  }
  const SpellTimes added{share.cpu_ns - said_.cpu_ns, share.no_core_ns - said_.no_core_ns};
  last_ = now;
  work_ns_ = 0;
  said_ = {};
  return added;
}

SpellTimes SpellUsage::Share(const ThreadTimes& now) const {
  const int64_t wall = std::max(now.wall_ns - last_.wall_ns, work_ns_);
  const int64_t between = wall - work_ns_;  // not at work
  const int64_t cpu = std::max<int64_t>(0, now.cpu_ns - last_.cpu_ns);
  const int64_t no_core = std::max<int64_t>(0, now.no_core_ns - last_.no_core_ns);
  if (work_ns_ == 0) return {};
  const double work = static_cast<double>(work_ns_);
  SpellTimes share;
  share.cpu_ns =
      Between(cpu - between, static_cast<int64_t>(CpuShare() * work), std::min(cpu, work_ns_));
  // A wait for a core may be counted only now that was before the last reading.
  const auto part =
      static_cast<int64_t>(static_cast<double>(no_core) * work / static_cast<double>(wall));
  const int64_t idle_between = std::max<int64_t>(0, between - (cpu - share.cpu_ns));
  share.no_core_ns =
      Between(no_core - idle_between, part, std::min(no_core, work_ns_ - share.cpu_ns));
  return share;
}

double SpellUsage::CpuShare() const {
  if (known_ns_ == 0) return 1.0;
  return static_cast<double>(known_cpu_ns_) / static_cast<double>(known_ns_);
}

}  // namespace stoker
