#include "stats/worker_clock.h"

#include <algorithm>
#include <numeric>

namespace stoker {

// From `now_ns` on in `state`; `owned_ns` until now were `owner`'s.
void WorkerClock::Enter(size_t state, int64_t now_ns, int64_t owned_ns, size_t owner) {
  const uint32_t version = version_.load(std::memory_order_relaxed);
  version_.store(version + 1, std::memory_order_relaxed);
  auto& total = spent_ns_[owner];
  total.store(total.load(std::memory_order_relaxed) + owned_ns, std::memory_order_release);
  since_ns_.store(now_ns, std::memory_order_release);
  state_.store(state, std::memory_order_release);
  version_.store(version + 2, std::memory_order_release);
}

void WorkerClock::Begin(int64_t now_ns) {
  const int64_t since = since_ns_.load(std::memory_order_relaxed);
  Enter(kBetweenSamples, now_ns, now_ns - since, state_.load(std::memory_order_relaxed));
  usage_.Begin(now_ns);
}

void WorkerClock::End(int64_t now_ns, OffState why) { LeaveSample(StateOf(why), now_ns); }

void WorkerClock::Off(int64_t now_ns, OffState why) {
  const int64_t since = since_ns_.load(std::memory_order_relaxed);
  Enter(StateOf(why), now_ns, now_ns - since, state_.load(std::memory_order_relaxed));
}

void WorkerClock::BeginSample(int64_t now_ns) {
  sample_ns_.fill(0);
  usage_.SampleBegins(now_ns);
  LeaveSample(static_cast<size_t>(Stage::kRead), now_ns);
}

void WorkerClock::EndSample(int64_t index) {
  SlowSample sample{index, sample_ns_, {}};
  if (!slow_samples_.Wants(sample.total_ns())) return;
  sample.LeaveOut(usage_.DelayInSample());
  slow_samples_.Offer(sample);
}

// A stage that was not left is the present state's, as Times has said already.
void WorkerClock::LeaveSample(size_t next, int64_t now_ns) {
  const size_t state = state_.load(std::memory_order_relaxed);
  const bool owned = state < static_cast<size_t>(kStageCount);
  const int64_t ns = now_ns - since_ns_.load(std::memory_order_relaxed);
  Enter(next, now_ns, owned ? ns : 0, owned ? state : next);
}

void WorkerClock::LapAt(Stage stage, int64_t now_ns) {
  const auto next = static_cast<size_t>(stage) + 1;
  LeaveStage(stage, now_ns, next < kStageCount ? next : kBetweenSamples);
}

void WorkerClock::LeaveStage(Stage stage, int64_t now_ns, size_t next) {
  const auto owner = static_cast<size_t>(stage);
  const int64_t ns = now_ns - since_ns_.load(std::memory_order_relaxed);
  stages_[owner].Record(ns);
  sample_ns_[owner] += ns;
  if (stage == Stage::kRead) usage_.HasRead(now_ns);
  Enter(next, now_ns, ns, owner);
}

StateTimes WorkerClock::Times(int64_t now_ns) const {
  StateTimes times = TimesNoted(now_ns);
  for (size_t s = 0; s < times.size(); ++s) {
    int64_t told = told_ns_[s].load(std::memory_order_relaxed);
    while (told < times[s] && !told_ns_[s].compare_exchange_weak(told, times[s])) continue;
    times[s] = std::max(times[s], told);
  }
  return times;
}

StateTimes WorkerClock::TimesNoted(int64_t now_ns) const {
  for (;;) {
    const uint32_t version = version_.load(std::memory_order_acquire);
    StateTimes times;
    for (size_t s = 0; s < times.size(); ++s) {
      times[s] = spent_ns_[s].load(std::memory_order_acquire);
    }
    const int64_t since = since_ns_.load(std::memory_order_acquire);
    const size_t state = state_.load(std::memory_order_acquire);
    if (version % 2 == 0 && version == version_.load(std::memory_order_acquire)) {
      if (state < times.size()) times[state] += std::max<int64_t>(0, now_ns - since);
      return times;
    }
  }
}

int64_t WorkerClock::WorkNs(int64_t now_ns) const {
  const StateTimes times = Times(now_ns);
  return std::accumulate(times.begin(), times.begin() + kStageCount, int64_t{0});
}

double MeasureSpanNs(int spans) {
  const int64_t begin = NowNs();
  WorkerClock clock(begin);
  clock.Begin(begin);
  for (int i = 0; i < spans; ++i) clock.Lap(Stage::kDecode);
  return static_cast<double>(NowNs() - begin) / std::max(1, spans);
}

double MeasureUsageNs(int readings) {
  const int64_t begin = NowNs();
  int64_t cpu_ns = 0;
  for (int i = 0; i < readings; ++i) {
    cpu_ns += ReadThreadUsage().cpu_ns;
    if (i % kUsagesPerSample == 0) cpu_ns += ReadThreadDelayNs();
  }
  const double took = static_cast<double>(NowNs() - begin);
  return cpu_ns < 0 ? 0.0 : took / std::max(1, readings);
}

}  // namespace stoker
