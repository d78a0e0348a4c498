// Images and files for tests: everything is made here, nothing is downloaded.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/bytes.h"

namespace stoker::testing {

using Bytes = std::vector<uint8_t>;

inline ByteSpan Span(const Bytes& bytes) { return {bytes.data(), bytes.size()}; }

struct JpegSpec {
  int width = 64;
  int height = 48;
  int components = 3;  // 1: gray, 3: YCbCr, 4: CMYK (stored inverted with an Adobe marker)
  bool ycck = false;   // with 4 components: YCCK in place of CMYK
  int h_sampling = 2;  // of the first component, the others have 1: 2 × 2 is 4:2:0
  int v_sampling = 2;
  int quality = 90;
  bool progressive = false;
  bool arithmetic = false;
  int restart_interval = 0;  // in MCUs; 0: none
  uint32_t seed = 1;         // of the picture: a smooth one with noise and edges
};

// A JPEG file by libjpeg.
Bytes MakeJpeg(const JpegSpec& spec);

// `jpeg` with an EXIF APP1 segment behind its SOI that says `orientation`.
Bytes WithExifOrientation(const Bytes& jpeg, int orientation, bool big_endian = false);

// The whole image by libjpeg's plain interface (islow, fancy upsampling, out_color_space RGB, or
// for four components the raw CMYK): the oracle. Rows are width × channels bytes.
Bytes DecodeWithLibjpeg(const Bytes& jpeg, int* width, int* height, int* channels);

// Uncompressed files of these formats, written byte by byte. `rgb`: width × height × 3.
Bytes MakePpm(int width, int height, const Bytes& rgb);
Bytes MakeBmp(int width, int height, const Bytes& rgb);

// A smooth picture with noise and edges, width × height × 3.
Bytes MakeRgb(int width, int height, uint32_t seed);

// A folder that is removed with all it holds at the end of its life.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::string& path() const { return path_; }
  // Writes a file and returns its path.
  std::string Write(const std::string& name, const Bytes& bytes) const;

 private:
  std::string path_;
};

}  // namespace stoker::testing
