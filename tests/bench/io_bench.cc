// What a look-up in the decode index computes beside its reads: an entry's keyed tag.
#include <benchmark/benchmark.h>

#include <vector>

#include "io/index_format.h"

namespace stoker {
namespace {

void BM_RecordTag(benchmark::State& state) {
  const std::vector<uint8_t> payload(static_cast<size_t>(state.range(0)), 0x5A);
  const IndexKey key{1, 2};
  IndexRecord record{};
  for (auto _ : state) {
    ++record.name;
    benchmark::DoNotOptimize(RecordTag(key, record, {payload.data(), payload.size()}));
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
// Checkpoints of a photograph of 110 KB, and of one of 3 MB.
BENCHMARK(BM_RecordTag)->Arg(1080)->Arg(29'400);

}  // namespace
}  // namespace stoker
