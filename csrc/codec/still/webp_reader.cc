#include "codec/still/webp_reader.h"

#include <webp/decode.h>
#include <webp/demux.h>

#include <memory>
#include <new>

#include "codec/exif.h"
#include "codec/still/pixel_rows.h"

namespace stoker {
namespace {

struct DeleteDemuxer {
  void operator()(WebPDemuxer* demuxer) const { WebPDemuxDelete(demuxer); }
};
struct DeleteAnimation {
  void operator()(WebPAnimDecoder* decoder) const { WebPAnimDecoderDelete(decoder); }
};

struct WebpHeader {
  Size size;
  bool animated = false;
};

WebpHeader ReadHeader(ByteSpan webp) {
  WebPBitstreamFeatures features;
  if (WebPGetFeatures(webp.data, webp.size, &features) != VP8_STATUS_OK) {
    RefuseImage("its header is damaged or cut short");
  }
  return {ClaimedSize(features.width, features.height), features.has_animation != 0};
}

// Refuses a file that lacks any of its chunks, pixels or not, as Pillow does.
void CheckComplete(ByteSpan webp) {
  const WebPData data{webp.data, webp.size};
  const std::unique_ptr<WebPDemuxer, DeleteDemuxer> demuxer(WebPDemux(&data));
  if (!demuxer) RefuseImage("damaged or truncated");
}

void DecodeStillImage(ByteSpan webp, const MutableImageView& image) {
  WebPDecoderConfig config;
  if (WebPInitDecoderConfig(&config) == 0) throw std::bad_alloc();
  config.output.colorspace = MODE_RGB;
  config.output.is_external_memory = 1;
  config.output.u.RGBA.rgba = image.pixels_hwc;
  config.output.u.RGBA.stride = static_cast<int>(image.row_bytes);
  config.output.u.RGBA.size =
      static_cast<size_t>(image.row_bytes) * static_cast<size_t>(image.size.height);
  const VP8StatusCode status = WebPDecode(webp.data, webp.size, &config);
  if (status == VP8_STATUS_OUT_OF_MEMORY) throw std::bad_alloc();
  if (status != VP8_STATUS_OK) RefuseImage("damaged or truncated");
}

// The first frame on its canvas.
void DecodeFirstFrame(ByteSpan webp, const MutableImageView& image) {
  const WebPData data{webp.data, webp.size};
  WebPAnimDecoderOptions options;
  if (WebPAnimDecoderOptionsInit(&options) == 0) throw std::bad_alloc();
  options.color_mode = MODE_RGBA;
  const std::unique_ptr<WebPAnimDecoder, DeleteAnimation> decoder(
      WebPAnimDecoderNew(&data, &options));
  uint8_t* rgba = nullptr;
  int timestamp_ms = 0;
  if (!decoder || WebPAnimDecoderGetNext(decoder.get(), &rgba, &timestamp_ms) == 0) {
    RefuseImage("damaged or truncated");
  }
  for (int y = 0; y < image.size.height; ++y) {
    uint8_t* rgb = image.row(y);
    for (int x = 0; x < image.size.width; ++x, rgba += 4, rgb += kChannels) {
      for (int c = 0; c < kChannels; ++c) rgb[c] = rgba[c];
    }
  }
}

// One of a file's chunks of metadata; empty where it has none.
ByteSpan Chunk(const WebPDemuxer* demuxer, const char* name, WebPChunkIterator* at) {
  if (WebPDemuxGetChunk(demuxer, name, 1, at) == 0) return {};
  return {at->chunk.bytes, at->chunk.size};
}

}  // namespace

Size WebpSize(ByteSpan webp) { return ReadHeader(webp).size; }

ImageView DecodeWebp(ByteSpan webp, const StillOptions& options, ByteBuffer* pixels) {
  const WebpHeader header = ReadHeader(webp);
  CheckPixels(header.size, options.limits);
  CheckComplete(webp);
  const MutableImageView image = ReserveImage(header.size, options.limits, pixels);
  if (header.animated) {
    DecodeFirstFrame(webp, image);
  } else {
    DecodeStillImage(webp, image);
  }
  return image;
}

int WebpOrientation(ByteSpan webp) {
  const WebPData data{webp.data, webp.size};
  const std::unique_ptr<WebPDemuxer, DeleteDemuxer> demuxer(WebPDemux(&data));
  if (!demuxer) return 1;  // decoding says what is wrong with it
  WebPChunkIterator at;
  int orientation = ExifOrientation(Chunk(demuxer.get(), "EXIF", &at));
  if (orientation == 0) orientation = XmpOrientation(Chunk(demuxer.get(), "XMP ", &at));
  return orientation == 0 ? 1 : orientation;
}

}  // namespace stoker
