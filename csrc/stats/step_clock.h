// The training loop's clock: time in next(), and time between two calls of it.
//
// Constant memory, however long the run: the steps kept one by one are the last so many.
// Threads: the consumer's. Never fails.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "stats/histogram.h"
#include "stats/spell_usage.h"

namespace stoker {

// What the native path's workers did while the loop waited, by state: see BatchWait in
// pipeline/loader.h.
using StepBlame = std::array<int64_t, 5>;

// One step of the training loop. Times in nanoseconds.
struct LoopStep {
  int64_t number = 0;           // over all epochs
  int64_t at_ns = 0;            // when the loop asked, since the first iterator was made
  int64_t wait_ns = 0;          // how long it waited
  int64_t step_ns = 0;          // how long it took until it asked again; 0: not yet
  bool first = false;           // of an epoch
  int ready = -1;               // complete batches that the request found; -1: unknown
  double device_idle_s = -1.0;  // below 0: unknown
  StepBlame blame_ns{};
  bool blamed = false;
};

class StepClock {
 public:
  // Keeps `kept` steps one by one. `read`: the loop's thread's times.
  StepClock(size_t kept, Clock clock, std::function<ThreadTimes()> read);

  // An iterator is about to be made.
  void EpochBegins();
  // It has been made: the loop has waited for that, too.
  void IteratorMade();
  // There is no batch for the Asked before: what that took counts to the next epoch's first wait.
  void Ended();
  // The loop enters next(). Returns false, and does nothing, where no epoch has begun.
  bool Asked();
  // It gets its batch. `blame_ns`: null, or of the native path. Returns the time.
  int64_t Answered(int ready, const StepBlame* blame_ns);
  // What has been done since the batch was handed over was not the loop's.
  void BeginStep();
  // What has happened since the last batch was handed over is no step.
  void LeaveOut() { returned_ns_ = 0; }
  // For how long the device was idle behind the loader in a step, which may be kept no more.
  void DeviceIdle(int64_t number, double idle_s);

  // Oldest first.
  std::vector<LoopStep> Steps() const;

  Histogram wait;
  Histogram step;
  Histogram batch;
  Histogram device_idle;
  int64_t began_ns = 0;  // when the first iterator was made
  int64_t last_ns = 0;   // when the loop was last heard of
  int64_t first_batch_ns = 0;
  int64_t first_wait_ns = 0;
  int64_t wait_cpu_ns = 0;  // of the loop's thread, on a core while it waited
  int64_t batches = 0;

 private:
  LoopStep* Kept(int64_t number);

  const size_t kept_;
  const Clock clock_;
  SpellUsage usage_;
  std::vector<LoopStep> steps_;  // a ring: number % kept_
  int64_t epoch_began_ns_ = 0;
  int64_t returned_ns_ = 0;
  int64_t asked_ns_ = 0;
  int64_t waited_ns_ = 0;
  int64_t between_ns_ = 0;  // in iter(), and in the next() that ended the epoch before
  bool is_first_ = true;
  bool is_asked_ = false;
};

}  // namespace stoker
