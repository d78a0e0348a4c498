// Makes, checks and surveys a decode index file by file: what `stoker index` does.
//
// One per thread, reused. Threads: one at a time; the index may be shared. Failures of a file are
// StageError, and leave the index as it was.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "codec/image_decoder.h"
#include "codec/jpeg/checkpoints.h"
#include "codec/jpeg/jpeg_decoder.h"
#include "codec/jpeg/turbo_decoder.h"
#include "image/ops.h"
#include "image/philox.h"
#include "io/file_reader.h"
#include "pipeline/decode_index.h"

namespace stoker {

enum class BuildResult : uint8_t {
  kKnown = 0,        // has an entry already
  kCheckpoints = 1,  // one was made
  kSizeOnly = 2,     // one was made, without checkpoints: other codings and formats, small files
  kSmall = 3,        // too small for an entry
  kJustChanged = 4,  // within the last two seconds, so that it may be changing still
};
inline constexpr int kBuildResults = 5;

enum class VerifyResult : uint8_t {
  kGood = 0,      // has checkpoints (Verify: and each leads to libjpeg-turbo's pixels)
  kSizeOnly = 1,  // the entry has no checkpoints (Verify: and what it says of a JPEG is so)
  kUnknown = 2,   // no entry for the file as it is
  kSmall = 3,     // no entry, because it is too small for one
  kWrong = 4,     // what the entry says is not so
  kOthers = 5,    // an entry that is damaged, or by another user's key: as good as none
};
inline constexpr int kVerifyResults = 6;

// What checkpoints save of the entropy-coded data of one sample.
struct IndexEstimate {
  bool known = false;
  uint64_t plain_bytes = 0;    // decoded for the sample without them
  uint64_t decoded_bytes = 0;  // with them
};

class IndexBuilder {
 public:
  IndexBuilder(std::shared_ptr<DecodeIndex> index, const DecodeLimits& limits);

  BuildResult Build(const std::string& path);
  // What the index has of the file, which is not read; `bytes`: its size.
  VerifyResult Survey(const std::string& path, uint64_t* bytes);
  // Decodes the file by libjpeg-turbo, and by each of its checkpoints.
  VerifyResult Verify(const std::string& path);
  // For the part that `ops` take of it. Looks at the index only, not into the file; estimates
  // nothing of a file without checkpoints (known is false then).
  IndexEstimate Estimate(const std::string& path, const std::vector<Op>& ops, const SampleKey& key);

 private:
  bool Lookup(const std::string& path, UniqueFd* fd);
  VerifyResult Unknown(const std::string& path);
  VerifyResult VerifyJpeg(ByteSpan jpeg);

  const std::shared_ptr<DecodeIndex> index_;
  const DecodeLimits limits_;
  DecodeIndex::Cursor cursor_;
  FileIdentity identity_;
  Checkpoints checkpoints_;
  ImageDecoder decoder_;
  JpegDecoder own_;
  TurboDecoder turbo_;
  ByteBuffer file_;
  ByteBuffer whole_pixels_;
  ByteBuffer pixels_;
};

}  // namespace stoker
