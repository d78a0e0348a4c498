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
  int chroma_h = 1;  // of the components behind the first
  int chroma_v = 1;
  int quality = 90;
  bool wide_quant = false;  // factors above 255 stay as they are, in tables of 16 bits
  bool optimize = false;    // Huffman tables made for the picture, not the standard ones
  bool stored_rgb = false;  // with 3 components: RGB in place of YCbCr, which Adobe's marker says
  bool separate_scans = false;  // sequential, one scan for each component
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

// All coefficients by libjpeg (not dequantised): component by component, each of them block by
// block, row by row, up to the end of the last MCU; those of a block in natural order.
std::vector<int16_t> ReadCoefficientsWithLibjpeg(const Bytes& jpeg);

// Uncompressed files of these formats, written byte by byte. `rgb`: width × height × 3.
Bytes MakePpm(int width, int height, const Bytes& rgb);
Bytes MakeBmp(int width, int height, const Bytes& rgb);

// A smooth picture with noise and edges, width × height × 3.
Bytes MakeRgb(int width, int height, uint32_t seed);

// A folder that is removed with all it holds at the end of its life.
class TemporaryFolder {
 public:
  // In `parent`; "": where temporary files go.
  explicit TemporaryFolder(const std::string& parent = "");
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
