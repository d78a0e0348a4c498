// The packed form of checkpoints.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "codec/jpeg/checkpoints.h"
#include "support/checkpoints.h"

namespace stoker {
namespace {

using testing::Below;
using testing::Bytes;
using testing::Span;

// Reads from a heap block of exactly that size, for the address sanitizer.
bool Unpack(const Bytes& packed, Checkpoints* out) {
  const std::unique_ptr<uint8_t[]> exact(new uint8_t[packed.size()]);
  std::copy(packed.begin(), packed.end(), exact.get());
  return out->Unpack({exact.get(), packed.size()});
}

void ExpectSame(const Checkpoints& a, const Checkpoints& b) {
  ASSERT_EQ(a.size, b.size);
  ASSERT_EQ(a.orientation, b.orientation);
  ASSERT_EQ(a.usable(), b.usable());
  if (!a.usable()) return;
  ASSERT_EQ(a.components, b.components);
  ASSERT_EQ(a.max_h, b.max_h);
  ASSERT_EQ(a.max_v, b.max_v);
  ASSERT_EQ(a.scan_begin, b.scan_begin);
  ASSERT_EQ(a.step, b.step);
  ASSERT_EQ(a.at, b.at);
}

struct Shape {
  Size size{400, 300};
  int components = 3;
  int max_h = 2;
  int max_v = 2;
  int step = 5;
  int distance_bits = 11;        // of the largest distance
  int dc_range[3] = {50, 9, 0};  // of the differences: −range to range

  Checkpoints Make(std::mt19937* random) const {
    Checkpoints out;
    out.size = size;
    out.orientation = 1 + Below(8, random);
    out.components = components;
    out.max_h = max_h;
    out.max_v = max_v;
    out.scan_begin = static_cast<uint32_t>((*random)());
    out.step = step;
    out.at.emplace_back();
    for (int mcu = 0; mcu < out.mcus(); mcu += step) {
      Checkpoint next = out.at.back();
      const uint64_t most = (uint64_t{1} << distance_bits) - 1;
      next.bit += Below(3, random) == 0 ? most : 1 + (*random)() % most;
      for (size_t c = 0; c < 3; ++c) {
        const int range = dc_range[c];
        const int difference = Below(2 * range + 1, random) - range;
        next.dc[c] += Below(3, random) == 0 ? -range : difference;
      }
      out.at.push_back(next);
    }
    return out;
  }
};

TEST(PackedCheckpoints, AreTheSameWhenUnpacked) {
  std::mt19937 random(1);
  Checkpoints unpacked;  // one for all
  const auto round_trip = [&](const Shape& shape) {
    const Checkpoints checkpoints = shape.Make(&random);
    Bytes packed = {1, 2, 3};
    ASSERT_TRUE(checkpoints.Pack(&packed));
    ASSERT_TRUE(Unpack(packed, &unpacked));
    ExpectSame(unpacked, checkpoints);
  };
  for (const int components : {1, 3}) {
    for (const int h : {1, 2, 4}) {
      for (const int v : {1, 2}) {
        for (const int step : {1, 2, 3, 17, 255, 256, 65535}) {
          for (const Size size : {Size{1, 1}, {8, 9}, {97, 131}, {65500, 1}, {3, 65500}}) {
            Shape shape;
            shape.size = size;
            shape.components = components;
            shape.max_h = h;
            shape.max_v = v;
            shape.step = step;
            round_trip(shape);
            ASSERT_FALSE(HasFatalFailure()) << h << " x " << v << ", step " << step;
          }
        }
      }
    }
  }
}

TEST(PackedCheckpoints, HoldNumbersOfEveryWidth) {
  std::mt19937 random(2);
  Checkpoints unpacked;
  for (int distance_bits = 1; distance_bits <= 32; ++distance_bits) {
    for (const int range : {0, 1, 2, 3, 127, 128, 255, 2047, 32767}) {
      Shape shape;
      shape.distance_bits = distance_bits;
      std::fill(std::begin(shape.dc_range), std::end(shape.dc_range), 0);
      shape.dc_range[range % 3] = range;
      shape.dc_range[(range + 1) % 3] = range / 2;
      const Checkpoints checkpoints = shape.Make(&random);
      Bytes packed;
      ASSERT_TRUE(checkpoints.Pack(&packed));
      ASSERT_TRUE(Unpack(packed, &unpacked));
      ExpectSame(unpacked, checkpoints);
      ASSERT_FALSE(HasFatalFailure()) << distance_bits << " bits, " << range;
    }
  }
}

TEST(PackedCheckpoints, AreTheSizeAloneWhereThereIsNoMore) {
  Checkpoints size_only;
  size_only.size = {70'000, 1 << 30};
  size_only.orientation = 7;
  Bytes packed;
  ASSERT_TRUE(size_only.Pack(&packed));
  EXPECT_EQ(packed.size(), kPackedSizeBytes);
  std::mt19937 random(3);
  Checkpoints unpacked = Shape{}.Make(&random);
  ASSERT_TRUE(Unpack(packed, &unpacked));
  ExpectSame(unpacked, size_only);
  EXPECT_TRUE(unpacked.at.empty());

  // What has been cleared is as small.
  Checkpoints cleared = Shape{}.Make(&random);
  cleared.Clear();
  ASSERT_TRUE(cleared.Pack(&packed));
  EXPECT_EQ(packed.size(), kPackedSizeBytes);
  ASSERT_TRUE(Unpack(packed, &unpacked));
  ExpectSame(unpacked, cleared);
}

// Files outlive this code: byte by byte.
TEST(PackedCheckpoints, HaveTheseBytes) {
  Checkpoints checkpoints;
  checkpoints.size = {40, 0x10B};  // 3 × 17 MCUs
  checkpoints.orientation = 8;
  checkpoints.components = 3;
  checkpoints.max_h = checkpoints.max_v = 2;
  checkpoints.scan_begin = 0x1234567;
  checkpoints.step = 0x11;
  checkpoints.at = {{0, {}}, {5, {-2, 0, 0}}, {12, {-1, 3, 0}}, {13, {-1, 1, 0}}};
  Bytes packed;
  ASSERT_TRUE(checkpoints.Pack(&packed));
  const Bytes expected = {1, 8, 3, 0x22, 40, 0, 0, 0, 0x0B, 1, 0, 0,  //
                          0x67, 0x45, 0x23, 0x01, 17, 0, 3, 2, 3, 0, 0, 0,
                          // Of 3 + 2 + 3 bits each, the first number lowest: 5, −2, 0; 7, 1, 3;
                          // 1, 0, −2.
                          0b000'10'101, 0b011'01'111, 0b110'00'001};
  EXPECT_EQ(packed, expected);
}

TEST(PackedCheckpoints, NumbersThatAreTooLargeAreNotPacked) {
  std::mt19937 random(4);
  const Checkpoints good = Shape{}.Make(&random);
  using Change = void (*)(Checkpoints*);
  constexpr Change kTooLarge[] = {
      [](Checkpoints* c) { c->at.back().bit += uint64_t{1} << 32; },
      [](Checkpoints* c) { c->step = 65536; },
      [](Checkpoints* c) { c->at.back().dc[0] += 40'000; },
      [](Checkpoints* c) { c->at[3].dc[2] -= 1 << 20; },
  };
  for (const Change change : kTooLarge) {
    Checkpoints bad = good;
    change(&bad);
    Bytes packed = {1};
    EXPECT_FALSE(bad.Pack(&packed));
    EXPECT_TRUE(packed.empty());
  }
}

TEST(PackedCheckpoints, NumbersThatAreTooLargeLeaveTheSize) {
  std::mt19937 random(4);
  Shape shape;
  shape.size = {16'000, 16'000};
  shape.max_h = shape.max_v = 1;
  shape.step = 30'000;
  shape.distance_bits = 30;
  Checkpoints checkpoints = shape.Make(&random);
  Bytes packed;
  checkpoints.PackWithin(150, &packed);  // every fifth: 150'000 MCUs from one to the next
  Checkpoints unpacked;
  ASSERT_TRUE(Unpack(packed, &unpacked));
  EXPECT_EQ(unpacked.size, shape.size);
  EXPECT_FALSE(unpacked.usable() || checkpoints.usable());
}

TEST(PackedCheckpoints, KeepWithinTheBudgetAndAsManyAsItHolds) {
  std::mt19937 random(5);
  int some = 0;
  int none = 0;
  for (int i = 0; i < 600; ++i) {
    Shape shape;
    shape.size = {1 + Below(800, &random), 1 + Below(600, &random)};
    shape.step = 1 + Below(12, &random);
    const Checkpoints all = shape.Make(&random);
    const size_t budget = kPackedSizeBytes + random() % (i % 3 == 0 ? 8000 : 400);
    // The first multiple that leaves four MCUs at least between two and fits.
    Checkpoints expected = all;
    expected.Clear();
    for (int multiple = 1; multiple < static_cast<int>(all.at.size()); ++multiple) {
      const Checkpoints thinned = testing::Thinned(all, multiple);
      Bytes packed;
      if (thinned.step < 4 || !thinned.Pack(&packed) || packed.size() > budget) continue;
      if (thinned.at.size() > 2) expected = thinned;
      break;
    }
    Checkpoints checkpoints = all;
    Bytes packed;
    checkpoints.PackWithin(budget, &packed);
    ASSERT_LE(packed.size(), budget);
    Checkpoints unpacked;
    ASSERT_TRUE(Unpack(packed, &unpacked));
    ExpectSame(unpacked, expected);
    ExpectSame(checkpoints, expected);
    ASSERT_FALSE(HasFatalFailure()) << i << ", budget " << budget;
    ++(expected.usable() ? some : none);
  }
  EXPECT_GT(some, 100);
  EXPECT_GT(none, 10);
}

TEST(PackedCheckpoints, MaySayThatAFileIsNoJpeg) {
  const Checkpoints other;
  Bytes packed;
  ASSERT_TRUE(other.Pack(&packed));
  EXPECT_EQ(packed.size(), kPackedSizeBytes);
  std::mt19937 random(3);
  Checkpoints unpacked = Shape{}.Make(&random);
  ASSERT_TRUE(Unpack(packed, &unpacked));
  ExpectSame(unpacked, other);
  EXPECT_FALSE(unpacked.usable());
  for (const int at : {1, 2, 4, 8}) {  // with an orientation, components, one of the sides
    Bytes changed = packed;
    changed[static_cast<size_t>(at)] = 3;
    EXPECT_FALSE(Unpack(changed, &unpacked)) << at;
  }
}

TEST(PackedCheckpoints, OfOtherLengthAreRefused) {
  std::mt19937 random(6);
  Checkpoints size_only;
  size_only.size = {5, 4};
  Shape shape;
  shape.size = {130, 70};
  shape.step = 3;
  for (const Checkpoints& checkpoints : {size_only, shape.Make(&random)}) {
    Bytes packed;
    ASSERT_TRUE(checkpoints.Pack(&packed));
    Checkpoints unpacked;
    for (size_t size = 0; size < packed.size(); ++size) {
      const Bytes cut(packed.begin(), packed.begin() + static_cast<std::ptrdiff_t>(size));
      ASSERT_FALSE(Unpack(cut, &unpacked)) << size;
    }
    Bytes longer = packed;
    longer.push_back(0);
    EXPECT_FALSE(Unpack(longer, &unpacked));
    ASSERT_TRUE(Unpack(packed, &unpacked));
    ExpectSame(unpacked, checkpoints);
  }
}

using Wrong = std::pair<const char*, void (*)(Bytes*)>;

// Of checkpoints as of a size alone.
constexpr Wrong kNeverRight[] = {
    {"kind 0", [](Bytes* p) { (*p)[0] = 0; }},
    {"kind 2", [](Bytes* p) { (*p)[0] = 2; }},
    {"orientation 0", [](Bytes* p) { (*p)[1] = 0; }},
    {"orientation 9", [](Bytes* p) { (*p)[1] = 9; }},
    {"orientation 255", [](Bytes* p) { (*p)[1] = 255; }},
    {"two components", [](Bytes* p) { (*p)[2] = 2; }},
    {"four components", [](Bytes* p) { (*p)[2] = 4; }},
    {"width 0", [](Bytes* p) { (*p)[4] = (*p)[5] = 0; }},
    {"negative width", [](Bytes* p) { (*p)[7] = 0x80; }},
    {"height 0", [](Bytes* p) { (*p)[8] = (*p)[9] = 0; }},
    {"negative height", [](Bytes* p) { (*p)[11] = 0x80; }},
};

constexpr Wrong kWrongOfCheckpoints[] = {
    {"sampling 0 x 2", [](Bytes* p) { (*p)[3] = 0x02; }},
    {"sampling 2 x 0", [](Bytes* p) { (*p)[3] = 0x20; }},
    {"sampling 3 x 2", [](Bytes* p) { (*p)[3] = 0x32; }},
    {"sampling 2 x 3", [](Bytes* p) { (*p)[3] = 0x23; }},
    {"sampling 2 x 4", [](Bytes* p) { (*p)[3] = 0x24; }},
    {"width beyond a JPEG's", [](Bytes* p) { (*p)[6] = 1; }},
    {"height beyond a JPEG's", [](Bytes* p) { (*p)[10] = 1; }},
    {"step 0", [](Bytes* p) { (*p)[16] = (*p)[17] = 0; }},
    {"positions of no bits", [](Bytes* p) { (*p)[18] = 0; }},
    {"positions of 33 bits", [](Bytes* p) { (*p)[18] = 33; }},
    {"positions of 255 bits", [](Bytes* p) { (*p)[18] = 255; }},
    {"predictors of 17 bits", [](Bytes* p) { (*p)[19] = 17; }},
    {"predictors of 255 bits", [](Bytes* p) { (*p)[21] = 255; }},
};

TEST(PackedCheckpoints, ThatContradictThemselvesAreRefused) {
  std::mt19937 random(7);
  Shape shape;
  shape.size = {90, 70};
  const Checkpoints checkpoints = shape.Make(&random);
  Bytes good;
  ASSERT_TRUE(checkpoints.Pack(&good));
  Checkpoints unpacked;
  const auto expect_refused = [&](const Wrong& wrong) {
    // Of all lengths that it might be taken for.
    for (size_t size = kPackedSizeBytes; size < 8 * good.size(); ++size) {
      Bytes packed = good;
      packed.resize(size, 1);
      wrong.second(&packed);
      ASSERT_FALSE(Unpack(packed, &unpacked)) << wrong.first << ", " << size << " bytes";
    }
  };
  for (const Wrong& wrong : kNeverRight) expect_refused(wrong);
  for (const Wrong& wrong : kWrongOfCheckpoints) expect_refused(wrong);
  ASSERT_TRUE(Unpack(good, &unpacked));
  ExpectSame(unpacked, checkpoints);

  Checkpoints size_only = checkpoints;
  size_only.Clear();
  for (const Wrong& wrong : kNeverRight) {
    Bytes packed;
    ASSERT_TRUE(size_only.Pack(&packed));
    wrong.second(&packed);
    EXPECT_FALSE(Unpack(packed, &unpacked)) << wrong.first;
  }
}

TEST(PackedCheckpoints, OfAnImageTooLargeForAJpegAreRefused) {
  std::mt19937 random(10);
  for (const Size size : {Size{kMaxJpegSide, 1}, {1, kMaxJpegSide}}) {
    for (const int more : {0, 1}) {
      Shape shape;
      shape.size = {size.width + (size.width > 1 ? more : 0),
                    size.height + (size.height > 1 ? more : 0)};
      Bytes packed;
      Checkpoints unpacked;
      ASSERT_TRUE(shape.Make(&random).Pack(&packed));
      EXPECT_EQ(Unpack(packed, &unpacked), more == 0);
    }
  }
}

TEST(PackedCheckpoints, WithTwoAtOnePlaceAreRefused) {
  std::mt19937 random(8);
  Shape shape;
  shape.size = {130, 70};
  shape.step = 3;
  const Checkpoints good = shape.Make(&random);
  for (size_t k = 1; k < good.at.size(); ++k) {
    Checkpoints wrong = good;
    wrong.at[k].bit = wrong.at[k - 1].bit;
    Bytes packed;
    Checkpoints unpacked;
    ASSERT_TRUE(wrong.Pack(&packed));
    ASSERT_FALSE(Unpack(packed, &unpacked)) << k;
  }
}

// What is accepted is in order, and packs again.
TEST(PackedCheckpoints, OfRandomBytesAreRefusedOrInOrder) {
  std::mt19937 random(9);
  Checkpoints unpacked;
  int accepted = 0;
  for (int i = 0; i < 200'000; ++i) {
    Shape shape;
    shape.size = {1 + Below(90, &random), 1 + Below(60, &random)};
    shape.step = 1 + Below(4, &random);
    shape.distance_bits = 4;
    Bytes packed;
    if (i % 2 == 0) {
      ASSERT_TRUE(shape.Make(&random).Pack(&packed));
      for (int n = Below(6, &random); n >= 0; --n) {
        packed[random() % packed.size()] = static_cast<uint8_t>(random());
      }
    } else {
      packed.resize(random() % 80);
      for (uint8_t& byte : packed) byte = static_cast<uint8_t>(random());
      if (!packed.empty()) packed[0] = 1;
    }
    if (!Unpack(packed, &unpacked)) continue;
    ++accepted;
    for (size_t k = 1; k < unpacked.at.size(); ++k) {
      ASSERT_GT(unpacked.at[k].bit, unpacked.at[k - 1].bit);
    }
    if (unpacked.usable()) {
      ASSERT_EQ(unpacked.McuAt(unpacked.at.size() - 1), unpacked.mcus());
    }
    Checkpoints again;
    ASSERT_TRUE(unpacked.Pack(&packed));
    ASSERT_TRUE(Unpack(packed, &again));
    ExpectSame(again, unpacked);
  }
  EXPECT_GT(accepted, 1000);
}

}  // namespace
}  // namespace stoker
