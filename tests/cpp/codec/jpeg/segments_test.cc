#include "codec/jpeg/segments.h"

#include <gtest/gtest.h>

#include <csetjmp>
#include <cstdint>
#include <cstdio>  // jpeglib.h needs FILE
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <jpeglib.h>

#include "support/jpeg_writer.h"
#include "support/test_images.h"

namespace stoker {
namespace {

using testing::Append;
using testing::Bytes;
using testing::MakeJpeg;
using testing::Segment;
using testing::Span;

struct Found {
  int marker;
  Bytes body;
  bool plain;
};

std::vector<Found> Read(const Bytes& jpeg, size_t* end = nullptr) {
  // Of exactly this size, so that reading beyond it is seen by the address sanitizer.
  const auto exact = std::make_unique<uint8_t[]>(jpeg.size());
  if (!jpeg.empty()) std::memcpy(exact.get(), jpeg.data(), jpeg.size());
  std::vector<Found> found;
  JpegSegments segments({exact.get(), jpeg.size()});
  JpegSegment segment;
  while (segments.Next(&segment)) {
    found.push_back(
        {segment.marker, Bytes(segment.body.begin(), segment.body.end()), segment.plain});
  }
  EXPECT_FALSE(segments.Next(&segment)) << "the end stays the end";
  if (end != nullptr) *end = segments.end();
  return found;
}

const Bytes kStart = {0xFF, 0xD8};

// `between`, between APP2 of one byte and the start of the scan.
Bytes Around(const Bytes& between) {
  Bytes jpeg = kStart;
  Append(&jpeg, Segment(kApp1 + 1, {7}));
  Append(&jpeg, between);
  Append(&jpeg, Segment(kSos, {}));
  Append(&jpeg, Segment(kApp1, {9}));  // behind the header: no segment of it
  return jpeg;
}

TEST(JpegSegments, OfAnOrdinaryFileArePlain) {
  const Bytes jpeg = MakeJpeg({});
  size_t end = 0;
  const std::vector<Found> found = Read(jpeg, &end);
  EXPECT_EQ(found.front().marker, kApp0);
  EXPECT_EQ(found.back().marker, kSos);
  EXPECT_EQ(found.back().body.size(), 10U);
  for (const Found& segment : found) EXPECT_TRUE(segment.plain) << segment.marker;
  EXPECT_EQ(jpeg[end - 3], 0) << "behind the scan's Ss, Se, and Ah and Al";
  EXPECT_EQ(jpeg[end - 2], 63);
  EXPECT_EQ(jpeg[end - 1], 0);
}

TEST(JpegSegments, AreFoundBehindWhatLibjpegPassesOver) {
  for (const Bytes& stray : {Bytes{1, 2, 3}, Bytes{0xFF, 0}, Bytes{0xFF, 0xFF}, Bytes{0},
                             Bytes{0xFF, 0xFF, 0, 0xFF, 0, 5, 0xFF}}) {
    const std::vector<Found> found = Read(Around(stray));
    ASSERT_EQ(found.size(), 2U);
    EXPECT_TRUE(found[0].plain);
    EXPECT_EQ(found[1].marker, kSos);
    EXPECT_FALSE(found[1].plain);
  }
}

TEST(JpegSegments, MarkersThatStandAloneHaveNoLength) {
  for (const uint8_t marker : Bytes{0x01, 0xD0, 0xD7}) {
    const std::vector<Found> found = Read(Around({0xFF, marker}));
    ASSERT_EQ(found.size(), 3U) << int{marker};
    EXPECT_EQ(found[1].marker, marker);
    EXPECT_FALSE(found[1].plain);
    EXPECT_TRUE(found[2].plain);
  }
}

TEST(JpegSegments, ALengthTooSmallToCountItselfIsTwo) {
  for (const uint8_t length : Bytes{0, 1, 2}) {
    const std::vector<Found> found = Read(Around({0xFF, kCom, 0, length}));
    ASSERT_EQ(found.size(), 3U) << int{length};
    EXPECT_EQ(found[1].body.size(), 0U);
    EXPECT_EQ(found[1].plain, length == 2);
    EXPECT_TRUE(found[2].plain);
  }
}

TEST(JpegSegments, WhatLibjpegRefusesEndsTheHeader) {
  for (const uint8_t marker : Bytes{0x02, 0xBF, 0xD8, 0xD9, 0xF0, 0xFD}) {
    EXPECT_EQ(Read(Around({0xFF, marker, 0, 2})).size(), 1U) << int{marker};
  }
  EXPECT_EQ(Read(Around({0xFF, kCom, 0xFF, 0xFF})).size(), 1U) << "longer than the file";
  for (const Bytes& other : {Bytes{}, Bytes{0xFF}, Bytes{0xFF, 0xD8}, Bytes{0, 0, 0xFF, 0xD8, 0}}) {
    EXPECT_EQ(Read(other).size(), 0U);
  }
}

// ---- libjpeg as the oracle -------------------------------------------------------------------

struct ErrorManager {
  jpeg_error_mgr base;  // first: libjpeg's pointer to it is a pointer to this
  std::jmp_buf jump;
};

[[noreturn]] void OnError(j_common_ptr cinfo) {
  std::longjmp(reinterpret_cast<ErrorManager*>(cinfo->err)->jump, 1);
}

bool TryReadHeader(jpeg_decompress_struct* cinfo, ErrorManager* errors, ByteSpan jpeg) {
  if (setjmp(errors->jump) != 0) return false;
  jpeg_create_decompress(cinfo);
  jpeg_mem_src(cinfo, jpeg.data, static_cast<unsigned long>(jpeg.size));  // NOLINT: libjpeg's
  for (int i = 0; i < 16; ++i) jpeg_save_markers(cinfo, JPEG_APP0 + i, 0xFFFF);
  jpeg_save_markers(cinfo, JPEG_COM, 0xFFFF);
  return jpeg_read_header(cinfo, TRUE) == JPEG_HEADER_OK;
}

// The APPn and COM segments that libjpeg finds in front of the first scan; false: it finds no
// image.
bool ReadWithLibjpeg(const Bytes& jpeg, std::vector<Found>* found) {
  jpeg_decompress_struct cinfo{};
  ErrorManager errors{};
  cinfo.err = jpeg_std_error(&errors.base);
  errors.base.error_exit = &OnError;
  errors.base.emit_message = [](j_common_ptr, int) {};
  const bool read = TryReadHeader(&cinfo, &errors, Span(jpeg));
  for (jpeg_saved_marker_ptr m = cinfo.marker_list; read && m != nullptr; m = m->next) {
    found->push_back({m->marker, Bytes(m->data, m->data + m->data_length), false});
  }
  jpeg_destroy_decompress(&cinfo);
  return read;
}

// Things to put between two segments, usual and not.
Bytes Something(std::mt19937* random) {
  const auto byte = [&] { return static_cast<uint8_t>((*random)()); };
  switch ((*random)() % 7) {
    case 0: return {byte(), byte(), byte()};
    case 1: return {0xFF, 0};
    case 2: return {0xFF};
    case 3: return {0xFF, static_cast<uint8_t>(0xD0 + byte() % 8)};
    case 4: return {0xFF, 0x01};
    case 5:
      return {0xFF, static_cast<uint8_t>(0xE0 + byte() % 16), 0, static_cast<uint8_t>(byte() % 3)};
    default: return Segment(static_cast<uint8_t>(0xE0 + byte() % 16), Bytes(byte() % 40, byte()));
  }
}

TEST(JpegSegments, AreThoseThatLibjpegFinds) {
  const Bytes jpeg = MakeJpeg({});
  std::vector<size_t> begins;  // of the segments
  for (size_t at = 2; jpeg[at + 1] != kSos;) {
    begins.push_back(at);
    at += 2 + (static_cast<size_t>(jpeg[at + 2]) << 8 | jpeg[at + 3]);
  }
  std::mt19937 random(11);
  int readable = 0;
  for (int i = 0; i < 4000; ++i) {
    Bytes file = jpeg;
    for (auto n = random() % 4; n < 4; ++n) {
      const size_t at = begins[random() % begins.size()];
      const Bytes something = Something(&random);
      file.insert(file.begin() + static_cast<std::ptrdiff_t>(at), something.begin(),
                  something.end());
    }
    if (random() % 4 == 0) file[2 + random() % 300] = static_cast<uint8_t>(random());
    std::vector<Found> expected;
    if (!ReadWithLibjpeg(file, &expected)) continue;
    ++readable;
    std::vector<Found> found;
    for (Found& segment : Read(file)) {
      const bool saved =
          (segment.marker >= kApp0 && segment.marker <= kApp15) || segment.marker == kCom;
      if (saved) found.push_back(std::move(segment));
    }
    // Those with a length below 2 libjpeg does not save; ours are empty.
    const auto bodies = [](const std::vector<Found>& segments) {
      std::string text;
      for (const Found& s : segments) {
        if (s.body.empty()) continue;
        text += std::to_string(s.marker) + ":" + std::string(s.body.begin(), s.body.end()) + "|";
      }
      return text;
    };
    ASSERT_EQ(bodies(found), bodies(expected)) << "file " << i;
  }
  EXPECT_GT(readable, 1000);
}

}  // namespace
}  // namespace stoker
