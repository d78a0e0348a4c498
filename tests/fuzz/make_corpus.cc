// Writes the seeds of the fuzz targets into the folder that it is given, one folder for each.
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "codec/jpeg/checkpoints.h"
#include "io/index_writer.h"
#include "support/test_images.h"

namespace stoker::fuzz {
namespace {

using testing::Bytes;
using testing::JpegSpec;
using testing::MakeJpeg;

void Write(const std::filesystem::path& folder, const std::string& name, const Bytes& bytes) {
  std::filesystem::create_directories(folder);
  std::ofstream out(folder / name, std::ios::binary);
  out.write(reinterpret_cast<const char*>(bytes.data()),
            static_cast<std::streamsize>(bytes.size()));
  out.close();
  if (!out) throw std::runtime_error("cannot write " + (folder / name).string());
}

Bytes Behind(const Bytes& first, const Bytes& rest) {
  Bytes bytes = first;
  bytes.insert(bytes.end(), rest.begin(), rest.end());
  return bytes;
}

// Four bytes that choose a part of an image.
const Bytes kPart = {90, 70, 128, 60};

// The file itself, and behind the choice of a part of it.
void WriteJpeg(const std::filesystem::path& out, const std::string& name, const Bytes& jpeg) {
  Write(out / "fuzz_jpeg_coefficients", name, jpeg);
  Write(out / "fuzz_jpeg_pixels", name, Behind(kPart, jpeg));
}

void WriteJpegs(const std::filesystem::path& out) {
  constexpr int kSamplings[][2] = {{1, 1}, {2, 1}, {2, 2}, {1, 2}, {4, 1}};
  constexpr int kSizes[][2] = {{1, 1}, {3, 2}, {8, 8}, {17, 9}, {33, 47}, {70, 20}};
  for (int kind = 0; kind < 6; ++kind) {  // the last: gray
    for (const auto& [width, height] : kSizes) {
      for (const int restart : {0, 1, 3}) {
        for (const int quality : {20, 75, 98}) {
          JpegSpec spec;
          spec.width = width;
          spec.height = height;
          spec.components = kind == 5 ? 1 : 3;
          spec.h_sampling = kind == 5 ? 1 : kSamplings[kind][0];
          spec.v_sampling = kind == 5 ? 1 : kSamplings[kind][1];
          spec.quality = quality;
          spec.restart_interval = restart;
          spec.seed = static_cast<uint32_t>(quality);
          WriteJpeg(out,
                    std::to_string(spec.h_sampling) + std::to_string(spec.v_sampling) +
                        (kind == 5 ? "gray_" : "_") + std::to_string(width) + "x" +
                        std::to_string(height) + "_r" + std::to_string(restart) + "_q" +
                        std::to_string(quality),
                    MakeJpeg(spec));
        }
      }
    }
  }
  // What our decoder leaves to libjpeg, for the fuzzer to cross with the others.
  JpegSpec spec;
  spec.width = spec.height = 20;
  spec.progressive = true;
  WriteJpeg(out, "progressive", MakeJpeg(spec));
  spec.progressive = false;
  WriteJpeg(out, "exif", testing::WithExifOrientation(MakeJpeg(spec), 6));
}

// What libjpeg-turbo alone decodes: each coding, cut behind each scan, and damaged.
void WriteTurboJpegs(const std::filesystem::path& out) {
  const std::filesystem::path folder = out / "fuzz_jpeg_turbo";
  std::mt19937 random(3);
  constexpr int kSamplings[][3] = {{1, 1, 1}, {3, 1, 1}, {3, 2, 2},
                                   {3, 4, 1}, {3, 3, 1}, {4, 1, 1}};
  for (const auto& [components, h, v] : kSamplings) {
    for (int coding = 0; coding < 8; ++coding) {
      JpegSpec spec;
      spec.width = 37;
      spec.height = 21;
      spec.components = components;
      spec.h_sampling = h;
      spec.v_sampling = v;
      spec.progressive = coding % 2 != 0;
      spec.arithmetic = coding / 2 % 2 != 0;
      spec.optimize = !spec.arithmetic && coding >= 4;
      spec.restart_interval = spec.arithmetic && coding >= 4 ? 2 : 0;
      const Bytes jpeg = MakeJpeg(spec);
      const std::string name = std::to_string(components) + "_" + std::to_string(h) +
                               std::to_string(v) + "_" + std::to_string(coding);
      Write(folder, name, Behind(kPart, jpeg));
      for (size_t at = 2; at + 1 < jpeg.size(); ++at) {
        if (jpeg[at] != 0xFF || jpeg[at + 1] != 0xDA) continue;
        const Bytes cut(jpeg.begin(), jpeg.begin() + static_cast<std::ptrdiff_t>(at));
        Write(folder, name + "_cut" + std::to_string(at), Behind(kPart, Behind(cut, {0xFF, 0xD9})));
      }
      Bytes damaged = Behind(kPart, jpeg);
      for (int i = 0; i < 3; ++i) {
        damaged[damaged.size() / 2 + random() % (damaged.size() / 2)] ^= 0x10;
      }
      Write(folder, name + "_damaged", damaged);
    }
  }
}

// Headers with EXIF and XMP, and what they hold alone.
void WriteSegments(const std::filesystem::path& out) {
  const std::filesystem::path folder = out / "fuzz_jpeg_segments";
  JpegSpec spec;
  spec.width = spec.height = 8;
  const Bytes jpeg = MakeJpeg(spec);
  spec.progressive = true;
  Write(folder, "plain", jpeg);
  Write(folder, "progressive", MakeJpeg(spec));
  const std::string xmp("http://ns.adobe.com/xap/1.0/\0<a tiff:Orientation=\"6\"/>", 54);
  Bytes segment = {0xFF, 0xE1, 0, static_cast<uint8_t>(xmp.size() + 2)};
  segment.insert(segment.end(), xmp.begin(), xmp.end());
  Write(folder, "xmp", Behind(Behind({0xFF, 0xD8}, segment), Bytes(jpeg.begin() + 2, jpeg.end())));
  for (const bool big_endian : {false, true}) {
    const Bytes turned = testing::WithExifOrientation(jpeg, 6, big_endian);
    const std::string order = big_endian ? "_big" : "_little";
    Write(folder, "exif" + order, turned);
    Write(folder, "exif_twice" + order, testing::WithExifOrientation(turned, 3, !big_endian));
    Write(folder, "block" + order, Bytes(turned.begin() + 6, turned.begin() + 6 + 32));
    Write(folder, "stray" + order,
          Behind({0xFF, 0xD8, 1, 2, 0xFF, 0, 0xFF, 0xD0}, Bytes(turned.begin() + 2, turned.end())));
  }
}

// Uncompressed ones and one line of each plain kind; the fuzzer finds the others' signatures here.
void WriteStillImages(const std::filesystem::path& out) {
  const std::filesystem::path folder = out / "fuzz_still";
  const Bytes rgb = testing::MakeRgb(13, 7, 1);
  Write(folder, "ppm", testing::MakePpm(13, 7, rgb));
  Write(folder, "bmp", testing::MakeBmp(13, 7, rgb));
  for (const std::string text :
       {"P1 3 1 101", "P2 2 1 9 3 8", "P3 1 1 255 1 2 3", "P5 2 1 255\nab", "P4 9 1\nab"}) {
    Write(folder, text.substr(0, 2), Bytes(text.begin(), text.end()));
  }
  Write(folder, "webp",
        {0x52, 0x49, 0x46, 0x46, 0x2E, 0,    0,    0,    0x57, 0x45, 0x42, 0x50, 0x56, 0x50,
         0x38, 0x4C, 0x21, 0,    0,    0,    0x2F, 0x02, 0x40, 0,    0,    0x85, 0x82, 0xB4,
         0x0D, 0x98, 0x31, 0xE5, 0xF3, 0x7D, 0x6D, 0x08, 0x08, 0x0A, 0xFE, 0x8F, 0x4E, 0x40,
         0x50, 0xE8, 0xFF, 0x68, 0xFD, 0x0F, 0xE8, 0x43, 0x13, 0x95, 0x01, 0});
  // 1 x 1 pixel each: PNG (gray, one stored block), TIFF (gray, one strip).
  Write(folder, "png",
        {0x89, 'P',  'N',  'G',  '\r', '\n', 0x1A, '\n', 0,    0,    0,    13,   'I',  'H',
         'D',  'R',  0,    0,    0,    1,    0,    0,    0,    1,    8,    0,    0,    0,
         0,    0x3A, 0x7E, 0x9B, 0x55, 0,    0,    0,    10,   'I',  'D',  'A',  'T',  0x78,
         0x9C, 0x63, 0x68, 0,    0,    0,    0x82, 0,    0x81, 0x77, 0xCD, 0x72, 0xB6, 0,
         0,    0,    0,    'I',  'E',  'N',  'D',  0xAE, 0x42, 0x60, 0x82});
  Bytes tiff = {'I', 'I', 42, 0, 8, 0, 0, 0, 8, 0};
  const uint16_t fields[][2] = {{256, 1}, {257, 1}, {258, 8}, {259, 1},
                                {262, 1}, {273, 8}, {277, 1}, {279, 1}};
  for (const auto& [tag, value] : fields) {
    for (const int byte : {tag & 255, tag >> 8, 3, 0, 1, 0, 0, 0, value & 255, value >> 8, 0, 0}) {
      tiff.push_back(static_cast<uint8_t>(byte));
    }
  }
  tiff.insert(tiff.end(), 4, 0);
  Write(folder, "tiff", tiff);
}

Bytes Numbers(size_t count, std::mt19937* random) {
  Bytes bytes(count);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>((*random)());
  return bytes;
}

// Every kernel with a few sets of numbers; and numbers alone, where they choose all there is.
void WriteNumbers(const std::filesystem::path& out) {
  std::mt19937 random(1);
  for (uint8_t kernel = 0; kernel < 6; ++kernel) {
    for (int i = 0; i < 16; ++i) {
      Bytes bytes = Numbers(200 + random() % 600, &random);
      bytes[0] = kernel;
      Write(out / "fuzz_kernels", std::to_string(kernel) + "_" + std::to_string(i), bytes);
    }
  }
  for (int i = 0; i < 64; ++i) {
    Write(out / "fuzz_steps", std::to_string(i), Numbers(300, &random));
    Write(out / "fuzz_partial_read", std::to_string(i), Numbers(60, &random));
  }
}

Bytes ReadBytes(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// Indexes of up to three blocks, as they are and with each choice of what is put right; and
// numbers, for checkpoints to be made of.
void WriteIndexes(const std::filesystem::path& out) {
  const std::filesystem::path folder = out / "fuzz_index";
  const testing::TemporaryFolder temporary;
  const std::string path = temporary.path() + "/index";
  uint64_t name = 1;
  for (int blocks = 1; blocks <= 3; ++blocks) {
    NewEntries entries;
    for (int i = 0; i < 3 * blocks; ++i) {
      Checkpoints checkpoints;
      checkpoints.size = {150, 70 + i};
      Bytes packed;
      checkpoints.Pack(&packed);
      name *= 0x9E3779B97F4A7C15;
      entries.Add(name, {100'000, i}, testing::Span(packed));
    }
    AppendToIndex(path, "/data", entries, IndexKey{});
    const Bytes index = ReadBytes(path);
    const std::string title = "blocks" + std::to_string(blocks) + "_";
    Write(folder, title + "raw", Behind({0}, index));
    for (uint8_t repairs = 0; repairs < 16; ++repairs) {
      Write(folder, title + std::to_string(repairs), Behind({1, repairs}, index));
    }
  }
  std::mt19937 random(2);
  for (uint8_t kind = 2; kind < 4; ++kind) {
    for (int i = 0; i < 32; ++i) {
      Bytes bytes = Numbers(20 + random() % 400, &random);
      bytes[0] = kind;
      Write(folder, "checkpoints" + std::to_string(kind) + "_" + std::to_string(i), bytes);
    }
  }
}

}  // namespace
}  // namespace stoker::fuzz

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: make_corpus FOLDER\n");
    return 2;
  }
  stoker::fuzz::WriteJpegs(argv[1]);
  stoker::fuzz::WriteTurboJpegs(argv[1]);
  stoker::fuzz::WriteSegments(argv[1]);
  stoker::fuzz::WriteStillImages(argv[1]);
  stoker::fuzz::WriteNumbers(argv[1]);
  stoker::fuzz::WriteIndexes(argv[1]);
  return 0;
}
