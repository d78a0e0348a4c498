// Decoding a photograph-sized JPEG, whole and a quarter of it, by our decoder and by libjpeg-turbo;
// and the parts of ours.
#include <benchmark/benchmark.h>

#include "codec/jpeg/baseline_decoder.h"
#include "codec/jpeg/inverse_dct.h"
#include "codec/jpeg/jpeg_decoder.h"
#include "codec/jpeg/turbo_decoder.h"
#include "support/test_images.h"

namespace stoker {
namespace {

testing::Bytes Photograph(const benchmark::State& state) {
  testing::JpegSpec spec;
  spec.width = 500;
  spec.height = 375;
  spec.h_sampling = spec.v_sampling = static_cast<int>(state.range(0));
  return testing::MakeJpeg(spec);
}

Rect Region(const benchmark::State& state) {
  return state.range(1) != 0 ? Rect{125, 94, 250, 187} : Rect{0, 0, 500, 375};
}

template <typename Decoder>
void BM_Decode(benchmark::State& state) {
  const testing::Bytes jpeg = Photograph(state);
  Decoder decoder{DecodeLimits()};
  ByteBuffer pixels;
  for (auto _ : state) {
    decoder.Open(testing::Span(jpeg));
    benchmark::DoNotOptimize(decoder.Decode(Region(state), &pixels).pixels_hwc);
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(jpeg.size()));
}
BENCHMARK(BM_Decode<TurboDecoder>)->ArgNames({"sampling", "crop"})->ArgsProduct({{1, 2}, {0, 1}});
BENCHMARK(BM_Decode<JpegDecoder>)->ArgNames({"sampling", "crop"})->ArgsProduct({{1, 2}, {0, 1}});

void BM_DecodePlanes(benchmark::State& state) {
  const testing::Bytes jpeg = Photograph(state);
  BaselineDecoder decoder;
  YccPlanes planes;
  for (auto _ : state) {
    decoder.Open(testing::Span(jpeg));
    benchmark::DoNotOptimize(decoder.Decode(Region(state), 1, &planes));
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(jpeg.size()));
}
BENCHMARK(BM_DecodePlanes)->ArgNames({"sampling", "crop"})->ArgsProduct({{1, 2}, {0, 1}});

void BM_InverseDct(benchmark::State& state) {
  constexpr int kBlocks = 64;
  alignas(64) static int16_t blocks[kBlocks * 64];
  for (int i = 0; i < kBlocks * 64; ++i)
    blocks[i] = static_cast<int16_t>(i % 7 == 0 ? i % 61 - 30 : 0);
  uint16_t quant[64];
  for (uint16_t& q : quant) q = 10;
  ByteBuffer samples;
  uint8_t* const out = samples.Reserve(kBlocks * 64);
  for (auto _ : state) {
    InverseDctRow(blocks, kBlocks, quant, out, kBlocks * 8);
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * kBlocks);
}
BENCHMARK(BM_InverseDct);

}  // namespace
}  // namespace stoker
