// What a span costs: three are taken for each image, and together they may cost 1 % of its CPU
// time.
#include <benchmark/benchmark.h>

#include "base/clock.h"
#include "stats/histogram.h"
#include "stats/worker_clock.h"

namespace stoker {
namespace {

void BM_Span(benchmark::State& state) {
  WorkerClock clock(NowNs());
  clock.Begin(NowNs());
  for (auto _ : state) clock.Lap(Stage::kDecode);
}
BENCHMARK(BM_Span);

void BM_NowNs(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(NowNs());
}
BENCHMARK(BM_NowNs);

}  // namespace
}  // namespace stoker
