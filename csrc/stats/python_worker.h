// What one of torch's workers (or, without workers, the loop's own thread) measures of a script's
// own dataset and collate function, in memory that its loader reads from another process.
//
// A batch is two pieces of work: its samples, and collate. Where samples are slow they are timed
// one by one, quick ones together, so that no more than one clock reading a piece is needed.
//
// Threads: everything by the worker; the memory may be read by anybody at any time. Never fails.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>

#include "stats/histogram.h"
#include "stats/spell_usage.h"

namespace stoker {

// The histograms of a worker: a sample's time in C++ and in Python, a batch's in collate, and of
// each piece the time at work, on a core, and ready to run without one. Of the last three only the
// totals mean anything. kComplete holds no times: of each batch that is complete, its samples.
enum PythonKind : uint8_t { kNative, kPython, kCollate, kWork, kCpu, kNoCore, kComplete };
inline constexpr size_t kPythonKinds = 7;

// The slowest samples that a worker keeps: index, nanoseconds in C++ and in Python.
inline constexpr size_t kPythonSlowKept = 8;
using PythonSlowSample = std::array<int64_t, 3>;

// Time that this process has spent in C++ on the samples of Python datasets. By one thread at a
// time.
int64_t& NativeSpansNs();

class PythonWorker {
 public:
  // From this length on, to time a sample by itself costs less than 1 % of it.
  static constexpr int64_t kOneByOneNs = 300'000;

  // `histograms`: kPythonKinds of them; `slow`: kPythonSlowKept. Both outlive this. `read`: the
  // calling thread's times.
  PythonWorker(Histogram* histograms, PythonSlowSample* slow, Clock clock,
               std::function<ThreadTimes()> read);

  // Work on a batch's samples begins. Returns whether they are to be timed one by one.
  bool Begin();
  // A sample has come since Begin, or since the last. `index`: as far as it has one.
  void Sample(std::optional<int64_t> index);
  // `count` samples have come since Begin, and that was all.
  void EndTogether(int64_t count);
  // The work that Begin has begun is over, whether or not all samples have come. `lost`: there will
  // be no batch of those that have.
  void End(bool lost);
  // The samples' work is over where it was not, and collate begins.
  void BeginCollate();
  // The batch is complete, or collate has failed.
  void EndCollate();

  // Between Begin and End.
  bool at_work() const { return at_work_; }

 private:
  void BeginPiece(int64_t now_ns);
  void EndPiece(int64_t now_ns);
  void Record(PythonKind kind, int64_t ns, int64_t times = 1) {
    histograms_[kind].Record(ns, static_cast<uint64_t>(times));
  }
  void Offer(int64_t index, int64_t native_ns, int64_t python_ns);
  // Of the time since the thread was last asked for its times, the share in which it did not wait
  // for a core.
  double ShareWithACore();

  Histogram* const histograms_;
  PythonSlowSample* const slow_;
  const Clock clock_;
  const std::function<ThreadTimes()> read_;
  SpellUsage usage_;
  ThreadTimes asked_;  // when a sample was last offered
  bool at_work_ = false;
  bool one_by_one_ = true;
  int64_t piece_begin_ns_ = 0;
  int64_t sample_begin_ns_ = 0;
  int64_t native_at_begin_ns_ = 0;
  int64_t least_kept_ns_ = 0;  // of the slow samples
  int64_t loaded_ = 0;         // samples of the batch that is in the making
};

}  // namespace stoker
