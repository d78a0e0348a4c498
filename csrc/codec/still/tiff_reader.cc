#include "codec/still/tiff_reader.h"

#include <tiffio.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <string>

#include "codec/exif.h"
#include "codec/still/pixel_rows.h"

namespace stoker {
namespace {

// What libtiff may allocate beside the pixels: coding tables and the places of strips and tiles.
constexpr tmsize_t kSlackBytes = tmsize_t{16} << 20;

// ---- the file in memory, and libtiff's messages
// --------------------------------------------------

struct MemoryFile {
  ByteSpan bytes;
  uint64_t at = 0;
  char message[160] = "";  // the first error, and the first warning beside pixels
  bool reading_pixels = false;
};

tmsize_t OnRead(thandle_t handle, void* out, tmsize_t bytes) {
  auto* file = static_cast<MemoryFile*>(handle);
  if (file->at >= file->bytes.size || bytes <= 0) return 0;
  const size_t count = std::min(static_cast<size_t>(bytes), file->bytes.size - file->at);
  std::memcpy(out, file->bytes.data + file->at, count);
  file->at += count;
  return static_cast<tmsize_t>(count);
}

toff_t OnSeek(thandle_t handle, toff_t offset, int whence) {
  auto* file = static_cast<MemoryFile*>(handle);
  if (whence == SEEK_CUR) offset += file->at;
  if (whence == SEEK_END) offset += file->bytes.size;
  file->at = offset;
  return offset;
}

tmsize_t OnWrite(thandle_t, void*, tmsize_t) { return -1; }
int OnClose(thandle_t) { return 0; }
toff_t OnSize(thandle_t handle) { return static_cast<MemoryFile*>(handle)->bytes.size; }

// Both return non-zero: libtiff's own handlers, which print, are not called.
int OnError(TIFF*, void* user, const char*, const char* format, va_list arguments) {
  auto* file = static_cast<MemoryFile*>(user);
  if (file->message[0] == '\0') {
    std::vsnprintf(file->message, sizeof file->message, format, arguments);
  }
  return 1;
}
int OnWarning(TIFF* tiff, void* user, const char* module, const char* format, va_list arguments) {
  if (!static_cast<MemoryFile*>(user)->reading_pixels) return 1;
  return OnError(tiff, user, module, format, arguments);
}

struct CloseTiff {
  void operator()(TIFF* tiff) const { TIFFClose(tiff); }
};
struct FreeOptions {
  void operator()(TIFFOpenOptions* options) const { TIFFOpenOptionsFree(options); }
};

// ---- what a file says of its image -------------------------------------------------------------

struct TiffHeader {
  Size size;
  uint16_t bits = 1;
  uint16_t samples = 1;
  uint16_t photometric = 0;
  uint16_t planes = PLANARCONFIG_CONTIG;
  uint16_t compression = COMPRESSION_NONE;
  uint16_t fill_order = FILLORDER_MSB2LSB;
  uint16_t extra = 0;  // samples beyond the colours
  bool associated_alpha = false;
  bool tiled = false;
  Size tile;  // of a strip: the image's width, and its rows
  bool little_endian = false;

  bool contiguous() const { return planes == PLANARCONFIG_CONTIG; }
};

class TiffFile {
 public:
  explicit TiffFile(ByteSpan tiff) : file_{tiff, 0, ""} {
    const std::unique_ptr<TIFFOpenOptions, FreeOptions> options(TIFFOpenOptionsAlloc());
    if (!options) throw std::bad_alloc();
    // Pixels are read into memory of ours; its own copies of tiles are no larger than the file.
    TIFFOpenOptionsSetMaxSingleMemAlloc(options.get(),
                                        kSlackBytes + static_cast<tmsize_t>(tiff.size));
    TIFFOpenOptionsSetErrorHandlerExtR(options.get(), &OnError, &file_);
    TIFFOpenOptionsSetWarningHandlerExtR(options.get(), &OnWarning, &file_);
    // "m": read, not mapped. "c": a strip stays whole, so that it is read in one piece.
    tiff_.reset(TIFFClientOpenExt("memory", "rmc", &file_, &OnRead, &OnWrite, &OnSeek, &OnClose,
                                  &OnSize, nullptr, nullptr, options.get()));
    if (!tiff_) Fail();
  }

  TIFF* get() const { return tiff_.get(); }
  // From now on a warning counts as an error: of damaged pixels some codecs only warn.
  void BeginPixels() { file_.reading_pixels = true; }
  bool complained() const { return file_.message[0] != '\0'; }
  [[noreturn]] void Fail() const {
    RefuseImage(complained() ? file_.message : "damaged or truncated");
  }
  // A field's value, or what libtiff takes for it where the file has none.
  uint16_t Short(uint32_t tag) const {
    uint16_t value = 0;
    TIFFGetFieldDefaulted(tiff_.get(), tag, &value);
    return value;
  }
  uint32_t Long(uint32_t tag) const {
    uint32_t value = 0;
    TIFFGetField(tiff_.get(), tag, &value);
    return value;
  }

 private:
  MemoryFile file_;
  std::unique_ptr<TIFF, CloseTiff> tiff_;
};

// A field as it stands in the file.
struct Field {
  uint64_t count = 0;  // of its values
  uint64_t value = 0;  // where it is one SHORT or LONG
};
using Fields = std::map<uint64_t, Field>;

// Fields by which pixels are found; Pillow and libtiff read them alike where they are numbers of
// two, four or (BigTIFF) eight bytes.
bool FindsPixels(uint64_t tag) {
  switch (tag) {
    case TIFFTAG_IMAGEWIDTH:
    case TIFFTAG_IMAGELENGTH:
    case TIFFTAG_BITSPERSAMPLE:
    case TIFFTAG_COMPRESSION:
    case TIFFTAG_PHOTOMETRIC:
    case TIFFTAG_FILLORDER:
    case TIFFTAG_STRIPOFFSETS:
    case TIFFTAG_SAMPLESPERPIXEL:
    case TIFFTAG_ROWSPERSTRIP:
    case TIFFTAG_STRIPBYTECOUNTS:
    case TIFFTAG_PLANARCONFIG:
    case TIFFTAG_COLORMAP:
    case TIFFTAG_TILEWIDTH:
    case TIFFTAG_TILELENGTH:
    case TIFFTAG_TILEOFFSETS:
    case TIFFTAG_TILEBYTECOUNTS:
    case TIFFTAG_EXTRASAMPLES:
    case TIFFTAG_SAMPLEFORMAT: return true;
    default: return false;
  }
}

// Throws where a field comes twice (libtiff takes the first, Pillow the last), or is no number.
Fields FieldsOf(ByteSpan tiff) {
  const bool big_endian = tiff[0] == 'M';
  const auto number = [&](uint64_t at, int width) {
    uint64_t value = 0;
    if (at > tiff.size || tiff.size - at < static_cast<size_t>(width)) {
      RefuseImage("its header is damaged or cut short");
    }
    for (int i = 0; i < width; ++i) {
      value = value << 8 | tiff[at + static_cast<size_t>(big_endian ? i : width - 1 - i)];
    }
    return value;
  };
  const bool big = number(2, 2) == 43;
  const uint64_t directory = big ? number(8, 8) : number(4, 4);
  const uint64_t count = number(directory, big ? 8 : 2);
  Fields fields;
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t entry = directory + (big ? 8 + 20 * i : 2 + 12 * i);
    const uint64_t tag = number(entry, 2);
    const uint64_t type = number(entry + 2, 2);
    const Field field{number(entry + 4, big ? 8 : 4),
                      number(entry + (big ? 12 : 8), type == TIFF_SHORT ? 2 : 4)};
    if (!fields.emplace(tag, field).second) {
      RefuseImage("its field " + std::to_string(tag) + " stands there twice");
    }
    if (FindsPixels(tag) && type != TIFF_SHORT && type != TIFF_LONG && type != TIFF_LONG8) {
      RefuseImage("its field " + std::to_string(tag) + " is not of a type that it may have");
    }
  }
  return fields;
}

// Whether a field is there with so many values.
bool Has(const Fields& fields, uint64_t tag, uint64_t count) {
  const auto found = fields.find(tag);
  return found != fields.end() && found->second.count == count;
}

TiffHeader ReadHeader(const TiffFile& file) {
  TiffHeader header;
  header.size = ClaimedSize(file.Long(TIFFTAG_IMAGEWIDTH), file.Long(TIFFTAG_IMAGELENGTH));
  header.bits = file.Short(TIFFTAG_BITSPERSAMPLE);
  header.samples = file.Short(TIFFTAG_SAMPLESPERPIXEL);
  header.planes = file.Short(TIFFTAG_PLANARCONFIG);
  header.compression = file.Short(TIFFTAG_COMPRESSION);
  header.fill_order = file.Short(TIFFTAG_FILLORDER);
  if (TIFFGetField(file.get(), TIFFTAG_PHOTOMETRIC, &header.photometric) == 0) {
    RefuseImage("it does not say what its samples mean");
  }
  if (file.Short(TIFFTAG_SAMPLEFORMAT) != SAMPLEFORMAT_UINT) {
    RefuseImage("samples other than unsigned integers are not supported");
  }
  uint16_t* kinds = nullptr;
  if (TIFFGetField(file.get(), TIFFTAG_EXTRASAMPLES, &header.extra, &kinds) != 0) {
    header.associated_alpha = header.extra > 0 && kinds[0] == EXTRASAMPLE_ASSOCALPHA;
  }
  header.tiled = TIFFIsTiled(file.get()) != 0;
  header.tile = header.size;
  if (header.tiled) {
    header.tile = ClaimedSize(file.Long(TIFFTAG_TILEWIDTH), file.Long(TIFFTAG_TILELENGTH));
  } else {
    uint32_t rows = 0;
    TIFFGetFieldDefaulted(file.get(), TIFFTAG_ROWSPERSTRIP, &rows);
    header.tile.height = static_cast<int>(
        std::min<uint32_t>(std::max(rows, 1U), static_cast<uint32_t>(header.size.height)));
  }
  header.little_endian = TIFFIsBigEndian(file.get()) == 0;
  return header;
}

// ---- which variants are read -------------------------------------------------------------------

bool KnownCompression(const TiffHeader& header) {
  switch (header.compression) {
    case COMPRESSION_NONE:
    case COMPRESSION_LZW:
    case COMPRESSION_ADOBE_DEFLATE:
    case COMPRESSION_DEFLATE:
    case COMPRESSION_PACKBITS: return true;
    case COMPRESSION_CCITTRLE:
    case COMPRESSION_CCITTFAX3:
    case COMPRESSION_CCITTFAX4: return header.bits == 1 && header.samples == 1;
    case COMPRESSION_JPEG: return header.bits == 8 && header.extra == 0 && header.contiguous();
    default: return false;
  }
}

bool KnownGray(const TiffHeader& header) {
  const bool white = header.photometric == PHOTOMETRIC_MINISWHITE;
  if (header.samples == 2) {
    return header.bits == 8 && header.extra == 1 && !white && !header.associated_alpha &&
           header.contiguous();
  }
  if (header.samples != 1 || header.extra != 0) return false;
  if (header.bits == 16) return !white;
  return header.bits == 1 || header.bits == 2 || header.bits == 4 || header.bits == 8;
}

bool KnownColors(const TiffHeader& header) {
  if (header.samples == 3 && header.extra == 0) {
    return header.bits == 8 || (header.bits == 16 && header.contiguous());
  }
  // Without a word on the fourth sample Pillow takes it for alpha.
  if (header.samples != 4 || header.extra > 1 || !header.contiguous()) return false;
  return header.bits == 8 || (header.bits == 16 && !header.associated_alpha);
}

bool KnownSamples(const TiffHeader& header) {
  switch (header.photometric) {
    case PHOTOMETRIC_MINISWHITE:
    case PHOTOMETRIC_MINISBLACK: return KnownGray(header);
    case PHOTOMETRIC_RGB: return KnownColors(header);
    case PHOTOMETRIC_PALETTE:
      return header.samples == 1 && header.extra == 0 && header.bits <= 8 && 8 % header.bits == 0 &&
             header.compression != COMPRESSION_JPEG;
    case PHOTOMETRIC_SEPARATED:
      return header.samples == 4 && header.extra == 0 && header.bits == 8 && header.contiguous();
    case PHOTOMETRIC_YCBCR: return header.samples == 3 && header.compression == COMPRESSION_JPEG;
    default: return false;
  }
}

// Refuses what is not known to be read as Pillow reads it.
void CheckVariant(const TiffHeader& header) {
  if (!KnownCompression(header) || TIFFIsCODECConfigured(header.compression) == 0) {
    RefuseImage("compression " + std::to_string(header.compression) + " is not supported");
  }
  const bool plain_order = header.fill_order == FILLORDER_MSB2LSB || header.bits == 1;
  if (header.bits == 0 || header.samples == 0 || !plain_order || !KnownSamples(header)) {
    RefuseImage(std::to_string(header.samples) + " samples of " + std::to_string(header.bits) +
                " bits with photometric interpretation " + std::to_string(header.photometric) +
                (header.contiguous() ? "" : " in planes of their own") + " are not supported");
  }
}

// Refuses a file whose fields do not agree with one another: libtiff and Pillow make different
// things of it.
void CheckFields(const TiffFile& file, const TiffHeader& header, const Fields& fields) {
  const bool tiled = header.tiled;
  const uint64_t parts = tiled ? TIFFNumberOfTiles(file.get()) : TIFFNumberOfStrips(file.get());
  if (!Has(fields, tiled ? TIFFTAG_TILEOFFSETS : TIFFTAG_STRIPOFFSETS, parts) ||
      !Has(fields, tiled ? TIFFTAG_TILEBYTECOUNTS : TIFFTAG_STRIPBYTECOUNTS, parts)) {
    RefuseImage("it does not say where all of its " + std::to_string(parts) +
                (tiled ? " tiles are" : " strips are"));
  }
  if (header.samples == 2 && fields.count(TIFFTAG_EXTRASAMPLES) == 0) {
    RefuseImage("it does not say what its second sample means");
  }
  // A palette that is missing, say, makes libtiff take the picture for a gray one.
  const auto photometric = fields.find(TIFFTAG_PHOTOMETRIC);
  if (photometric == fields.end() || photometric->second.value != header.photometric) {
    RefuseImage("it does not say what its samples mean");
  }
  if (header.photometric == PHOTOMETRIC_PALETTE &&
      !Has(fields, TIFFTAG_COLORMAP, uint64_t{3} << header.bits)) {
    RefuseImage("its palette is cut short");
  }
}

// Bytes of one tile or strip (of one plane). Throws where they are more than the image's own size
// explains.
size_t TileBytes(const TiffHeader& header) {
  const uint64_t samples = header.contiguous() ? header.samples : 1;
  const uint64_t row = (static_cast<uint64_t>(header.tile.width) * samples * header.bits + 7) / 8;
  const auto bytes = row * static_cast<uint64_t>(header.tile.height);
  const uint64_t whole = static_cast<uint64_t>(header.size.pixels()) * samples * 2;
  if (header.tiled && bytes > 4 * whole + uint64_t{kSlackBytes}) {
    RefuseImage("tiles of " + std::to_string(header.tile.width) + " x " +
                std::to_string(header.tile.height) + " pixels are too large for its size");
  }
  return static_cast<size_t>(bytes);
}

// Refuses, before they are given room, pixels that an uncompressed file is too short to hold.
void CheckRoom(ByteSpan tiff, const TiffHeader& header) {
  const uint64_t row =
      (static_cast<uint64_t>(header.size.width) * header.samples * header.bits + 7) / 8;
  if (header.compression == COMPRESSION_NONE &&
      row * static_cast<uint64_t>(header.size.height) > tiff.size) {
    RefuseImage("truncated after " + std::to_string(tiff.size) + " bytes");
  }
}

// ---- rows of samples to RGB
// ----------------------------------------------------------------------

class RowConverter {
 public:
  RowConverter(const TiffFile& file, const TiffHeader& header, bool clip_gray16)
      : header_(header), clip_gray16_(clip_gray16) {
    if (header.photometric != PHOTOMETRIC_PALETTE) return;
    uint16_t* maps[kChannels] = {};
    if (TIFFGetField(file.get(), TIFFTAG_COLORMAP, &maps[0], &maps[1], &maps[2]) == 0) {
      RefuseImage("it has no palette");
    }
    for (size_t i = 0; i < size_t{1} << header.bits; ++i) {
      for (size_t c = 0; c < kChannels; ++c) {
        palette_.rgb[i][c] = static_cast<uint8_t>(maps[c][i] >> 8);
      }
    }
  }

  // `width` pixels whose samples stand one behind the other.
  void ToRgb(const uint8_t* row, int width, uint8_t* rgb) const {
    switch (header_.photometric) {
      case PHOTOMETRIC_PALETTE: PaletteRowToRgb(row, width, header_.bits, palette_, rgb); return;
      case PHOTOMETRIC_MINISWHITE:
      case PHOTOMETRIC_MINISBLACK: GrayToRgb(row, width, rgb); return;
      case PHOTOMETRIC_SEPARATED: CmykToRgb(row, width, rgb); return;
      default: ColorsToRgb(row, width, rgb);
    }
  }

 private:
  void GrayToRgb(const uint8_t* row, int width, uint8_t* rgb) const {
    if (header_.bits < 8 || header_.samples == 1) {
      if (header_.bits <= 8) {
        const bool invert = header_.photometric == PHOTOMETRIC_MINISWHITE;
        GrayRowToRgb(row, width, header_.bits, invert, rgb);
        return;
      }
      for (int x = 0; x < width; ++x, row += 2, rgb += kChannels) {
        std::memset(rgb, Gray16ToByte(Native16(row), clip_gray16_), kChannels);
      }
      return;
    }
    for (int x = 0; x < width; ++x, row += header_.samples, rgb += kChannels) {
      std::memset(rgb, row[0], kChannels);
    }
  }

  void ColorsToRgb(const uint8_t* row, int width, uint8_t* rgb) const {
    const int sample_bytes = header_.bits / 8;
    const int pixel_bytes = header_.samples * sample_bytes;
    for (int x = 0; x < width; ++x, row += pixel_bytes, rgb += kChannels) {
      for (int c = 0; c < kChannels; ++c) {
        rgb[c] = sample_bytes == 1 ? row[c] : static_cast<uint8_t>(Native16(row + 2 * c) >> 8);
        if (header_.associated_alpha) rgb[c] = WithoutAlpha(rgb[c], row[3]);
      }
    }
  }

  // Pillow's division of a colour by its alpha.
  static uint8_t WithoutAlpha(int color, int alpha) {
    return static_cast<uint8_t>(alpha == 0 ? 0 : std::min(255, color * 255 / alpha));
  }

  // Pillow's cmyk2rgb.
  static void CmykToRgb(const uint8_t* row, int width, uint8_t* rgb) {
    for (int x = 0; x < width; ++x, row += 4, rgb += kChannels) {
      const int light = 255 - row[3];
      for (int c = 0; c < kChannels; ++c) {
        const int product = row[c] * light + 128;
        rgb[c] = static_cast<uint8_t>(std::max(0, light - ((product + (product >> 8)) >> 8)));
      }
    }
  }

  // libtiff leaves samples of 16 bits in the machine's order.
  static unsigned Native16(const uint8_t* sample) {
    uint16_t value = 0;
    std::memcpy(&value, sample, sizeof value);
    return value;
  }

  const TiffHeader& header_;
  const bool clip_gray16_;
  Palette palette_;
};

// ---- tiles and strips
// ----------------------------------------------------------------------------

// Reads tile (or strip) by tile into `scratch_`, and its pixels from there.
class TileReader {
 public:
  TileReader(const TiffFile& file, const TiffHeader& header, const RowConverter& converter)
      : file_(file),
        header_(header),
        converter_(converter),
        tile_bytes_(TileBytes(header)),
        row_bytes_(tile_bytes_ / static_cast<size_t>(header.tile.height)) {}

  void ReadInto(const MutableImageView& image) {
    const int planes = header_.contiguous() ? 1 : header_.samples;
    for (int plane = 0; plane < planes; ++plane) {
      // Wide numbers: a tile may reach far beyond the image.
      for (int64_t top = 0; top < header_.size.height; top += header_.tile.height) {
        for (int64_t left = 0; left < header_.size.width; left += header_.tile.width) {
          const Rect part = PartAt(static_cast<int>(left), static_cast<int>(top));
          Load(part, plane);
          if (planes == 1) {
            Convert(part, image);
          } else {
            CopyPlane(part, plane, image);
          }
        }
      }
    }
  }

 private:
  // The part of the image that the tile at this place covers.
  Rect PartAt(int left, int top) const {
    return {left, top, std::min(header_.tile.width, header_.size.width - left),
            std::min(header_.tile.height, header_.size.height - top)};
  }

  void Load(const Rect& part, int plane) {
    const auto sample = static_cast<uint16_t>(plane);
    const auto x = static_cast<uint32_t>(part.left);
    const auto y = static_cast<uint32_t>(part.top);
    uint8_t* out = scratch_.Reserve(tile_bytes_);
    tmsize_t got = 0;
    size_t wanted = tile_bytes_;
    if (header_.tiled) {
      const uint32_t tile = TIFFComputeTile(file_.get(), x, y, 0, sample);
      got = TIFFReadEncodedTile(file_.get(), tile, out, static_cast<tmsize_t>(tile_bytes_));
    } else {
      wanted = row_bytes_ * static_cast<size_t>(part.height);
      const uint32_t strip = TIFFComputeStrip(file_.get(), y, sample);
      got = TIFFReadEncodedStrip(file_.get(), strip, out, static_cast<tmsize_t>(wanted));
    }
    if (got < 0 || static_cast<size_t>(got) != wanted || file_.complained()) file_.Fail();
  }

  void Convert(const Rect& part, const MutableImageView& image) {
    for (int y = 0; y < part.height; ++y) {
      converter_.ToRgb(scratch_.data() + static_cast<size_t>(y) * row_bytes_, part.width,
                       image.row(part.top + y) + ptrdiff_t{part.left} * kChannels);
    }
  }

  void CopyPlane(const Rect& part, int plane, const MutableImageView& image) {
    for (int y = 0; y < part.height; ++y) {
      const uint8_t* row = scratch_.data() + static_cast<size_t>(y) * row_bytes_;
      uint8_t* rgb = image.row(part.top + y) + ptrdiff_t{part.left} * kChannels + plane;
      for (int x = 0; x < part.width; ++x, rgb += kChannels) *rgb = row[x];
    }
  }

  const TiffFile& file_;
  const TiffHeader& header_;
  const RowConverter& converter_;
  const size_t tile_bytes_;
  const size_t row_bytes_;
  ByteBuffer scratch_;
};

}  // namespace

Size TiffSize(ByteSpan tiff) { return ReadHeader(TiffFile(tiff)).size; }

ImageView DecodeTiff(ByteSpan tiff, const StillOptions& options, ByteBuffer* pixels) {
  const Fields fields = FieldsOf(tiff);
  TiffFile file(tiff);
  const TiffHeader header = ReadHeader(file);
  CheckPixels(header.size, options.limits);
  CheckVariant(header);
  CheckFields(file, header, fields);
  if (header.compression == COMPRESSION_JPEG && header.photometric == PHOTOMETRIC_YCBCR) {
    TIFFSetField(file.get(), TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB);
  }
  CheckRoom(tiff, header);
  const RowConverter converter(file, header, options.clip_gray16);
  const MutableImageView image = ReserveImage(header.size, options.limits, pixels);
  file.BeginPixels();
  TileReader(file, header, converter).ReadInto(image);
  return image;
}

int TiffOrientation(ByteSpan tiff) {
  try {
    const TiffFile file(tiff);
    const bool big = tiff[2] == 43 || tiff[3] == 43;
    int orientation = big ? file.Short(TIFFTAG_ORIENTATION) : ExifOrientation(tiff);
    uint32_t bytes = 0;
    const uint8_t* xmp = nullptr;
    if (orientation == 0 && TIFFGetField(file.get(), TIFFTAG_XMLPACKET, &bytes, &xmp) != 0) {
      orientation = XmpOrientation({xmp, bytes});
    }
    return orientation == 0 ? 1 : orientation;
  } catch (const StageError&) {
    return 1;  // decoding says what is wrong with it
  }
}

}  // namespace stoker
