// How much of a worker's time its thread was running on a core, and which reads it slept through:
// what tells a slow image from a slow disk, and both from a thread that got no core.
//
// Two spans alternate: "read" (a sample's file) and "work" (everything else while the worker runs).
// Of a read in which the thread slept, the time that it slept is told apart from the time that it
// had to wait for a core when it could have gone on: on a busy machine that is the larger part, and
// it is no fault of the disk's.
// The kernel is asked between them, by getrusage(RUSAGE_THREAD), about 0.5 µs a call, and not more
// often than every 100 µs, so that it costs at most 1 % of a worker's time; of samples that are
// quicker than that, all counts as work, but for a read that takes longer itself. The CPU times of
// getrusage are those of the scheduler's last tick, which evens out over the samples of a spell; at
// both its ends the thread's exact clock is read, or what was used since the last tick would be
// lost.
//
// Threads: Begin, SampleBegins, HasRead, DelayInSample and Note by the worker, and all from one
// Begin to the next by one thread; AddTo by anybody at any time. Never fails.
#pragma once

#include <atomic>
#include <cstdint>

#include "stats/histogram.h"

namespace stoker {

// Of the calling thread, since it began.
struct ThreadUsage {
  int64_t cpu_ns = 0;  // user and system
  int64_t sleeps = 0;  // times that it gave up its core to wait for something (ru_nvcsw)
};
// Up to the scheduler's last tick, which may be 10 ms ago.
ThreadUsage ReadThreadUsage();
// Up to this moment. A thread whose time is up may lose its core in this.
ThreadUsage ReadThreadUsageExactly();
// For how long the calling thread has been ready to run, but without a core, since it began; 0
// where the kernel does not tell. About 1 µs a call. The thread keeps a descriptor for it, where
// the process has plenty.
int64_t ReadThreadDelayNs();

// Sums over workers and samples.
struct UsageTotals {
  uint64_t reads = 0;       // that were measured
  int64_t read_ns = 0;      // their time
  int64_t read_cpu_ns = 0;  // of it, on a core
  // How long the thread slept in those reads in which it did: the bytes were not in memory.
  HistogramSnapshot slow_reads;
  int64_t work_ns = 0;      // decode, transform and unmeasured reads
  int64_t work_cpu_ns = 0;  // of it, on a core

  void Add(const UsageTotals& other);
  // What came on top of `earlier`, a former value of the same sum.
  UsageTotals Since(const UsageTotals& earlier) const;
};

class UsageMeter {
 public:
  using Reading = ThreadUsage (*)();
  using DelayReading = int64_t (*)();
  static constexpr int64_t kLeastSpanNs = 100'000;
  static constexpr int64_t kLeastDelaySpanNs = 300'000;
  static constexpr int64_t kLeastSleepNs = 20'000;  // a lock takes less, storage more

  // `at_ends`: for Begin and Note.
  explicit UsageMeter(Reading reading = &ReadThreadUsage, Reading at_ends = &ReadThreadUsageExactly,
                      DelayReading delay = &ReadThreadDelayNs)
      : reading_(reading), at_ends_(at_ends), delay_(delay) {}

  // The worker starts to run, on the calling thread.
  void Begin(int64_t now_ns);
  // The next sample begins with its read; what was before it was work.
  void SampleBegins(int64_t now_ns);
  // The read that SampleBegins began is over.
  void HasRead(int64_t now_ns);
  // The worker may stop running: what was before this was work. Nothing behind it counts, unless
  // another sample comes before the next Begin.
  void Note(int64_t now_ns);
  // For how long the thread had no core since the sample began (of quick samples: since one of the
  // last 300 µs did). Asks the kernel.
  int64_t DelayInSample() const;

  void AddTo(UsageTotals* sum) const;

 private:
  using Number = std::atomic<int64_t>;
  // One writer: no read-modify-write is needed.
  static void Increase(Number* number, int64_t by) {
    number->store(number->load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
  }
  void EndWork(int64_t now_ns, const ThreadUsage& usage);

  const Reading reading_;
  const Reading at_ends_;
  const DelayReading delay_;
  // The worker's own: where the present span began.
  ThreadUsage last_;
  int64_t last_ns_ = 0;
  int64_t read_begin_ns_ = 0;
  int64_t delay_ns_ = 0;  // by delay_, at delay_at_ns_, when the sample began or shortly before
  int64_t delay_at_ns_ = 0;

  Number reads_{0};
  Number read_ns_{0};
  Number read_cpu_ns_{0};
  Number work_ns_{0};
  Number work_cpu_ns_{0};
  Histogram slow_reads_;
};

}  // namespace stoker
