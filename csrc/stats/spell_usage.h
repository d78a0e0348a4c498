// How much of a thread's spells of work it spent on a core, and how much ready to run without one:
// for spells so short that asking the kernel at each would cost more than they do.
//
// Spells follow one another on a thread, with other things in between. The kernel is asked where
// one begins or ends, but not more often than every kLeastNs; where a spell's begin was read, its
// end is, too. What such a spell shows is known exactly, and stands for those that are not read:
// each of them is estimated as it ends, and the next reading puts the estimate right, as far as
// that can be told from what the thread did in between. A spell that lasts kLeastNs or longer is
// always read.
//
// Threads: one at a time. After a change of threads, or in a fork, the count starts anew by itself.
// Never fails: what the kernel does not tell is 0.
#pragma once

#include <cstdint>
#include <functional>

namespace stoker {

// The time in nanoseconds; tests make one of their own.
using Clock = std::function<int64_t()>;

// Of one thread, since it began.
struct ThreadTimes {
  int64_t thread = 0;  // which
  int64_t wall_ns = 0;
  int64_t cpu_ns = 0;
  int64_t no_core_ns = 0;  // ready to run, without a core
};

// What reads the calling thread's times. `with_no_core`: else that is 0, and a reading costs half.
std::function<ThreadTimes()> ThreadTimesReader(Clock clock, bool with_no_core);

// What spells took; sums of it may be corrected downwards by a little.
struct SpellTimes {
  int64_t cpu_ns = 0;
  int64_t no_core_ns = 0;
};

class SpellUsage {
 public:
  static constexpr int64_t kLeastNs = 5'000'000;

  explicit SpellUsage(std::function<ThreadTimes()> read) : read_(std::move(read)) {}

  // A spell begins at `now_ns`. Returns when it really begins: later, where the kernel was asked.
  int64_t Begin(int64_t now_ns);
  // It ends at `now_ns`. Returns what to add to the sums, for this spell and as a correction.
  SpellTimes End(int64_t now_ns);
  // What the kernel said last; zeros before it was asked.
  const ThreadTimes& last() const { return last_; }

 private:
  SpellTimes Read(bool whole, int64_t spell_ns);
  // What the spells since the last reading have used, of all that the thread has.
  SpellTimes Share(const ThreadTimes& now) const;
  double CpuShare() const;

  std::function<ThreadTimes()> read_;
  ThreadTimes last_;
  bool read_before_ = false;
  bool read_at_begin_ = false;
  int64_t begin_ns_ = 0;
  // Since the last reading: time in spells, and what was said of it.
  int64_t work_ns_ = 0;
  SpellTimes said_;
  // Of spells that were read at both ends.
  int64_t known_ns_ = 0;
  int64_t known_cpu_ns_ = 0;
};

}  // namespace stoker
