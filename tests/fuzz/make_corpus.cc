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

// The file itself, and behind four bytes that choose a part of it.
void WriteJpeg(const std::filesystem::path& out, const std::string& name, const Bytes& jpeg) {
  Write(out / "fuzz_jpeg_coefficients", name, jpeg);
  Bytes with_part = {90, 70, 128, 60};
  with_part.insert(with_part.end(), jpeg.begin(), jpeg.end());
  Write(out / "fuzz_jpeg_pixels", name, with_part);
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

// Every kernel with a few sets of numbers.
void WriteKernelInputs(const std::filesystem::path& out) {
  std::mt19937 random(1);
  for (uint8_t kernel = 0; kernel < 6; ++kernel) {
    for (int i = 0; i < 16; ++i) {
      Bytes bytes(200 + random() % 600);
      for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
      bytes[0] = kernel;
      Write(out / "fuzz_kernels", std::to_string(kernel) + "_" + std::to_string(i), bytes);
    }
  }
}

Bytes ReadBytes(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

Bytes Behind(const Bytes& first, const Bytes& rest) {
  Bytes bytes = first;
  bytes.insert(bytes.end(), rest.begin(), rest.end());
  return bytes;
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
      Bytes bytes(20 + random() % 400);
      for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
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
  stoker::fuzz::WriteKernelInputs(argv[1]);
  stoker::fuzz::WriteIndexes(argv[1]);
  return 0;
}
