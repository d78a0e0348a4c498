#include "codec/jpeg/header.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "support/jpeg_samplings.h"
#include "support/jpeg_writer.h"
#include "support/test_images.h"

namespace stoker {
namespace {

using testing::Append;
using testing::Bytes;
using testing::JpegSpec;
using testing::MakeJpeg;
using testing::Segment;

// A header as its segments, to be changed one at a time.
struct Parts {
  struct Part {
    uint8_t marker;
    Bytes payload;
  };
  std::vector<Part> parts;

  explicit Parts(const Bytes& jpeg) {
    for (size_t at = 2;;) {
      const size_t length = static_cast<size_t>(jpeg[at + 2]) << 8 | jpeg[at + 3];
      const auto begin = jpeg.begin() + static_cast<std::ptrdiff_t>(at);
      parts.push_back(
          {jpeg[at + 1], Bytes(begin + 4, begin + 2 + static_cast<std::ptrdiff_t>(length))});
      at += 2 + length;
      if (parts.back().marker == 0xDA) return;
    }
  }
  Bytes Joined() const {
    Bytes out = {0xFF, 0xD8};
    for (const Part& part : parts) Append(&out, Segment(part.marker, part.payload));
    return out;
  }
  // The payload of the first segment with this marker.
  Bytes& operator[](uint8_t marker) { return parts[Find(marker)].payload; }
  size_t Find(uint8_t marker) const {
    size_t i = 0;
    while (i < parts.size() && parts[i].marker != marker) ++i;
    EXPECT_LT(i, parts.size()) << "no marker " << int{marker};
    return i;
  }
  Parts& Rename(uint8_t from, uint8_t to) {
    parts[Find(from)].marker = to;
    return *this;
  }
  void Erase(size_t i) { parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(i)); }
  void Insert(size_t i, uint8_t marker, Bytes payload) {
    parts.insert(parts.begin() + static_cast<std::ptrdiff_t>(i), {marker, std::move(payload)});
  }
};

constexpr uint8_t kSof = 0xC0, kDht = 0xC4, kSos = 0xDA, kDqt = 0xDB, kDri = 0xDD, kApp0 = 0xE0;

// Parses a heap block of exactly that size, so that the address sanitizer sees a read beyond.
bool Accepts(const Bytes& jpeg, JpegHeader* header = nullptr) {
  const std::unique_ptr<uint8_t[]> exact(new uint8_t[jpeg.size()]);
  std::copy(jpeg.begin(), jpeg.end(), exact.get());
  JpegHeader ignored;
  return ParseJpegHeader({exact.get(), jpeg.size()}, header != nullptr ? header : &ignored);
}

JpegSpec WithRestarts() {
  JpegSpec spec;
  spec.restart_interval = 0x0305;
  return spec;
}

// Whether a header is accepted after `change`, which was accepted before.
bool AcceptsAfter(const std::function<void(Parts*)>& change) {
  Parts parts(MakeJpeg(WithRestarts()));
  EXPECT_TRUE(Accepts(parts.Joined()));
  change(&parts);
  return Accepts(parts.Joined());
}

TEST(JpegHeaderTest, SaysWhatTheFileSays) {
  for (const testing::JpegSampling& sampling : testing::kJpegSamplings) {
    JpegSpec spec = sampling.Spec({701, 499}, 1);
    spec.restart_interval = 517;
    Parts parts(MakeJpeg(spec));
    const size_t n = static_cast<size_t>(sampling.components);
    JpegHeader header;
    ASSERT_TRUE(Accepts(parts.Joined(), &header)) << sampling.name;
    EXPECT_EQ(header.size, (Size{701, 499}));
    EXPECT_EQ(header.components, sampling.components);
    EXPECT_EQ(header.restart_interval, 517);
    EXPECT_EQ(header.scan_begin, parts.Joined().size());
    EXPECT_EQ(header.max_h, sampling.h);
    EXPECT_EQ(header.max_v, sampling.v);
    const int width = 8 * sampling.h;
    const int height = 8 * sampling.v;
    EXPECT_EQ(header.mcus_across(), (701 + width - 1) / width);
    EXPECT_EQ(header.mcus_down(), (499 + height - 1) / height);
    for (size_t c = 0; c < n; ++c) {
      const JpegComponent& k = header.component[c];
      EXPECT_EQ(k.h, c == 0 ? sampling.h : 1);
      EXPECT_EQ(k.v, c == 0 ? sampling.v : 1);
      EXPECT_EQ(k.quant_table, parts[kSof][8 + 3 * c]);
      EXPECT_EQ(k.dc_table, parts[kSos][2 + 2 * c] >> 4);
      EXPECT_EQ(k.ac_table, parts[kSos][2 + 2 * c] & 15);
    }
    if (n == 3) {
      EXPECT_EQ(header.PlaneSize(1),
                (Size{(701 + sampling.h - 1) / sampling.h, (499 + sampling.v - 1) / sampling.v}));
    }
    EXPECT_EQ(header.PlaneSize(0), header.size);
    for (const Parts::Part& part : parts.parts) {
      const size_t id = part.payload[0] & 15U;
      if (part.marker == kDqt) {
        for (size_t i = 0; i < kBlockCoefficients; ++i) {
          EXPECT_EQ(header.quant[id][kNaturalOrder[i]], part.payload[1 + i]);
        }
      } else if (part.marker == kDht) {
        const HuffmanSpec& spec_of =
            part.payload[0] >> 4 != 0 ? header.ac_spec[id] : header.dc_spec[id];
        EXPECT_EQ(testing::HuffmanPayload(part.payload[0], spec_of), part.payload);
      }
    }
  }
}

// One that no restart marker comes of.
TEST(JpegHeaderTest, ARestartIntervalAsLongAsTheScanIsNone) {
  for (const int interval : {11, 12, 13, 40000}) {
    JpegSpec spec;  // 4 × 3 MCUs
    spec.restart_interval = interval;
    JpegHeader header;
    ASSERT_TRUE(Accepts(Parts(MakeJpeg(spec)).Joined(), &header));
    EXPECT_EQ(header.restart_interval, interval < 12 ? interval : 0);
  }
}

TEST(JpegHeaderTest, NaturalOrderIsTheZigzag) {
  // Along the diagonals, up and down by turns.
  size_t at = 0;
  for (int sum = 0; sum < 15; ++sum) {
    for (int i = 0; i <= sum; ++i) {
      const int row = sum % 2 == 0 ? sum - i : i;
      const int column = sum - row;
      if (row > 7 || column > 7) continue;
      EXPECT_EQ(kNaturalOrder[at++], row * 8 + column);
    }
  }
  EXPECT_EQ(at, kNaturalOrder.size());
}

TEST(JpegHeaderTest, SegmentsInAnyOrderAndOthersBetweenThemAreTaken) {
  EXPECT_TRUE(AcceptsAfter([](Parts* p) { p->Rename(kSof, 0xC1); }));
  EXPECT_TRUE(AcceptsAfter([](Parts* p) {
    for (int marker = 0xE1; marker <= 0xEF; ++marker) {
      p->Insert(1, static_cast<uint8_t>(marker), Bytes(static_cast<size_t>(marker), 7));
    }
    p->Insert(0, 0xFE, {});
    p->Insert(p->parts.size() - 1, 0xFE, Bytes(65533, 0xFF));
  }));
  EXPECT_TRUE(AcceptsAfter([](Parts* p) { std::reverse(p->parts.begin(), p->parts.end() - 1); }));
  // All tables of a kind in one segment, and a later one in place of an earlier one.
  JpegHeader before;
  JpegHeader after;
  Parts parts(MakeJpeg({}));
  ASSERT_TRUE(Accepts(parts.Joined(), &before));
  for (const uint8_t marker : {kDht, kDqt}) {
    Bytes all;
    for (size_t i = parts.parts.size(); i-- > 0;) {
      if (parts.parts[i].marker != marker) continue;
      Append(&all, parts.parts[i].payload);
      parts.Erase(i);
    }
    parts.Insert(1, marker, all);
    Bytes other = all;
    for (size_t i = 1; i < 65 && marker == kDqt; ++i) other[i] = 1;
    parts.Insert(1, marker, other);
  }
  ASSERT_TRUE(Accepts(parts.Joined(), &after));
  EXPECT_TRUE(after.dc_spec == before.dc_spec && after.ac_spec == before.ac_spec);
  EXPECT_TRUE(after.quant[0] == before.quant[0] && after.quant[1] == before.quant[1]);
}

TEST(JpegHeaderTest, OtherKindsOfFramesAreDeclined) {
  for (int marker = 0xC2; marker <= 0xCF; ++marker) {
    if (marker == kDht) continue;
    EXPECT_FALSE(AcceptsAfter([&](Parts* p) { p->Rename(kSof, static_cast<uint8_t>(marker)); }));
  }
  // Segments that say something else: DAC, DNL, DHP, EXP, and reserved ones.
  for (const int marker :
       {0x01, 0xCC, 0xD0, 0xD8, 0xD9, 0xDC, 0xDE, 0xDF, 0xF0, 0xFD, 0x00, 0xFF}) {
    EXPECT_FALSE(AcceptsAfter([&](Parts* p) {
      p->Insert(1, static_cast<uint8_t>(marker), {0, 0});
    })) << marker;
  }
}

TEST(JpegHeaderTest, UnusualFramesAreDeclined) {
  const auto with = [](size_t at, int value) {
    return AcceptsAfter([&](Parts* p) { (*p)[kSof][at] = static_cast<uint8_t>(value); });
  };
  for (const int bits : {0, 1, 7, 9, 12, 16}) EXPECT_FALSE(with(0, bits));
  for (const int count : {0, 1, 2, 4, 255}) EXPECT_FALSE(with(5, count));
  for (int sampling = 0; sampling < 256; ++sampling) {
    const bool known = sampling == 0x11 || sampling == 0x21 || sampling == 0x22 ||
                       sampling == 0x12 || sampling == 0x41;
    EXPECT_EQ(with(7, sampling), known) << sampling;
    EXPECT_EQ(with(10, sampling), sampling == 0x11) << sampling;
    EXPECT_EQ(with(13, sampling), sampling == 0x11) << sampling;
  }
  for (const size_t at : {8U, 11U, 14U}) {
    for (const int table : {2, 3, 4, 255}) EXPECT_FALSE(with(at, table));  // not there, or no table
  }
  // Sizes: height at 1, width at 3.
  for (const size_t at : {1U, 3U}) {
    const auto side = [&](int value) {
      return AcceptsAfter([&](Parts* p) {
        (*p)[kSof][at] = static_cast<uint8_t>(value >> 8);
        (*p)[kSof][at + 1] = static_cast<uint8_t>(value);
      });
    };
    EXPECT_FALSE(side(0));
    EXPECT_TRUE(side(1));
    EXPECT_TRUE(side(65500));
    EXPECT_FALSE(side(65501));
    EXPECT_FALSE(side(65535));
  }
  EXPECT_FALSE(AcceptsAfter([](Parts* p) { p->Insert(0, kSof, (*p)[kSof]); }));  // two frames
  EXPECT_FALSE(AcceptsAfter([](Parts* p) { p->Erase(p->Find(kSof)); }));
  EXPECT_FALSE(AcceptsAfter([](Parts* p) { (*p)[kSof].push_back(0); }));
}

TEST(JpegHeaderTest, GrayIsTakenWhateverItsSampling) {
  Parts parts(MakeJpeg(testing::kJpegSamplings[5].Spec({20, 30}, 1)));
  for (int h = 0; h < 6; ++h) {
    for (int v = 0; v < 6; ++v) {
      parts[kSof][7] = static_cast<uint8_t>(h << 4 | v);
      JpegHeader header;
      ASSERT_EQ(Accepts(parts.Joined(), &header), h >= 1 && h <= 4 && v >= 1 && v <= 4);
      EXPECT_EQ(header.max_h * 10 + header.max_v, 11);
    }
  }
}

TEST(JpegHeaderTest, UnusualScansAreDeclined) {
  const auto with = [](size_t at, int value) {
    return AcceptsAfter([&](Parts* p) { (*p)[kSos][at] = static_cast<uint8_t>(value); });
  };
  for (const int count : {0, 1, 2, 4}) EXPECT_FALSE(with(0, count));
  for (const size_t at : {1U, 3U, 5U}) EXPECT_FALSE(with(at, 9));  // a component that is not there
  for (const size_t at : {2U, 4U, 6U}) {
    // Tables that are not there, DC or AC; and no tables at all.
    for (const int tables : {0x20, 0x02, 0x30, 0x03, 0x40, 0x04, 0xFF}) {
      EXPECT_FALSE(with(at, tables)) << tables;
    }
    EXPECT_TRUE(with(at, 0x01));
    EXPECT_TRUE(with(at, 0x10));
  }
  EXPECT_FALSE(with(7, 1));  // not the whole spectrum
  EXPECT_FALSE(with(8, 62));
  EXPECT_FALSE(with(8, 64));
  EXPECT_FALSE(with(9, 0x10));  // nor all bits
  EXPECT_FALSE(with(9, 0x01));
  EXPECT_FALSE(AcceptsAfter([](Parts* p) { std::swap((*p)[kSos][1], (*p)[kSos][3]); }));
  EXPECT_FALSE(AcceptsAfter([](Parts* p) { (*p)[kSos].push_back(0); }));
  // Two components of the same name.
  EXPECT_FALSE(AcceptsAfter([](Parts* p) { (*p)[kSof][9] = (*p)[kSos][3] = 1; }));
  EXPECT_FALSE(AcceptsAfter([](Parts* p) { (*p)[kSof][12] = (*p)[kSos][5] = 2; }));
  EXPECT_FALSE(AcceptsAfter([](Parts* p) { (*p)[kSof][12] = (*p)[kSos][5] = 1; }));
}

TEST(JpegHeaderTest, BadOrMissingTablesAreDeclined) {
  Parts original(MakeJpeg(WithRestarts()));
  for (size_t i = 0; i + 1 < original.parts.size(); ++i) {
    const uint8_t marker = original.parts[i].marker;
    if (marker != kDht && marker != kDqt) continue;
    Parts parts = original;
    parts.Erase(i);
    EXPECT_FALSE(Accepts(parts.Joined())) << "without " << int{marker};
    const auto with_id = [&](int id) {
      Parts changed = original;
      changed.parts[i].payload[0] = static_cast<uint8_t>(id);
      return Accepts(changed.Joined());
    };
    for (const int id : {0x04, 0x0F, 0x14, 0x20, 0x21, 0x80, 0xFF}) EXPECT_FALSE(with_id(id));
  }
  // A second quantisation table of 16 bits that nothing refers to.
  EXPECT_FALSE(AcceptsAfter([](Parts* p) {
    Bytes wide(129, 1);
    wide[0] = 0x13;
    p->Insert(1, kDqt, wide);
  }));
  // More than 256 symbols, though all of them are there.
  EXPECT_FALSE(AcceptsAfter([](Parts* p) {
    Bytes many(1 + 16 + 257, 0);
    many[0] = 3;
    many[9] = 200;
    many[10] = 57;
    p->Insert(1, kDht, many);
  }));
  for (const size_t size : {0U, 1U, 3U, 4U}) {
    EXPECT_FALSE(AcceptsAfter([&](Parts* p) { (*p)[kDri].resize(size); }));
  }
}

// jdapimin.c, default_decompress_parms.
TEST(JpegHeaderTest, ColoursAreYccByLibjpegsRules) {
  const auto colours = [](bool jfif, int adobe, const char* ids) {
    return AcceptsAfter([&](Parts* p) {
      for (size_t c = 0; c < 3; ++c) {
        (*p)[kSof][6 + 3 * c] = (*p)[kSos][1 + 2 * c] = static_cast<uint8_t>(ids[c]);
      }
      if (!jfif) p->Erase(p->Find(kApp0));
      Bytes marker = {'A', 'd', 'o', 'b', 'e', 0, 100, 0, 0, 0, 0, static_cast<uint8_t>(adobe)};
      if (adobe >= 0) p->Insert(0, 0xEE, marker);
    });
  };
  EXPECT_TRUE(colours(true, -1, "\1\2\3"));
  EXPECT_TRUE(colours(true, 0, "RGB"));  // JFIF goes before all
  EXPECT_TRUE(colours(false, 1, "RGB"));
  EXPECT_FALSE(colours(false, 0, "\1\2\3"));
  EXPECT_FALSE(colours(false, 2, "\1\2\3"));
  EXPECT_TRUE(colours(false, -1, "\1\2\3"));
  EXPECT_TRUE(colours(false, -1, "\0\1\2"));
  EXPECT_TRUE(colours(false, -1, "RGA"));
  EXPECT_FALSE(colours(false, -1, "RGB"));
  // Markers that are too short or of another name say nothing.
  EXPECT_FALSE(AcceptsAfter([](Parts* p) {
    (*p)[kApp0].resize(13);
    p->Insert(1, 0xEE, {'A', 'd', 'o', 'b', 'e', 0, 100, 0, 0, 0, 0, 0});
  }));
  EXPECT_TRUE(AcceptsAfter([](Parts* p) {
    p->Erase(p->Find(kApp0));
    p->Insert(0, 0xEE, {'A', 'd', 'o', 'b', 'e', 0, 100, 0, 0, 0, 0});
    p->Insert(0, 0xEE, {'A', 'd', 'o', 'b', 'f', 0, 100, 0, 0, 0, 0, 0});
  }));
}

TEST(JpegHeaderTest, IsDeclinedWhereverItIsCut) {
  const Bytes jpeg = Parts(MakeJpeg(WithRestarts())).Joined();
  for (size_t size = 0; size < jpeg.size(); ++size) {
    ASSERT_FALSE(Accepts(Bytes(jpeg.begin(), jpeg.begin() + static_cast<std::ptrdiff_t>(size))));
  }
}

TEST(JpegHeaderTest, AnythingBetweenSegmentsIsDeclined) {
  const Bytes jpeg = MakeJpeg({});
  JpegHeader header;
  ASSERT_TRUE(ParseJpegHeader(testing::Span(jpeg), &header));
  for (const Bytes& stray : {Bytes{1, 2, 3}, Bytes{0xFF, 0}, Bytes{0xFF}, Bytes{0xFF, 0xD0}}) {
    Bytes file = jpeg;
    file.insert(file.begin() + 2, stray.begin(), stray.end());
    EXPECT_FALSE(ParseJpegHeader(testing::Span(file), &header)) << int{stray[0]};
  }
}

TEST(JpegHeaderTest, WrongLengthsAreDeclinedInEverySegment) {
  const Parts parts(MakeJpeg(WithRestarts()));
  const Bytes jpeg = parts.Joined();
  size_t at = 2;
  for (const Parts::Part& part : parts.parts) {
    const size_t right = part.payload.size() + 2;
    for (const size_t wrong : {size_t{0}, size_t{1}, size_t{2}, size_t{3}, right - 1, right + 1,
                               right + 2, size_t{0x7FFF}, size_t{0xFFFF}}) {
      Bytes changed = jpeg;
      changed[at + 2] = static_cast<uint8_t>(wrong >> 8);
      changed[at + 3] = static_cast<uint8_t>(wrong);
      EXPECT_FALSE(Accepts(changed)) << int{part.marker} << ", " << wrong;
    }
    Bytes no_marker = jpeg;
    no_marker[at] = 0xFE;
    EXPECT_FALSE(Accepts(no_marker));
    Bytes fill = jpeg;
    fill.insert(fill.begin() + static_cast<std::ptrdiff_t>(at), 0xFF);
    EXPECT_FALSE(Accepts(fill));
    // A length that does not even count itself, at the very end of the file.
    Bytes cut(jpeg.begin(), jpeg.begin() + static_cast<std::ptrdiff_t>(at));
    Append(&cut, {0xFF, part.marker, 0, 1});
    EXPECT_FALSE(Accepts(cut)) << int{part.marker};
    at += right + 2;
  }
}

}  // namespace
}  // namespace stoker
