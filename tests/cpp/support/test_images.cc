#include "support/test_images.h"

#include <jpeglib.h>

#include <algorithm>
#include <csetjmp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <stdexcept>

namespace stoker::testing {
namespace {

// libjpeg's failures come back through longjmp, so that nothing unwinds through C frames.
struct ErrorManager {
  jpeg_error_mgr base;
  std::jmp_buf failed;
  char reason[JMSG_LENGTH_MAX];
};

void FailWithJump(j_common_ptr info) {
  auto* errors = reinterpret_cast<ErrorManager*>(info->err);
  info->err->format_message(info, errors->reason);
  std::longjmp(errors->failed, 1);
}

void Silent(j_common_ptr, int) {}

jpeg_error_mgr* Install(ErrorManager* errors) {
  jpeg_std_error(&errors->base);
  errors->base.error_exit = FailWithJump;
  errors->base.emit_message = Silent;
  return &errors->base;
}

J_COLOR_SPACE StoredSpace(const JpegSpec& spec) {
  if (spec.components == 1) return JCS_GRAYSCALE;
  if (spec.components == 3) return spec.stored_rgb ? JCS_RGB : JCS_YCbCr;
  return spec.ycck ? JCS_YCCK : JCS_CMYK;
}

// Between setjmp and longjmp: no object with a destructor may live in this function.
bool Compress(const JpegSpec& spec, const uint8_t* pixels, ErrorManager* errors, uint8_t** file,
              unsigned long* file_bytes) {
  jpeg_compress_struct info{};
  info.err = Install(errors);
  if (setjmp(errors->failed) != 0) {
    jpeg_destroy_compress(&info);
    return false;
  }
  jpeg_create_compress(&info);
  jpeg_mem_dest(&info, file, file_bytes);
  info.image_width = static_cast<JDIMENSION>(spec.width);
  info.image_height = static_cast<JDIMENSION>(spec.height);
  info.input_components = spec.components;
  info.in_color_space = spec.components == 1   ? JCS_GRAYSCALE
                        : spec.components == 3 ? JCS_RGB
                                               : JCS_CMYK;
  jpeg_set_defaults(&info);
  jpeg_set_colorspace(&info, StoredSpace(spec));
  if (spec.stored_rgb) info.write_Adobe_marker = TRUE;
  jpeg_set_quality(&info, spec.quality, spec.wide_quant ? FALSE : TRUE);
  for (int i = 0; i < spec.components; ++i) {
    info.comp_info[i].h_samp_factor = i == 0 ? spec.h_sampling : spec.chroma_h;
    info.comp_info[i].v_samp_factor = i == 0 ? spec.v_sampling : spec.chroma_v;
  }
  info.arith_code = spec.arithmetic ? TRUE : FALSE;
  info.restart_interval = static_cast<unsigned>(spec.restart_interval);
  info.optimize_coding = spec.optimize ? TRUE : FALSE;
  if (spec.progressive) jpeg_simple_progression(&info);
  static constexpr jpeg_scan_info kOneEach[] = {
      {1, {0}, 0, 63, 0, 0}, {1, {1}, 0, 63, 0, 0}, {1, {2}, 0, 63, 0, 0}, {1, {3}, 0, 63, 0, 0}};
  if (spec.separate_scans) {
    info.scan_info = kOneEach;
    info.num_scans = spec.components;
  }
  jpeg_start_compress(&info, TRUE);
  const size_t row_bytes = static_cast<size_t>(spec.width) * static_cast<size_t>(spec.components);
  while (info.next_scanline < info.image_height) {
    JSAMPROW row = const_cast<JSAMPROW>(pixels + info.next_scanline * row_bytes);
    jpeg_write_scanlines(&info, &row, 1);
  }
  jpeg_finish_compress(&info);
  jpeg_destroy_compress(&info);
  return true;
}

// As above; the caller, who has called setjmp, destroys `info`.
void ReadHeader(const Bytes& jpeg, jpeg_decompress_struct* info) {
  jpeg_create_decompress(info);
  jpeg_mem_src(info, jpeg.data(), static_cast<unsigned long>(jpeg.size()));
  jpeg_read_header(info, TRUE);
}

// `pixels` lives in the caller's frame, which longjmp does not skip.
bool Decompress(const Bytes& jpeg, ErrorManager* errors, Bytes* pixels, int* width, int* height,
                int* channels) {
  jpeg_decompress_struct info{};
  info.err = Install(errors);
  if (setjmp(errors->failed) != 0) {
    jpeg_destroy_decompress(&info);
    return false;
  }
  ReadHeader(jpeg, &info);
  info.out_color_space = info.num_components == 4 ? JCS_CMYK : JCS_RGB;
  jpeg_start_decompress(&info);
  *width = static_cast<int>(info.output_width);
  *height = static_cast<int>(info.output_height);
  *channels = info.output_components;
  const size_t row_bytes = static_cast<size_t>(*width) * static_cast<size_t>(*channels);
  pixels->resize(row_bytes * info.output_height);
  while (info.output_scanline < info.output_height) {
    JSAMPROW row = pixels->data() + info.output_scanline * row_bytes;
    jpeg_read_scanlines(&info, &row, 1);
  }
  jpeg_finish_decompress(&info);
  jpeg_destroy_decompress(&info);
  return true;
}

// As above.
bool ReadAllCoefficients(const Bytes& jpeg, ErrorManager* errors, std::vector<int16_t>* values) {
  jpeg_decompress_struct info{};
  info.err = Install(errors);
  if (setjmp(errors->failed) != 0) {
    jpeg_destroy_decompress(&info);
    return false;
  }
  ReadHeader(jpeg, &info);
  jvirt_barray_ptr* arrays = jpeg_read_coefficients(&info);
  const auto round_up = [](JDIMENSION n, int to) {
    const auto unit = static_cast<JDIMENSION>(to);
    return (n + unit - 1) / unit * unit;
  };
  for (int c = 0; c < info.num_components; ++c) {
    const jpeg_component_info& k = info.comp_info[c];
    const bool single = info.num_components == 1;  // its MCUs are single blocks, whatever it says
    const JDIMENSION across = round_up(k.width_in_blocks, single ? 1 : k.h_samp_factor);
    const JDIMENSION down = round_up(k.height_in_blocks, single ? 1 : k.v_samp_factor);
    for (JDIMENSION y = 0; y < down; ++y) {
      JBLOCKARRAY rows = info.mem->access_virt_barray(reinterpret_cast<j_common_ptr>(&info),
                                                      arrays[c], y, 1, FALSE);
      values->insert(values->end(), rows[0][0], rows[0][across]);
    }
  }
  jpeg_destroy_decompress(&info);
  return true;
}

// The picture of MakeRgb with any number of channels: waves, noise and a grid of hard edges.
Bytes MakePicture(int width, int height, int channels, uint32_t seed) {
  std::mt19937 random(seed);
  const int slope_x = 1 + static_cast<int>(random() % 5);
  const int slope_y = 1 + static_cast<int>(random() % 5);
  const int tile = 7 + static_cast<int>(random() % 9);
  Bytes pixels;
  pixels.reserve(static_cast<size_t>(width) * static_cast<size_t>(height) *
                 static_cast<size_t>(channels));
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const int edge = (x / tile + y / tile) % 4 == 0 ? 90 : 0;
      for (int c = 0; c < channels; ++c) {
        const int ramp = (slope_x * x * (c + 1) + slope_y * y * (3 - c)) % 512;
        const int wave = std::abs(ramp - (ramp < 0 ? -256 : 256)) / 2;
        const int noise = static_cast<int>(random() % 17) - 8;
        pixels.push_back(static_cast<uint8_t>(std::clamp(wave + edge + noise, 0, 255)));
      }
    }
  }
  return pixels;
}

void Put(Bytes* out, uint32_t value, int bytes, bool big_endian) {
  for (int i = 0; i < bytes; ++i) {
    const int shift = 8 * (big_endian ? bytes - 1 - i : i);
    out->push_back(static_cast<uint8_t>(value >> shift));
  }
}

void PutText(Bytes* out, const std::string& text) {
  out->insert(out->end(), text.begin(), text.end());
}

}  // namespace

Bytes MakeJpeg(const JpegSpec& spec) {
  const Bytes pixels = MakePicture(spec.width, spec.height, spec.components, spec.seed);
  ErrorManager errors;
  uint8_t* file = nullptr;
  unsigned long file_bytes = 0;
  const bool done = Compress(spec, pixels.data(), &errors, &file, &file_bytes);
  Bytes jpeg(file, file + file_bytes);
  std::free(file);
  if (!done) throw std::runtime_error(std::string("libjpeg cannot write: ") + errors.reason);
  return jpeg;
}

Bytes WithExifOrientation(const Bytes& jpeg, int orientation, bool big_endian) {
  Bytes exif;
  PutText(&exif, std::string("Exif\0\0", 6));
  PutText(&exif, big_endian ? "MM" : "II");
  Put(&exif, 42, 2, big_endian);
  Put(&exif, 8, 4, big_endian);       // where the first directory begins
  Put(&exif, 1, 2, big_endian);       // entries in it
  Put(&exif, 0x0112, 2, big_endian);  // orientation
  Put(&exif, 3, 2, big_endian);       // SHORT
  Put(&exif, 1, 4, big_endian);       // one value
  Put(&exif, static_cast<uint32_t>(orientation), 2, big_endian);
  Put(&exif, 0, 2, big_endian);  // the rest of the value's four bytes
  Put(&exif, 0, 4, big_endian);  // no further directory
  Bytes out(jpeg.begin(), jpeg.begin() + 2);
  Put(&out, 0xFFE1, 2, true);
  Put(&out, static_cast<uint32_t>(exif.size() + 2), 2, true);
  out.insert(out.end(), exif.begin(), exif.end());
  out.insert(out.end(), jpeg.begin() + 2, jpeg.end());
  return out;
}

Bytes DecodeWithLibjpeg(const Bytes& jpeg, int* width, int* height, int* channels) {
  ErrorManager errors;
  Bytes pixels;
  if (!Decompress(jpeg, &errors, &pixels, width, height, channels)) {
    throw std::runtime_error(std::string("libjpeg cannot read: ") + errors.reason);
  }
  return pixels;
}

std::vector<int16_t> ReadCoefficientsWithLibjpeg(const Bytes& jpeg) {
  ErrorManager errors;
  std::vector<int16_t> values;
  if (!ReadAllCoefficients(jpeg, &errors, &values)) {
    throw std::runtime_error(std::string("libjpeg cannot read: ") + errors.reason);
  }
  return values;
}

Bytes MakePpm(int width, int height, const Bytes& rgb) {
  Bytes out;
  PutText(&out, "P6\n" + std::to_string(width) + " " + std::to_string(height) + "\n255\n");
  out.insert(out.end(), rgb.begin(), rgb.end());
  return out;
}

Bytes MakeBmp(int width, int height, const Bytes& rgb) {
  const size_t row_pixels = static_cast<size_t>(width);
  const size_t padding = (4 - row_pixels * 3 % 4) % 4;
  const size_t data_bytes = (row_pixels * 3 + padding) * static_cast<size_t>(height);
  constexpr uint32_t kHeaderBytes = 14 + 40;
  Bytes out;
  PutText(&out, "BM");
  Put(&out, kHeaderBytes + static_cast<uint32_t>(data_bytes), 4, false);
  Put(&out, 0, 4, false);
  Put(&out, kHeaderBytes, 4, false);
  Put(&out, 40, 4, false);  // BITMAPINFOHEADER
  Put(&out, static_cast<uint32_t>(width), 4, false);
  Put(&out, static_cast<uint32_t>(height), 4, false);  // positive: the lowest row comes first
  Put(&out, 1, 2, false);                              // planes
  Put(&out, 24, 2, false);                             // bits a pixel
  Put(&out, 0, 4, false);                              // uncompressed
  Put(&out, static_cast<uint32_t>(data_bytes), 4, false);
  for (int i = 0; i < 4; ++i) Put(&out, 0, 4, false);  // resolution and palette
  for (int y = height - 1; y >= 0; --y) {
    const uint8_t* row = rgb.data() + static_cast<size_t>(y) * row_pixels * 3;
    for (size_t x = 0; x < row_pixels; ++x) {
      out.insert(out.end(), {row[3 * x + 2], row[3 * x + 1], row[3 * x]});
    }
    out.insert(out.end(), padding, 0);
  }
  return out;
}

Bytes MakeRgb(int width, int height, uint32_t seed) { return MakePicture(width, height, 3, seed); }

TemporaryFolder::TemporaryFolder(const std::string& parent) {
  const std::filesystem::path folder =
      parent.empty() ? std::filesystem::temp_directory_path() : std::filesystem::path(parent);
  path_ = (folder / "stoker_test_XXXXXX").string();
  if (mkdtemp(path_.data()) == nullptr) throw std::runtime_error("cannot make " + path_);
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string TemporaryFolder::Write(const std::string& name, const Bytes& bytes) const {
  const std::filesystem::path path = std::filesystem::path(path_) / name;
  std::filesystem::create_directories(path.parent_path());
  std::ofstream out(path, std::ios::binary);
  out.write(reinterpret_cast<const char*>(bytes.data()),
            static_cast<std::streamsize>(bytes.size()));
  out.close();
  if (!out) throw std::runtime_error("cannot write " + path.string());
  return path.string();
}

}  // namespace stoker::testing
