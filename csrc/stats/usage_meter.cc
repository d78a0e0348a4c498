#include "stats/usage_meter.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <ctime>

namespace stoker {
namespace {

// The key whose value, in each thread that has one, is the descriptor that is closed with it, plus
// one. Not a thread_local object's destructor: to register one takes memory, and where there is
// none glibc ends the process.
pthread_key_t ClosedWithThread() {
  static const pthread_key_t key = [] {
    pthread_key_t made{};
    pthread_key_create(
        &made, [](void* fd) { close(static_cast<int>(reinterpret_cast<intptr_t>(fd)) - 1); });
    return made;
  }();
  return key;
}

// Opens it for the calling thread; -1: it cannot be had, or descriptors are scarce and the
// samples'.
int OpenDelayFile() {
  const int fd = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
  rlimit limit{};
  const bool plenty = fd >= 0 && getrlimit(RLIMIT_NOFILE, &limit) == 0 &&
                      static_cast<rlim_t>(fd) < limit.rlim_cur / 4;
  const auto value = static_cast<intptr_t>(fd) + 1;
  // NOLINTNEXTLINE(performance-no-int-to-ptr): what the key holds is no address.
  if (plenty && pthread_setspecific(ClosedWithThread(), reinterpret_cast<void*>(value)) == 0) {
    return fd;
  }
  if (fd >= 0) close(fd);
  return -1;
}

// The calling thread's /proc file of its times, open for as long as the thread lives. A thread that
// came by a fork opens its own.
int DelayFile() {
  static thread_local pid_t opened_in = 0;
  static thread_local int fd = -1;
  if (opened_in != getpid()) {
    if (fd >= 0) {
      pthread_setspecific(ClosedWithThread(), nullptr);
      close(fd);
    }
    opened_in = getpid();
    fd = OpenDelayFile();
  }
  return fd;
}

}  // namespace

ThreadUsage ReadThreadUsage() {
  ThreadUsage usage;
  rusage r{};
  if (getrusage(RUSAGE_THREAD, &r) == 0) {
    const auto ns = [](const timeval& t) { return t.tv_sec * 1'000'000'000 + t.tv_usec * 1'000; };
    usage = {ns(r.ru_utime) + ns(r.ru_stime), r.ru_nvcsw};
  }
  return usage;
}

ThreadUsage ReadThreadUsageExactly() {
  ThreadUsage usage = ReadThreadUsage();
  timespec cpu{};
  if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu) == 0) {
    usage.cpu_ns = int64_t{cpu.tv_sec} * 1'000'000'000 + cpu.tv_nsec;
  }
  return usage;
}

int64_t ReadThreadDelayNs() {
  const int fd = DelayFile();
  if (fd < 0) return 0;
  // "RUN DELAY SLICES", in nanoseconds.
  std::array<char, 64> text{};
  if (pread(fd, text.data(), text.size() - 1, 0) <= 0) return 0;
  char* run_end = nullptr;
  std::strtoll(text.data(), &run_end, 10);
  return std::strtoll(run_end, nullptr, 10);
}

void UsageMeter::Begin(int64_t now_ns) {
  last_ = at_ends_();
  last_ns_ = now_ns;
  delay_ns_ = delay_();
  delay_at_ns_ = now_ns;
}

void UsageMeter::SampleBegins(int64_t now_ns) {
  if (now_ns - last_ns_ >= kLeastSpanNs) EndWork(now_ns, reading_());
  if (now_ns - delay_at_ns_ >= kLeastDelaySpanNs) {
    delay_ns_ = delay_();
    delay_at_ns_ = now_ns;
  }
  read_begin_ns_ = now_ns;
}

int64_t UsageMeter::DelayInSample() const { return std::max<int64_t>(0, delay_() - delay_ns_); }

void UsageMeter::HasRead(int64_t now_ns) {
  const int64_t work_ns = read_begin_ns_ - last_ns_;
  const int64_t read_ns = now_ns - read_begin_ns_;
  // A quick sample's read counts as work, unless it took long itself.
  if (work_ns > 0 && read_ns < kLeastSpanNs) return;
  const ThreadUsage usage = reading_();
  const int64_t cpu_ns = usage.cpu_ns - last_.cpu_ns;
  // The kernel has not been asked since that work, which was too short to be anything but CPU time.
  const int64_t work_cpu_ns = std::min(work_ns, cpu_ns);
  Increase(&work_ns_, work_ns);
  Increase(&work_cpu_ns_, work_cpu_ns);
  Increase(&reads_, 1);
  Increase(&read_ns_, read_ns);
  Increase(&read_cpu_ns_, cpu_ns - work_cpu_ns);
  if (usage.sleeps > last_.sleeps) {
    const int64_t asleep_ns = read_ns - (cpu_ns - work_cpu_ns) - DelayInSample();
    if (asleep_ns >= kLeastSleepNs) slow_reads_.Record(asleep_ns);
  }
  last_ = usage;
  last_ns_ = now_ns;
}

void UsageMeter::Note(int64_t now_ns) { EndWork(now_ns, at_ends_()); }

void UsageMeter::EndWork(int64_t now_ns, const ThreadUsage& usage) {
  Increase(&work_ns_, now_ns - last_ns_);
  Increase(&work_cpu_ns_, usage.cpu_ns - last_.cpu_ns);
  last_ = usage;
  last_ns_ = now_ns;
}

void UsageMeter::AddTo(UsageTotals* sum) const {
  const auto value = [](const Number& number) { return number.load(std::memory_order_relaxed); };
  sum->reads += static_cast<uint64_t>(value(reads_));
  sum->read_ns += value(read_ns_);
  sum->read_cpu_ns += value(read_cpu_ns_);
  sum->work_ns += value(work_ns_);
  sum->work_cpu_ns += value(work_cpu_ns_);
  slow_reads_.AddTo(&sum->slow_reads);
}

void UsageTotals::Add(const UsageTotals& other) {
  reads += other.reads;
  read_ns += other.read_ns;
  read_cpu_ns += other.read_cpu_ns;
  slow_reads.Add(other.slow_reads);
  work_ns += other.work_ns;
  work_cpu_ns += other.work_cpu_ns;
}

UsageTotals UsageTotals::Since(const UsageTotals& earlier) const {
  UsageTotals since;
  since.reads = reads - earlier.reads;
  since.read_ns = read_ns - earlier.read_ns;
  since.read_cpu_ns = read_cpu_ns - earlier.read_cpu_ns;
  since.slow_reads = slow_reads.Since(earlier.slow_reads);
  since.work_ns = work_ns - earlier.work_ns;
  since.work_cpu_ns = work_cpu_ns - earlier.work_cpu_ns;
  return since;
}

}  // namespace stoker
