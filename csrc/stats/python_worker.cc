#include "stats/python_worker.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace stoker {

namespace {

int64_t TotalNs(const PythonSlowSample& sample) { return sample[1] + sample[2]; }

}  // namespace

int64_t& NativeSpansNs() {
  static int64_t ns = 0;
  return ns;
}

PythonWorker::PythonWorker(Histogram* histograms, PythonSlowSample* slow, Clock clock,
                           std::function<ThreadTimes()> read)
    : histograms_(histograms),
      slow_(slow),
      clock_(std::move(clock)),
      read_(std::move(read)),
      usage_(read_) {
  least_kept_ns_ = TotalNs(slow_[0]);
  for (size_t i = 1; i < kPythonSlowKept; ++i) {
    least_kept_ns_ = std::min(least_kept_ns_, TotalNs(slow_[i]));
  }
}

void PythonWorker::BeginPiece(int64_t now_ns) { piece_begin_ns_ = usage_.Begin(now_ns); }

void PythonWorker::EndPiece(int64_t now_ns) {
  const SpellTimes used = usage_.End(now_ns);
  Record(kWork, now_ns - piece_begin_ns_);
  Record(kCpu, used.cpu_ns);
  Record(kNoCore, used.no_core_ns);
}

bool PythonWorker::Begin() {
  BeginPiece(clock_());
  sample_begin_ns_ = piece_begin_ns_;
  native_at_begin_ns_ = NativeSpansNs();
  at_work_ = true;
  return one_by_one_;
}

void PythonWorker::Sample(std::optional<int64_t> index) {
  const int64_t now_ns = clock_();
  const int64_t native_ns = NativeSpansNs() - native_at_begin_ns_;
  const int64_t python_ns = now_ns - sample_begin_ns_ - native_ns;
  Record(kNative, native_ns);
  Record(kPython, python_ns);
  if (index.has_value()) Offer(*index, native_ns, python_ns);
  one_by_one_ = native_ns + python_ns > kOneByOneNs;
  ++loaded_;
  sample_begin_ns_ = now_ns;
  native_at_begin_ns_ += native_ns;
}

void PythonWorker::EndTogether(int64_t count) {
  const int64_t now_ns = clock_();
  const int64_t native_ns = NativeSpansNs() - native_at_begin_ns_;
  const int64_t python_ns = now_ns - sample_begin_ns_ - native_ns;
  if (count > 0) {
    Record(kNative, native_ns / count, count);
    Record(kPython, python_ns / count, count);
  }
  one_by_one_ = native_ns + python_ns > count * kOneByOneNs;
  loaded_ += count;
  at_work_ = false;
  EndPiece(now_ns);
}

void PythonWorker::End(bool lost) {
  if (lost) loaded_ = 0;
  if (!at_work_) return;
  at_work_ = false;
  EndPiece(clock_());
}

void PythonWorker::BeginCollate() {
  const int64_t now_ns = clock_();
  if (at_work_) EndPiece(now_ns);
  at_work_ = false;
  BeginPiece(now_ns);
}

void PythonWorker::EndCollate() {
  const int64_t now_ns = clock_();
  Record(kCollate, now_ns - piece_begin_ns_);
  Record(kComplete, loaded_);
  loaded_ = 0;
  EndPiece(now_ns);
}

double PythonWorker::ShareWithACore() {
  const ThreadTimes since = asked_.wall_ns > usage_.last().wall_ns ? asked_ : usage_.last();
  asked_ = read_();
  if (asked_.thread != since.thread) return 1.0;
  const auto wall = static_cast<double>(std::max<int64_t>(1, asked_.wall_ns - since.wall_ns));
  return std::clamp(1.0 - static_cast<double>(asked_.no_core_ns - since.no_core_ns) / wall, 0.0,
                    1.0);
}

void PythonWorker::Offer(int64_t index, int64_t native_ns, int64_t python_ns) {
  if (native_ns + python_ns <= least_kept_ns_) return;
  // That the thread had no core is no fault of the sample's.
  const double share = ShareWithACore();
  native_ns = std::llround(share * static_cast<double>(native_ns));
  python_ns = std::llround(share * static_cast<double>(python_ns));
  const int64_t total_ns = native_ns + python_ns;
  if (total_ns <= least_kept_ns_) return;
  PythonSlowSample* const end = slow_ + kPythonSlowKept;
  const auto quicker = [](const PythonSlowSample& a, const PythonSlowSample& b) {
    return TotalNs(a) < TotalNs(b);
  };
  PythonSlowSample* at = std::find_if(slow_, end, [index](const PythonSlowSample& kept) {
    return kept[0] == index && TotalNs(kept) > 0;
  });
  if (at == end) at = std::min_element(slow_, end, quicker);
  if (TotalNs(*at) >= total_ns) return;
  *at = {index, native_ns, python_ns};
  least_kept_ns_ = TotalNs(*std::min_element(slow_, end, quicker));
}

}  // namespace stoker
