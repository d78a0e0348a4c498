#include "codec/exif.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace stoker {
namespace {

using Bytes = std::vector<uint8_t>;

// Types of a TIFF entry's value.
enum Type {
  kByte = 1,
  kAscii = 2,
  kShort = 3,
  kLong = 4,
  kRational = 5,
  kSignedByte = 6,
  kUndefined = 7,
  kSignedShort = 8,
  kSignedLong = 9,
  kSignedRational = 10,
  kFloat = 11,
  kDouble = 12,
  kIfd = 13,
  kLong8 = 16,
};

constexpr uint32_t kMake = 0x010F;
constexpr uint32_t kOrientation = 0x0112;

// Writes a TIFF structure entry by entry. Values longer than four bytes go behind the directory.
class Tiff {
 public:
  explicit Tiff(bool big_endian) : big_endian_(big_endian) {}

  // `number` in each of `count` values of `bytes` bytes.
  Tiff& Add(uint32_t tag, uint32_t type, uint32_t count, uint64_t number, int bytes) {
    Bytes value;
    for (uint32_t i = 0; i < count; ++i) Put(&value, number, bytes);
    return AddBytes(tag, type, count, value);
  }
  Tiff& AddBytes(uint32_t tag, uint32_t type, uint32_t count, const Bytes& value) {
    entries_.push_back({tag, type, count, value, 0});
    return *this;
  }
  // An entry whose value is said to stand at `offset`.
  Tiff& AddAt(uint32_t tag, uint32_t type, uint32_t count, uint32_t offset) {
    entries_.push_back({tag, type, count, {}, offset});
    return *this;
  }

  Bytes Make(const std::string& magic = "") const {
    Bytes out;
    for (const char c : magic.empty() ? Magic() : magic) out.push_back(static_cast<uint8_t>(c));
    Put(&out, 8, 4);
    Put(&out, entries_.size(), 2);
    Bytes far;
    const size_t far_begin = 8 + 2 + 12 * entries_.size() + 4;
    for (const Entry& entry : entries_) {
      Put(&out, entry.tag, 2);
      Put(&out, entry.type, 2);
      Put(&out, entry.count, 4);
      if (entry.value.size() > 4) {
        Put(&out, far_begin + far.size(), 4);
        far.insert(far.end(), entry.value.begin(), entry.value.end());
      } else if (entry.value.empty()) {
        Put(&out, entry.offset, 4);
      } else {
        out.insert(out.end(), entry.value.begin(), entry.value.end());
        out.insert(out.end(), 4 - entry.value.size(), 0);
      }
    }
    Put(&out, 0, 4);
    out.insert(out.end(), far.begin(), far.end());
    return out;
  }

  void Put(Bytes* out, uint64_t number, int bytes) const {
    for (int i = 0; i < bytes; ++i) {
      out->push_back(static_cast<uint8_t>(number >> 8 * (big_endian_ ? bytes - 1 - i : i)));
    }
  }

 private:
  struct Entry {
    uint32_t tag, type, count;
    Bytes value;
    uint32_t offset;
  };

  std::string Magic() const {
    return big_endian_ ? std::string("MM\0*", 4) : std::string("II*\0", 4);
  }

  bool big_endian_;
  std::vector<Entry> entries_;
};

// From memory of exactly its size, so that reading beyond it is seen by the address sanitizer.
int Orientation(const Bytes& exif) {
  const auto exact = std::make_unique<uint8_t[]>(exif.size());
  if (!exif.empty()) std::memcpy(exact.get(), exif.data(), exif.size());
  return ExifOrientation({exact.get(), exif.size()});
}

int Xmp(const std::string& text) {
  return XmpOrientation({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
}

Bytes Prefixed(const std::string& prefix, const Bytes& exif) {
  Bytes out(prefix.begin(), prefix.end());
  out.insert(out.end(), exif.begin(), exif.end());
  return out;
}

class ExifOrientationTest : public ::testing::TestWithParam<bool> {
 protected:
  Tiff New() const { return Tiff(GetParam()); }
};

TEST_P(ExifOrientationTest, IsReadAsAnyTypeOfNumber) {
  for (int o = 1; o <= 8; ++o) {
    const auto n = static_cast<uint64_t>(o);
    EXPECT_EQ(Orientation(New().Add(kOrientation, kShort, 1, n, 2).Make()), o);
    EXPECT_EQ(Orientation(New().Add(kOrientation, kLong, 1, n, 4).Make()), o);
    EXPECT_EQ(Orientation(New().Add(kOrientation, kIfd, 1, n, 4).Make()), o);
    EXPECT_EQ(Orientation(New().Add(kOrientation, kLong8, 1, n, 8).Make()), o);
    EXPECT_EQ(Orientation(New().Add(kOrientation, kSignedByte, 1, n, 1).Make()), o);
    EXPECT_EQ(Orientation(New().Add(kOrientation, kSignedShort, 1, n, 2).Make()), o);
    EXPECT_EQ(Orientation(New().Add(kOrientation, kSignedLong, 1, n, 4).Make()), o);
    Bytes quotient;  // 3 n / 3
    New().Put(&quotient, 3 * n, 4);
    New().Put(&quotient, 3, 4);
    for (const Type type : {kRational, kSignedRational}) {
      EXPECT_EQ(Orientation(New().AddBytes(kOrientation, type, 1, quotient).Make()), o);
    }
    const auto as_float = static_cast<float>(o);
    const auto as_double = static_cast<double>(o);
    uint32_t bits32 = 0;
    uint64_t bits64 = 0;
    std::memcpy(&bits32, &as_float, 4);
    std::memcpy(&bits64, &as_double, 8);
    EXPECT_EQ(Orientation(New().Add(kOrientation, kFloat, 1, bits32, 4).Make()), o);
    EXPECT_EQ(Orientation(New().Add(kOrientation, kDouble, 1, bits64, 8).Make()), o);
  }
}

TEST_P(ExifOrientationTest, TheFirstOfSeveralValuesCounts) {
  Bytes values;
  for (const uint64_t value : {6, 3, 1}) New().Put(&values, value, 2);
  EXPECT_EQ(Orientation(New().AddBytes(kOrientation, kShort, 3, values).Make()), 6);
  values.resize(4);
  EXPECT_EQ(Orientation(New().AddBytes(kOrientation, kShort, 2, values).Make()), 6);
}

TEST_P(ExifOrientationTest, TheFirstOfSeveralEntriesWithAValueCounts) {
  EXPECT_EQ(Orientation(New()
                            .Add(kOrientation, kShort, 0, 8, 2)  // of no value
                            .Add(kOrientation, 99, 1, 7, 4)      // of no known type
                            .Add(kOrientation, kShort, 1, 6, 2)
                            .Add(kOrientation, kShort, 1, 3, 2)
                            .Make()),
            6);
}

TEST_P(ExifOrientationTest, WhatNamesNoneOfTheEightIsUpright) {
  for (const uint64_t n : {0, 9, 255, 0x0600, 65535}) {
    EXPECT_EQ(Orientation(New().Add(kOrientation, kShort, 1, n, 2).Make()), 1) << n;
  }
  EXPECT_EQ(Orientation(New().Add(kOrientation, kLong, 1, 0x10006, 4).Make()), 1);
  for (const Type type : {kByte, kAscii, kUndefined}) {
    EXPECT_EQ(Orientation(New().Add(kOrientation, type, 1, 6, 1).Make()), 1) << type;
  }
  Bytes quotient;
  for (const auto& [numerator, denominator] :
       {std::pair{6U, 0U}, {13U, 2U}, {0x80000000U, 0xFFFFFFFFU}}) {
    quotient.clear();
    New().Put(&quotient, numerator, 4);
    New().Put(&quotient, denominator, 4);
    for (const Type type : {kRational, kSignedRational}) {
      EXPECT_EQ(Orientation(New().AddBytes(kOrientation, type, 1, quotient).Make()), 1);
    }
  }
}

TEST_P(ExifOrientationTest, NothingIsSaidWithoutTheTag) {
  EXPECT_EQ(Orientation(New().Make()), 0);
  EXPECT_EQ(Orientation(New().Add(kMake, kShort, 1, 6, 2).Make()), 0);
  EXPECT_EQ(ExifOrientation({}), 0);
  EXPECT_EQ(Orientation(Prefixed(std::string("Exif\0\0", 6), {})), 0);
}

TEST_P(ExifOrientationTest, AnEntryThatReachesBeyondTheBlockEndsTheDirectory) {
  const Bytes behind =
      New().AddAt(kMake, kAscii, 10, 4000).Add(kOrientation, kShort, 1, 6, 2).Make();
  EXPECT_EQ(Orientation(behind), 0);
  const Bytes before =
      New().Add(kOrientation, kShort, 1, 6, 2).AddAt(kMake, kAscii, 10, 4000).Make();
  EXPECT_EQ(Orientation(before), 6);
}

TEST_P(ExifOrientationTest, AValueLongerThanTheBlockIsPassedOver) {
  const Bytes exif =
      New().AddAt(kMake, kLong, 0xFFFFFFFF, 8).Add(kOrientation, kShort, 1, 6, 2).Make();
  EXPECT_EQ(Orientation(exif), 6);
}

TEST_P(ExifOrientationTest, OneOrTwoPrefixesArePassedOver) {
  const Bytes exif = New().Add(kOrientation, kShort, 1, 6, 2).Make();
  const std::string prefix("Exif\0\0", 6);
  EXPECT_EQ(Orientation(exif), 6);
  EXPECT_EQ(Orientation(Prefixed(prefix, exif)), 6);
  EXPECT_EQ(Orientation(Prefixed(prefix + prefix, exif)), 6);
  EXPECT_EQ(Orientation(Prefixed(prefix + prefix + prefix, exif)), 1);
}

TEST_P(ExifOrientationTest, TheMagicNumberMayBeSwapped) {
  const Tiff tiff = New().Add(kOrientation, kShort, 1, 6, 2);
  const std::string order = GetParam() ? "MM" : "II";
  EXPECT_EQ(Orientation(tiff.Make(order + std::string("\0*", 2))), 6);
  EXPECT_EQ(Orientation(tiff.Make(order + std::string("*\0", 2))), 6);
  for (const std::string& magic :
       {order + "**", order + std::string("\0,", 2), std::string("IM*\0", 4)}) {
    EXPECT_EQ(Orientation(tiff.Make(magic)), 1) << magic;
  }
  // BigTIFF.
  EXPECT_EQ(
      Orientation(Tiff(true).Add(kOrientation, kShort, 1, 6, 2).Make(std::string("MM\0+", 4))), 6);
  EXPECT_EQ(
      Orientation(Tiff(false).Add(kOrientation, kShort, 1, 6, 2).Make(std::string("II+\0", 4))), 1);
}

TEST_P(ExifOrientationTest, DamageNeverReachesBeyondTheBlock) {
  const Bytes exif =
      Prefixed(std::string("Exif\0\0", 6),
               New().Add(kMake, kAscii, 9, 'x', 1).Add(kOrientation, kShort, 1, 6, 2).Make());
  std::mt19937 random(6);
  for (int i = 0; i < 20'000; ++i) {
    Bytes damaged = exif;
    damaged.resize(random() % (exif.size() + 1));
    for (auto flips = random() % 4; flips < 4 && !damaged.empty(); ++flips) {
      damaged[random() % damaged.size()] = static_cast<uint8_t>(random());
    }
    const int orientation = Orientation(damaged);
    EXPECT_GE(orientation, 0);
    EXPECT_LE(orientation, 8);
  }
}

INSTANTIATE_TEST_SUITE_P(ByteOrders, ExifOrientationTest, ::testing::Bool(), [](const auto& test) {
  return test.param ? "BigEndian" : "LittleEndian";
});

TEST(XmpOrientation, IsReadAsAttributeAndAsElement) {
  for (int o = 1; o <= 8; ++o) {
    const std::string digit = std::to_string(o);
    EXPECT_EQ(Xmp("<rdf:Description tiff:Orientation=\"" + digit + "\"/>"), o);
    EXPECT_EQ(Xmp("<tiff:Orientation>" + digit + "</tiff:Orientation>"), o);
  }
}

TEST(XmpOrientation, TheFirstMatchCounts) {
  EXPECT_EQ(Xmp("tiff:Orientation='8' tiff:Orientation=\"x\" tiff:Orientation>7 "
                "tiff:Orientation=\"2\""),
            7);
}

TEST(XmpOrientation, OtherDigitsMeanUprightAndNoDigitSaysNothing) {
  EXPECT_EQ(Xmp("tiff:Orientation>0"), 1);
  EXPECT_EQ(Xmp("tiff:Orientation>9"), 1);
  for (const char* text : {"", "tiff:Orientation", "tiff:Orientation>", "tiff:Orientation=\"",
                           "tiff:Orientation= \"6\"", "exif:Orientation=\"6\""}) {
    EXPECT_EQ(Xmp(text), 0) << text;
  }
  EXPECT_EQ(XmpOrientation({}), 0);
}

}  // namespace
}  // namespace stoker
