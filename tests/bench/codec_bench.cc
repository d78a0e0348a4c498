// Decoding a photograph-sized JPEG: whole, and a quarter of it.
#include <benchmark/benchmark.h>

#include "codec/jpeg/turbo_decoder.h"
#include "support/test_images.h"

namespace stoker {
namespace {

void BM_TurboDecode(benchmark::State& state) {
  testing::JpegSpec spec;
  spec.width = 500;
  spec.height = 375;
  spec.h_sampling = spec.v_sampling = static_cast<int>(state.range(0));
  const testing::Bytes jpeg = testing::MakeJpeg(spec);
  TurboDecoder decoder{DecodeLimits()};
  ByteBuffer pixels;
  const Rect region = state.range(1) != 0 ? Rect{125, 94, 250, 187} : Rect{0, 0, 500, 375};
  for (auto _ : state) {
    decoder.Open(testing::Span(jpeg));
    benchmark::DoNotOptimize(decoder.Decode(region, &pixels).pixels_hwc);
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(jpeg.size()));
}
BENCHMARK(BM_TurboDecode)->ArgNames({"sampling", "crop"})->ArgsProduct({{1, 2}, {0, 1}});

}  // namespace
}  // namespace stoker
