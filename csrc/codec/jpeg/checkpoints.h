// Checkpoints of a JPEG: places inside its entropy-coded data from which decoding can go on. A
// place is a bit position and the components' DC predictors there, which is all that a Huffman
// decoder knows. With one every few MCUs, a crop decodes only what it touches.
//
// Checkpoints belong to files without restart markers, coded once through, that our decoder takes
// (header.h), and are made by decoding such a file to its end.
//
// Packed, they take four to six bytes each; docs/decode-index.md describes every byte.
//
// Threads: constant once made. Never trusted: Unpack refuses what contradicts itself, Fit what
// contradicts the file's header, and the decoder compares its own state with each checkpoint that
// it passes (baseline_decoder.h).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "base/rect.h"
#include "codec/jpeg/header.h"

namespace stoker {

struct Checkpoint {
  // From the first byte of the entropy-coded data as it is in the file (stuffed bytes count), most
  // significant bit first.
  uint64_t bit = 0;
  std::array<int32_t, kMaxComponents> dc{};

  friend bool operator==(const Checkpoint& a, const Checkpoint& b) {
    return a.bit == b.bit && a.dc == b.dc;
  }
};

// Checkpoints `first` to `last` of an image: what lies between them is decoded.
struct CheckpointRun {
  size_t first;
  size_t last;
};

struct Checkpoints {
  // What the index says of the image; components is 0 where there is no more than that: a JPEG that
  // our decoder does not take, one too small to be worth it, another format. Of another format
  // there is not even that: the size is 0 × 0 and the orientation 1.
  Size size;            // as stored, orientation not applied
  int orientation = 1;  // EXIF's, 1 to 8
  int components = 0;
  int max_h = 1;  // sampling factors of the first component
  int max_v = 1;
  uint32_t scan_begin = 0;  // of the entropy-coded data in the file
  int step = 0;             // MCUs from one checkpoint to the next, across the ends of rows
  // at[k] stands in front of MCU k · step; the first is where the data begin, the last behind the
  // last MCU.
  std::vector<Checkpoint> at;

  bool usable() const { return components > 0; }
  int mcus_across() const { return (size.width - 1) / (max_h * kBlockSize) + 1; }
  int mcus_down() const { return (size.height - 1) / (max_v * kBlockSize) + 1; }
  int mcus() const { return mcus_across() * mcus_down(); }
  // The MCU that at[k] stands in front of.
  int McuAt(size_t k) const;

  // Keeps `size` and `orientation` alone.
  void Clear();
  // Begins with an image whose header is this; `step_mcus` > 0.
  void Begin(const JpegHeader& header, int step_mcus);
  // Keeps one checkpoint in `multiple`, and the last. REQUIRES: usable().
  void Thin(int multiple);
  // Whether the header is that of the image which they were made for.
  bool Fit(const JpegHeader& header) const;

  // The runs that the MCUs of `mcus` lie in: in order, none adjoining another. REQUIRES: usable().
  void RunsUnder(const McuRect& mcus, std::vector<CheckpointRun>* runs) const;

  // About how many bits of entropy-coded data there are to decode for these MCUs, begun at
  // checkpoints or at the data's beginning. REQUIRES: usable().
  uint64_t BitsFor(const McuRect& mcus) const;
  uint64_t PlainBitsFor(const McuRect& mcus) const;

  // The packed form, in `out`. False, and nothing in it, where a number is too large, as none of an
  // ordinary file is.
  bool Pack(std::vector<uint8_t>* out) const;
  // The same in at most `budget_bytes`: thinned as little as that takes, or of the size alone.
  void PackWithin(size_t budget_bytes, std::vector<uint8_t>* out);
  // Reads the packed form; reuses memory. False: not the packed form of anything.
  bool Unpack(ByteSpan packed);

 private:
  uint64_t BitBefore(int mcu) const;
  bool UnpackAll(ByteSpan packed);

  struct Widths {
    int position = 1;
    std::array<int, kMaxComponents> dc{};
    int sum() const { return position + dc[0] + dc[1] + dc[2]; }
  };
  Widths WidthsOf(int multiple) const;
  size_t CountOf(int multiple) const;
};

// The packed form of an image's size alone.
inline constexpr size_t kPackedSizeBytes = 24;

// How many MCUs should lie between the checkpoints that are recorded of a file, several times as
// many as `budget_bytes` hold, so that PackWithin has a choice; 0: none are worth it.
int RecordingStep(const JpegHeader& header, size_t budget_bytes);

}  // namespace stoker
