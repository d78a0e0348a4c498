#include "codec/still/png_reader.h"

#include <png.h>

#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <new>
#include <vector>

#include "codec/still/pixel_rows.h"

namespace stoker {
namespace {

// Note [libpng's jumps]
// libpng reports errors by a callback that must not return, so ours jumps, and a jump skips
// destructors: the free functions Try… below, and what libpng calls back, use plain data only.
// What allocates or throws is in the functions further down.
struct PngState {
  std::jmp_buf jump;
  char message[128];
  const uint8_t* next;
  size_t left;
};

[[noreturn]] void OnError(png_structp png, png_const_charp message) {
  auto* state = static_cast<PngState*>(png_get_error_ptr(png));
  std::snprintf(state->message, sizeof state->message, "%s", message);
  std::longjmp(state->jump, 1);
}

void OnWarning(png_structp, png_const_charp) {}

void OnRead(png_structp png, png_bytep out, size_t bytes) {
  auto* state = static_cast<PngState*>(png_get_io_ptr(png));
  if (bytes > state->left) png_error(png, "truncated");
  std::memcpy(out, state->next, bytes);
  state->next += bytes;
  state->left -= bytes;
}

bool TryReadHeader(png_structp png, png_infop info, PngState* state) {
  if (setjmp(state->jump) != 0) return false;
  png_set_read_fn(png, state, &OnRead);
  // Chunks that have no bearing on the pixels are skipped unread: nothing is inflated for them.
  png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
  png_set_user_limits(png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
  png_set_crc_action(png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
  png_read_info(png, info);
  return true;
}

// Makes rows of gray or RGB samples of 8 or 16 bits, or of a palette's indices, one byte each.
bool TryStart(png_structp png, png_infop info, PngState* state) {
  if (setjmp(state->jump) != 0) return false;
  const int color = png_get_color_type(png, info);
  const int bits = png_get_bit_depth(png, info);
  if (color == PNG_COLOR_TYPE_PALETTE) {
    png_set_packing(png);
  } else if (bits < 8) {
    png_set_expand_gray_1_2_4_to_8(png);
  }
  if ((color & PNG_COLOR_MASK_ALPHA) != 0) png_set_strip_alpha(png);
  // Of colours (and of gray with alpha) the upper eight bits, as in Pillow.
  if (bits == 16 && color != PNG_COLOR_TYPE_GRAY) png_set_strip_16(png);
  if (color == PNG_COLOR_TYPE_GRAY_ALPHA) png_set_gray_to_rgb(png);
  png_set_interlace_handling(png);
  png_read_update_info(png, info);
  return true;
}

bool TryReadImage(png_structp png, PngState* state, png_bytepp rows) {
  if (setjmp(state->jump) != 0) return false;
  png_read_image(png, rows);
  return true;
}

// libpng's two structures, owned.
class UniquePng {
 public:
  explicit UniquePng(ByteSpan png_bytes) {
    state.next = png_bytes.data;
    state.left = png_bytes.size;
    png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &state, &OnError, &OnWarning);
    if (png != nullptr) info = png_create_info_struct(png);
    if (info == nullptr) {
      png_destroy_read_struct(&png, nullptr, nullptr);
      throw std::bad_alloc();
    }
  }
  ~UniquePng() { png_destroy_read_struct(&png, &info, nullptr); }
  UniquePng(const UniquePng&) = delete;
  UniquePng& operator=(const UniquePng&) = delete;

  [[noreturn]] void Fail() const { RefuseImage(state.message); }
  Size size() const {
    return ClaimedSize(png_get_image_width(png, info), png_get_image_height(png, info));
  }

  PngState state{};
  png_structp png = nullptr;
  png_infop info = nullptr;
};

Palette PaletteOf(const UniquePng& file) {
  Palette palette;
  png_colorp colors = nullptr;
  int count = 0;
  if (png_get_PLTE(file.png, file.info, &colors, &count) == 0) count = 0;
  for (int i = 0; i < count && i < 256; ++i) {
    palette.rgb[static_cast<size_t>(i)] = {colors[i].red, colors[i].green, colors[i].blue};
  }
  return palette;
}

// Widens a row in place: `samples` stand at its end, or anywhere behind the pixels to write.
void RowToRgb(const uint8_t* samples, int width, const Palette* palette, bool gray16, bool clip,
              uint8_t* rgb) {
  for (int x = 0; x < width; ++x, rgb += kChannels) {
    if (palette != nullptr) {
      const auto color = palette->rgb[samples[x]];
      std::memcpy(rgb, color.data(), color.size());
    } else {
      const uint8_t level =
          gray16
              ? Gray16ToByte(static_cast<unsigned>(samples[2 * x] << 8 | samples[2 * x + 1]), clip)
              : samples[x];
      std::memset(rgb, level, kChannels);
    }
  }
}

}  // namespace

Size PngSize(ByteSpan png) {
  UniquePng file(png);
  if (!TryReadHeader(file.png, file.info, &file.state)) file.Fail();
  return file.size();
}

ImageView DecodePng(ByteSpan png, const StillOptions& options, ByteBuffer* pixels) {
  UniquePng file(png);
  if (!TryReadHeader(file.png, file.info, &file.state)) file.Fail();
  const Size size = file.size();
  CheckPixels(size, options.limits);
  const bool indexed = png_get_color_type(file.png, file.info) == PNG_COLOR_TYPE_PALETTE;
  const Palette palette = indexed ? PaletteOf(file) : Palette();
  if (!TryStart(file.png, file.info, &file.state)) file.Fail();
  const MutableImageView image = ReserveImage(size, options.limits, pixels);
  // Rows that are narrower than RGB are read into the ends of their places, and widened there.
  const size_t row_bytes = png_get_rowbytes(file.png, file.info);
  const size_t room = static_cast<size_t>(image.row_bytes) - row_bytes;
  std::vector<png_bytep> rows(static_cast<size_t>(size.height));
  for (int y = 0; y < size.height; ++y) rows[static_cast<size_t>(y)] = image.row(y) + room;
  if (!TryReadImage(file.png, &file.state, rows.data())) file.Fail();
  if (room > 0) {
    const bool gray16 = row_bytes == static_cast<size_t>(size.width) * 2;
    for (int y = 0; y < size.height; ++y) {
      RowToRgb(rows[static_cast<size_t>(y)], size.width, indexed ? &palette : nullptr, gray16,
               options.clip_gray16, image.row(y));
    }
  }
  return image;
}

}  // namespace stoker
