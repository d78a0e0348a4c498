#include "codec/jpeg/turbo_decoder.h"

#include <csetjmp>
#include <cstdio>  // jpeglib.h needs FILE

#include <jpeglib.h>

#include <jerror.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <string>

namespace stoker {
namespace {

// Decoded columns beside the crop that fancy upsampling looks at; without them the crop's edge
// differs by up to 19 levels (4:2:0). Rows need none: libjpeg keeps their context itself.
constexpr int kMargin = 1;
// Columns decoded at least: the upsampler was chosen for the image's width and goes wrong on fewer
// than three chroma samples.
constexpr int kMinColumns = 32;

// Note [setjmp]
// libjpeg reports errors by a callback that must not return, so ours jumps. A jump skips
// destructors: hence no function that calls setjmp, nor any that libjpeg calls back, owns anything
// with a destructor. They are the free functions Try… and On… below and use plain data only;
// everything that allocates or throws is in the member functions further down.
struct ErrorManager {
  jpeg_error_mgr base;  // first: libjpeg's pointer to it is a pointer to this
  std::jmp_buf jump;
  char message[JMSG_LENGTH_MAX];
  bool at_end;     // the source ran out of bytes
  bool truncated;  // and pixels were made up for it
};

struct Progress {
  jpeg_progress_mgr base;  // first, as above
  int max_scans;
};

ErrorManager* Errors(j_common_ptr cinfo) { return reinterpret_cast<ErrorManager*>(cinfo->err); }

[[noreturn]] void OnError(j_common_ptr cinfo) {
  ErrorManager* errors = Errors(cinfo);
  errors->base.format_message(cinfo, errors->message);
  std::longjmp(errors->jump, 1);
}

void OnMessage(j_common_ptr cinfo, int level) {
  if (level < 0 && cinfo->err->msg_code == JWRN_HIT_MARKER && Errors(cinfo)->at_end) {
    Errors(cinfo)->truncated = true;
  }
}

void OnOutput(j_common_ptr) {}

void OnProgress(j_common_ptr cinfo) {
  const int max_scans = reinterpret_cast<Progress*>(cinfo->progress)->max_scans;
  if (reinterpret_cast<j_decompress_ptr>(cinfo)->input_scan_number > max_scans) {
    std::snprintf(Errors(cinfo)->message, JMSG_LENGTH_MAX, "more than %d scans", max_scans);
    std::longjmp(Errors(cinfo)->jump, 1);
  }
}

void OnInitSource(j_decompress_ptr) {}
void OnTermSource(j_decompress_ptr) {}

boolean OnFillInput(j_decompress_ptr cinfo) {
  static const JOCTET kEndOfImage[2] = {0xFF, JPEG_EOI};
  Errors(reinterpret_cast<j_common_ptr>(cinfo))->at_end = true;
  cinfo->src->next_input_byte = kEndOfImage;
  cinfo->src->bytes_in_buffer = 2;
  return TRUE;
}

void OnSkipInput(j_decompress_ptr cinfo, long bytes) {  // NOLINT(google-runtime-int): libjpeg's
  if (bytes <= 0) return;
  if (static_cast<size_t>(bytes) > cinfo->src->bytes_in_buffer) {
    OnFillInput(cinfo);
    return;
  }
  cinfo->src->next_input_byte += bytes;
  cinfo->src->bytes_in_buffer -= static_cast<size_t>(bytes);
}

// Pillow's cmyk2rgb on inverted ("Adobe") CMYK, which is how every CMYK JPEG is taken.
void CmykRowToRgb(const uint8_t* cmyk, int width, uint8_t* rgb) {
  for (int x = 0; x < width; ++x, cmyk += 4, rgb += kChannels) {
    const int nk = cmyk[3];  // 255 − K, stored inverted
    for (int c = 0; c < kChannels; ++c) {
      const int product = (255 - cmyk[c]) * nk + 128;
      rgb[c] = static_cast<uint8_t>(std::max(0, nk - ((product + (product >> 8)) >> 8)));
    }
  }
}

}  // namespace

struct TurboDecoder::State {
  jpeg_decompress_struct cinfo;
  ErrorManager errors;
  Progress progress;
  jpeg_source_mgr source;
  DecodeLimits limits;
  ByteSpan jpeg;
  ByteBuffer row;

  // What TryDecode gets and gives; plain data.
  struct Job {
    Rect region;
    bool whole_width;    // no cropping of columns
    bool from_the_top;   // no skipping of rows
    uint8_t* out;        // (region.height, columns, 3)
    uint8_t* cmyk_row;   // scratch, (columns, 4); null for other colours
    uint8_t* spare_row;  // scratch, for a row that nobody wants
    bool to_the_end;     // decode the rows behind the region too, to see whether the data suffice
    JDIMENSION column;   // of the image where the decoded columns begin
    JDIMENSION columns;  // decoded
  };

  [[noreturn]] void Fail();
};

namespace {

bool TryCreate(jpeg_decompress_struct* cinfo, ErrorManager* errors) {
  if (setjmp(errors->jump) != 0) return false;
  jpeg_create_decompress(cinfo);
  return true;
}

bool TryReadHeader(jpeg_decompress_struct* cinfo, ErrorManager* errors) {
  if (setjmp(errors->jump) != 0) return false;
  jpeg_read_header(cinfo, TRUE);
  return true;
}

// Note [Smoothing]
// Where a progressive file leaves coefficients unknown, because scans are missing, libjpeg makes
// them up from the DC values of the blocks around (jdcoefct.c: smoothing_ok). At the edge of
// cropped columns it knows fewer blocks, so the crop would differ from the crop of the whole. Such
// a file is therefore decoded in whole rows from the top, as a file without cropping is.
bool MaySmooth(const jpeg_decompress_struct& cinfo) {
  for (int c = 0; cinfo.progressive_mode && c < cinfo.num_components; ++c) {
    for (int k = 0; k < DCTSIZE2; ++k) {
      if (cinfo.coef_bits[c][k] != 0) return true;
    }
  }
  return false;
}

// Starts decompression and narrows it to the job's columns.
template <typename Job>
bool TryStart(jpeg_decompress_struct* cinfo, ErrorManager* errors, Job* job) {
  if (setjmp(errors->jump) != 0) return false;
  const bool four = cinfo->num_components == 4;
  cinfo->out_color_space = four ? JCS_CMYK : JCS_RGB;
  cinfo->dct_method = JDCT_ISLOW;
  cinfo->do_fancy_upsampling = TRUE;
  jpeg_start_decompress(cinfo);
  if (MaySmooth(*cinfo)) job->whole_width = job->from_the_top = true;
  job->column = 0;
  job->columns = cinfo->output_width;
  if (!job->whole_width) {
    const int width = static_cast<int>(cinfo->image_width);
    int left = std::max(0, job->region.left - kMargin);
    const int right = std::min(width, std::max(job->region.right() + kMargin, left + kMinColumns));
    left = std::max(0, std::min(left, right - kMinColumns));
    job->column = static_cast<JDIMENSION>(left);
    job->columns = static_cast<JDIMENSION>(right - left);
    jpeg_crop_scanline(cinfo, &job->column, &job->columns);
  }
  return true;
}

template <typename Job>
bool TryReadRows(jpeg_decompress_struct* cinfo, ErrorManager* errors, Job* job) {
  if (setjmp(errors->jump) != 0) return false;
  const auto top = static_cast<JDIMENSION>(job->region.top);
  if (top > 0 && !job->from_the_top) jpeg_skip_scanlines(cinfo, top);
  while (cinfo->output_scanline < top) jpeg_read_scanlines(cinfo, &job->spare_row, 1);
  const size_t row_bytes = size_t{job->columns} * kChannels;
  uint8_t* out = job->out;
  const auto bottom = static_cast<JDIMENSION>(job->region.bottom());
  while (cinfo->output_scanline < bottom) {
    if (job->cmyk_row != nullptr) {
      JSAMPROW row = job->cmyk_row;
      jpeg_read_scanlines(cinfo, &row, 1);
      CmykRowToRgb(job->cmyk_row, static_cast<int>(job->columns), out);
      out += row_bytes;
    } else {
      JSAMPROW rows[4];
      const JDIMENSION wanted = std::min<JDIMENSION>(4, bottom - cinfo->output_scanline);
      for (JDIMENSION i = 0; i < wanted; ++i) rows[i] = out + i * row_bytes;
      out += jpeg_read_scanlines(cinfo, rows, wanted) * row_bytes;
    }
  }
  if (job->to_the_end && bottom < cinfo->output_height) {
    // Skipping to the very end would decode nothing: the last row has to be asked for.
    const JDIMENSION skip = cinfo->output_height - 1 - bottom;
    if (skip > 0) jpeg_skip_scanlines(cinfo, skip);
    jpeg_read_scanlines(cinfo, &job->spare_row, 1);
  }
  return true;
}

// After the source ran out: whether the data were complete all the same, but for the end-of-image
// marker. (libjpeg makes up zeros for what is missing, and warns in Huffman-coded scans only.)
bool IsComplete(const jpeg_decompress_struct& cinfo, const ErrorManager& errors) {
  if (errors.truncated || cinfo.arith_code) return false;
  for (int c = 0; c < cinfo.num_components; ++c) {
    if (cinfo.comp_info[c].quant_table == nullptr) return false;  // no scan of it has begun
    for (int k = 0; cinfo.progressive_mode && k < DCTSIZE2; ++k) {
      if (cinfo.coef_bits[c][k] != 0) return false;  // not known to its last bit
    }
  }
  return true;
}

// Whether an end-of-image marker closes the scan data. Normally it is the last two bytes; the
// search goes back to the first scan only in a damaged file. Inside scan data FF D9 cannot occur.
bool HasEndOfImage(ByteSpan jpeg, size_t scan_begin) {
  for (size_t i = jpeg.size; i >= 2 && i - 2 >= scan_begin; --i) {
    if (jpeg[i - 2] == 0xFF && jpeg[i - 1] == JPEG_EOI) return true;
  }
  return false;
}

}  // namespace

void TurboDecoder::State::Fail() {
  std::string reason = errors.message;
  if (errors.at_end) {
    reason = "truncated after " + std::to_string(jpeg.size) + " bytes (" + reason + ")";
  }
  jpeg_abort_decompress(&cinfo);
  throw StageError(Stage::kDecode, reason);
}

TurboDecoder::TurboDecoder(const DecodeLimits& limits) : state_(std::make_unique<State>()) {
  State& s = *state_;
  s.limits = limits;
  std::memset(&s.cinfo, 0, sizeof s.cinfo);
  std::memset(&s.errors, 0, sizeof s.errors);
  s.cinfo.err = jpeg_std_error(&s.errors.base);
  s.errors.base.error_exit = &OnError;
  s.errors.base.emit_message = &OnMessage;
  s.errors.base.output_message = &OnOutput;
  s.source = {};
  s.source.init_source = &OnInitSource;
  s.source.fill_input_buffer = &OnFillInput;
  s.source.skip_input_data = &OnSkipInput;
  s.source.resync_to_restart = &jpeg_resync_to_restart;
  s.source.term_source = &OnTermSource;
  s.progress = {};
  s.progress.base.progress_monitor = &OnProgress;
  s.progress.max_scans = limits.max_scans;
}

TurboDecoder::~TurboDecoder() { jpeg_destroy_decompress(&state_->cinfo); }

Size TurboDecoder::Open(ByteSpan jpeg) {
  State& s = *state_;
  // Anew for each file: libjpeg keeps the tables of the last one, and would decode a file that
  // lacks its own with them.
  jpeg_destroy_decompress(&s.cinfo);
  if (!TryCreate(&s.cinfo, &s.errors)) throw std::bad_alloc();
  s.cinfo.src = &s.source;
  s.cinfo.progress = &s.progress.base;
  s.jpeg = jpeg;
  s.source.next_input_byte = jpeg.data;
  s.source.bytes_in_buffer = jpeg.size;
  s.errors.at_end = s.errors.truncated = false;
  if (!TryReadHeader(&s.cinfo, &s.errors)) s.Fail();
  const Size size{static_cast<int>(s.cinfo.image_width), static_cast<int>(s.cinfo.image_height)};
  const int components = s.cinfo.num_components;
  if (components != 1 && components != 3 && components != 4) {
    throw StageError(Stage::kDecode,
                     "a JPEG of " + std::to_string(components) + " components is not supported");
  }
  CheckPixels(size, s.limits);
  return size;
}

ImageView TurboDecoder::Decode(const Rect& region, ByteBuffer* pixels) {
  State& s = *state_;
  State::Job job{};
  job.region = region;
  job.whole_width = region.left == 0 && region.width == static_cast<int>(s.cinfo.image_width);
  const size_t scan_begin = s.jpeg.size - std::min(s.jpeg.size, s.source.bytes_in_buffer);
  if (!TryStart(&s.cinfo, &s.errors, &job)) s.Fail();
  job.out = pixels->Reserve(size_t{job.columns} * kChannels * static_cast<size_t>(region.height));
  job.spare_row = s.row.Reserve(size_t{job.columns} * 4);
  if (s.cinfo.num_components == 4) job.cmyk_row = job.spare_row;
  job.to_the_end = !HasEndOfImage(s.jpeg, scan_begin);
  if (!TryReadRows(&s.cinfo, &s.errors, &job)) s.Fail();
  const bool truncated = s.errors.at_end && !IsComplete(s.cinfo, s.errors);
  jpeg_abort_decompress(&s.cinfo);
  if (truncated) {
    throw StageError(Stage::kDecode, "truncated after " + std::to_string(s.jpeg.size) +
                                         " bytes: part of the image is missing");
  }
  const auto row_bytes = static_cast<ptrdiff_t>(job.columns) * kChannels;
  const ptrdiff_t skip = (region.left - static_cast<ptrdiff_t>(job.column)) * kChannels;
  return {job.out + skip, region.size(), row_bytes};
}

}  // namespace stoker
