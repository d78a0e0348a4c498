// The orientation in a PNG's metadata, which Pillow looks for in these places: EXIF in an eXIf
// chunk, or as a text named "exif", or as hexadecimal digits in one named "Raw profile type exif";
// XMP in an iTXt chunk. Of several the last one counts.
#include <zlib.h>

#include <string>
#include <string_view>

#include "codec/exif.h"
#include "codec/still/png_reader.h"

namespace stoker {
namespace {

using std::string_view;

// What a compressed text may come to; Pillow refuses longer ones.
constexpr size_t kMaxText = size_t{1} << 20;

ByteSpan SpanOf(string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

// Takes what stands before the next zero byte off `text`, and the byte with it.
string_view TakeWord(string_view* text) {
  const size_t end = text->find('\0');
  const string_view word = text->substr(0, end);
  text->remove_prefix(end == text->npos ? text->size() : end + 1);
  return word;
}

// Empty where it is damaged or too long.
std::string Inflated(string_view text) {
  std::string out(kMaxText, '\0');
  uLongf size = out.size();
  const auto* in = reinterpret_cast<const Bytef*>(text.data());
  if (uncompress(reinterpret_cast<Bytef*>(out.data()), &size, in, text.size()) != Z_OK) return {};
  out.resize(size);
  return out;
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

// ImageMagick's "raw profile": three lines, then hexadecimal digits. Empty where it is damaged.
std::string FromHex(string_view profile) {
  for (int line = 0; line < 3; ++line) {
    const size_t end = profile.find('\n');
    if (end == profile.npos) return {};
    profile.remove_prefix(end + 1);
  }
  std::string out;
  int high = -1;
  for (const char c : profile) {
    if (c == ' ' || (c >= '\t' && c <= '\r')) continue;
    const int digit = HexDigit(c);
    if (digit < 0) return {};
    if (high < 0) {
      high = digit;
    } else {
      out.push_back(static_cast<char>(high << 4 | digit));
      high = -1;
    }
  }
  return high < 0 ? out : std::string();
}

class Metadata {
 public:
  void Read(string_view name, string_view chunk) {
    if (name == "eXIf") exif_ = chunk;
    if (name != "tEXt" && name != "zTXt" && name != "iTXt") return;
    const string_view key = TakeWord(&chunk);
    const bool xmp = key == "XML:com.adobe.xmp";
    const bool profile = key == "Raw profile type exif";
    if (!xmp && !profile && key != "exif") return;
    std::string text;
    if (name == "tEXt") {
      text = chunk;
    } else if (name == "zTXt") {
      if (chunk.substr(0, 1) == string_view("\0", 1)) text = Inflated(chunk.substr(1));
    } else {
      text = International(chunk);
    }
    if (xmp && name == "iTXt") xmp_ = text;
    if (profile) profile_ = FromHex(text);
    if (key == "exif" && name == "tEXt") exif_ = text;
  }

  int Orientation() const {
    int orientation = ExifOrientation(SpanOf(exif_.empty() ? profile_ : exif_));
    if (orientation == 0) orientation = XmpOrientation(SpanOf(xmp_));
    return orientation == 0 ? 1 : orientation;
  }

 private:
  // The text of an iTXt chunk, behind its key.
  static std::string International(string_view chunk) {
    if (chunk.size() < 2) return {};
    const bool compressed = chunk[0] != 0;
    if (compressed && chunk[1] != 0) return {};
    chunk.remove_prefix(2);
    TakeWord(&chunk);  // the language
    TakeWord(&chunk);  // the key in it
    return compressed ? Inflated(chunk) : std::string(chunk);
  }

  std::string exif_;
  std::string profile_;
  std::string xmp_;
};

}  // namespace

int PngOrientation(ByteSpan png) {
  string_view rest(reinterpret_cast<const char*>(png.data), png.size);
  rest.remove_prefix(8);
  Metadata metadata;
  // Length, name, data and checksum, which libpng has looked at.
  while (rest.size() >= 12) {
    size_t bytes = 0;
    for (size_t i = 0; i < 4; ++i) bytes = bytes << 8 | static_cast<uint8_t>(rest[i]);
    if (bytes > rest.size() - 12) break;
    metadata.Read(rest.substr(4, 4), rest.substr(8, bytes));
    rest.remove_prefix(bytes + 12);
  }
  return metadata.Orientation();
}

}  // namespace stoker
