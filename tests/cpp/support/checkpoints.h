// Checkpoints for tests, and decoding with them beside decoding without.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <random>
#include <vector>

#include "codec/jpeg/baseline_decoder.h"
#include "codec/jpeg/checkpoints.h"
#include "codec/jpeg/header.h"
#include "support/jpeg_writer.h"
#include "support/test_images.h"

namespace stoker::testing {

inline int Below(int n, std::mt19937* random) {
  return static_cast<int>((*random)() % static_cast<unsigned>(n));
}

inline Rect RandomPart(Size size, std::mt19937* random) {
  const int left = Below(size.width, random);
  const int top = Below(size.height, random);
  return {left, top, 1 + Below(size.width - left, random), 1 + Below(size.height - top, random)};
}

inline JpegHeader HeaderOf(const Bytes& jpeg) {
  JpegHeader header;
  EXPECT_TRUE(ParseJpegHeader(Span(jpeg), &header));
  return header;
}

inline void ExpectSamePlanes(const YccPlanes& a, const YccPlanes& b) {
  ASSERT_EQ(a.count, b.count);
  ASSERT_EQ(a.scale, b.scale);
  for (size_t c = 0; c < static_cast<size_t>(a.count); ++c) {
    const PlaneView& p = a.plane[c];
    const PlaneView& q = b.plane[c];
    ASSERT_EQ(p.rect, q.rect);
    ASSERT_EQ(p.size, q.size);
    ASSERT_EQ(p.h_factor, q.h_factor);
    ASSERT_EQ(p.v_factor, q.v_factor);
    ASSERT_EQ(p.triangle, q.triangle);
    for (int y = p.rect.top; y < p.rect.bottom(); ++y) {
      ASSERT_TRUE(std::equal(p.row(y), p.row(y) + p.rect.width, q.row(y)))
          << "plane " << c << ", row " << y;
    }
  }
}

// Two decoders, reused: one that has to do with checkpoints, one that has not. Files are handed
// over in heap blocks of exactly their size, for the address sanitizer.
class DecoderPair {
 public:
  // The same planes from both, or none from both; returns what came of the checkpoints.
  CheckpointUse ExpectSame(const Bytes& jpeg, const Rect& region, int dct_scale,
                           const CheckpointUse& what) {
    const std::unique_ptr<uint8_t[]> exact(new uint8_t[jpeg.size()]);
    std::copy(jpeg.begin(), jpeg.end(), exact.get());
    const ByteSpan bytes{exact.get(), jpeg.size()};
    CheckpointUse use = what;
    YccPlanes planes;
    YccPlanes expected;
    const bool plain = plain_.Open(bytes) && plain_.Decode(region, dct_scale, &expected);
    const bool good = with_.Open(bytes, &use) && with_.Decode(region, dct_scale, &planes);
    EXPECT_EQ(good, plain);
    if (good && plain) ExpectSamePlanes(planes, expected);
    return use;
  }
  CheckpointUse ExpectSameBy(const Checkpoints& checkpoints, const Bytes& jpeg, const Rect& region,
                             int dct_scale = 1) {
    CheckpointUse use;
    use.use = &checkpoints;
    return ExpectSame(jpeg, region, dct_scale, use);
  }

 private:
  BaselineDecoder with_;
  BaselineDecoder plain_;
};

inline constexpr size_t kAmpleBytes = 1 << 20;

// What is recorded of a file while one pixel of it is decoded; not usable() where nothing is.
inline Checkpoints Record(const Bytes& jpeg, size_t budget_bytes = kAmpleBytes) {
  Checkpoints checkpoints;
  CheckpointUse use;
  use.record = &checkpoints;
  use.budget_bytes = budget_bytes;
  BaselineDecoder decoder;
  YccPlanes planes;
  EXPECT_TRUE(decoder.Open(Span(jpeg), &use) && decoder.Decode({0, 0, 1, 1}, 1, &planes));
  if (!use.recorded) checkpoints.Clear();
  return checkpoints;
}

inline Checkpoints Thinned(Checkpoints checkpoints, int multiple) {
  checkpoints.Thin(multiple);
  return checkpoints;
}

// The oracle: a checkpoint in front of each MCU, from the coefficients that libjpeg reads, coded
// anew. REQUIRES: no restart markers.
inline Checkpoints CheckpointsByEncoding(const Bytes& jpeg) {
  const JpegHeader header = HeaderOf(jpeg);
  const std::vector<int16_t> values = ReadCoefficientsWithLibjpeg(jpeg);
  std::vector<SymbolCodes> dc_codes(header.dc_spec.begin(), header.dc_spec.end());
  std::vector<SymbolCodes> ac_codes(header.ac_spec.begin(), header.ac_spec.end());
  const int across = header.mcus_across();
  const int mcus = across * header.mcus_down();
  Checkpoints out;
  out.Begin(header, 1);
  Checkpoint now;
  BitWriter bits;
  for (int mcu = 0; mcu < mcus; ++mcu) {
    ptrdiff_t base = 0;
    for (size_t c = 0; c < static_cast<size_t>(header.components); ++c) {
      const JpegComponent& k = header.component[c];
      for (int i = 0; i < k.h * k.v; ++i) {
        const ptrdiff_t row = ptrdiff_t{mcu / across} * k.v + i / k.h;
        const ptrdiff_t block = row * across * k.h + mcu % across * k.h + i % k.h;
        const int16_t* const at = &values[static_cast<size_t>(base + block * kBlockCoefficients)];
        PutBlock(dc_codes[static_cast<size_t>(k.dc_table)],
                 ac_codes[static_cast<size_t>(k.ac_table)], at[0] - now.dc[c], at, &bits);
        now.dc[c] = at[0];
      }
      base += ptrdiff_t{mcus} * k.h * k.v * kBlockCoefficients;
    }
    now.bit = static_cast<uint64_t>(bits.bits());
    out.at.push_back(now);
  }
  const Bytes data = bits.Padded();
  const Bytes stuffed = Stuffed(data);
  EXPECT_TRUE(header.scan_begin + stuffed.size() < jpeg.size() &&
              std::equal(stuffed.begin(), stuffed.end(),
                         jpeg.begin() + static_cast<ptrdiff_t>(header.scan_begin)))
      << "not the file's data";
  // Positions in the file: behind the stuffed bytes of all whole bytes before.
  size_t byte = 0;
  uint64_t stuffed_bytes = 0;
  for (Checkpoint& checkpoint : out.at) {
    for (; byte < checkpoint.bit / 8; ++byte) stuffed_bytes += data[byte] == 0xFF ? 1 : 0;
    checkpoint.bit += 8 * stuffed_bytes;
  }
  return out;
}

}  // namespace stoker::testing
