// The decode index against hostile files and hostile checkpoints: its reader as it stands, and the
// decoder with what came out of it. Both are behind checksums that no fuzzer guesses, so that most
// inputs have them put right first. The first byte chooses what the rest is:
//   an index file; one whose checksums (and, by the second byte, more) are put right;
//   packed checkpoints, whose header is made to fit the JPEG; changes to the JPEG's own.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "codec/jpeg/baseline_decoder.h"
#include "codec/jpeg/checkpoints.h"
#include "codec/jpeg/header.h"
#include "harness.h"
#include "io/file_reader.h"
#include "io/index_format.h"
#include "io/index_reader.h"
#include "support/test_images.h"

namespace stoker::fuzz {
namespace {

using testing::Bytes;
using testing::JpegSpec;
using testing::Span;

// A small JPEG, and the checkpoints that our decoder makes of it.
struct Reference {
  Bytes jpeg;
  Checkpoints checkpoints;
  JpegHeader header;

  explicit Reference(int sampling) {
    JpegSpec spec;
    spec.width = 150;
    spec.height = 70;
    spec.h_sampling = spec.v_sampling = sampling;
    jpeg = testing::MakeJpeg(spec);
    BaselineDecoder decoder;
    CheckpointUse use;
    use.record = &checkpoints;
    use.budget_bytes = 10'000;
    YccPlanes planes;
    const bool good = decoder.Open(Span(jpeg), &use) && decoder.Decode({0, 0, 1, 1}, 1, &planes) &&
                      use.recorded && ParseJpegHeader(Span(jpeg), &header);
    if (!good || checkpoints.at.size() < 10) Finding("no checkpoints of the target's own JPEG");
  }
};

const Reference& ReferenceOf(bool subsampled) {
  static const std::array<Reference, 2> references{Reference(1), Reference(2)};
  return references[subsampled ? 1 : 0];
}

Rect RegionIn(Size size, Input* in) {
  const int left = in->Between(0, size.width - 1);
  const int top = in->Between(0, size.height - 1);
  return {left, top, in->Between(1, size.width - left), in->Between(1, size.height - top)};
}

// Reads every sample, so that the sanitizer sees what lies outside.
std::vector<uint8_t> Samples(const YccPlanes& planes) {
  std::vector<uint8_t> out;
  for (int c = 0; c < planes.count; ++c) {
    const PlaneView& plane = planes.plane[static_cast<size_t>(c)];
    for (int y = plane.rect.top; y < plane.rect.bottom(); ++y) {
      out.insert(out.end(), plane.row(y), plane.row(y) + plane.rect.width);
    }
  }
  return out;
}

// What the decoder says of a region with these checkpoints must be true.
void DecodeBy(const Checkpoints& checkpoints, const Reference& reference, Input* in) {
  constexpr std::array<int, 4> kScales{1, 2, 4, 8};
  const int scale = kScales[static_cast<size_t>(in->Byte() % 4)];
  const Rect region = RegionIn(reference.header.size, in);
  BaselineDecoder plain;
  YccPlanes planes;
  if (!plain.Open(Span(reference.jpeg)) || !plain.Decode(region, scale, &planes)) {
    Finding("the target's own JPEG is declined");
  }
  const std::vector<uint8_t> expected = Samples(planes);

  BaselineDecoder decoder;
  CheckpointUse use;
  use.use = &checkpoints;
  if (!decoder.Open(Span(reference.jpeg), &use) || !decoder.Decode(region, scale, &planes)) {
    Finding("bad checkpoints make the decoder decline");
  }
  const std::vector<uint8_t> samples = Samples(planes);
  if (use.used == use.rejected) Finding("neither used nor rejected");
  if (samples.size() != expected.size()) Finding("another size by checkpoints");
  const bool own = checkpoints.at == reference.checkpoints.at && checkpoints.Fit(reference.header);
  if (own && !use.used) Finding("the file's own checkpoints are rejected");
  if ((own || use.rejected) && samples != expected) Finding("other samples");
}

// Packed checkpoints of whatever origin.
void CheckPacked(ByteSpan packed, const Reference& reference, Input in) {
  Checkpoints checkpoints;
  if (!checkpoints.Unpack(packed)) return;
  std::vector<uint8_t> again;
  Checkpoints copy;
  if (!checkpoints.Pack(&again) || !copy.Unpack({again.data(), again.size()}) ||
      !(copy.at == checkpoints.at)) {
    Finding("what was unpacked packs to something else");
  }
  if (!checkpoints.usable()) return;
  const McuRect mcus = McusUnder(RegionIn(checkpoints.size, &in), 1, checkpoints.size,
                                 checkpoints.max_h, checkpoints.max_v);
  if (checkpoints.BitsFor(mcus) > 2 * checkpoints.PlainBitsFor(mcus)) {
    Finding("more to decode with checkpoints than without");
  }
  std::vector<CheckpointRun> runs;
  checkpoints.RunsUnder(mcus, &runs);
  if (runs.empty() || runs.back().last >= checkpoints.at.size()) Finding("a run past the end");
  DecodeBy(checkpoints, reference, &in);
  const auto budget = static_cast<size_t>(in.Between(0, 2000));
  checkpoints.PackWithin(budget, &again);
  if (again.size() > std::max(budget, kPackedSizeBytes) ||
      !copy.Unpack({again.data(), again.size()}) || !(copy.at == checkpoints.at)) {
    Finding("what PackWithin left cannot be had back");
  }
}

// The rest of the input behind a header that fits the JPEG.
void CheckPackedToFit(Input in) {
  const Reference& reference = ReferenceOf(in.Bool());
  Checkpoints shape = reference.checkpoints;
  shape.orientation = in.Between(1, 8);
  shape.Thin(in.Between(1, 6));
  std::vector<uint8_t> packed;
  if (!shape.Pack(&packed)) Finding("the target's own checkpoints cannot be packed");
  packed[18] = static_cast<uint8_t>(in.Between(1, 32));
  size_t bits = packed[18];
  for (size_t i = 19; i < 22; ++i) {
    packed[i] = static_cast<uint8_t>(in.Between(0, 16));
    bits += packed[i];
  }
  packed.resize(kPackedSizeBytes + ((shape.at.size() - 1) * bits + 7) / 8);
  in.Fill(packed.data() + kPackedSizeBytes, packed.size() - kPackedSizeBytes);
  CheckPacked({packed.data(), packed.size()}, reference, in);
}

// The JPEG's own checkpoints, a few of them changed: so that some runs of them are right.
void CheckChanged(Input in) {
  const Reference& reference = ReferenceOf(in.Bool());
  Checkpoints changed = reference.checkpoints;
  changed.Thin(in.Between(1, 4));
  for (int changes = in.Between(0, 4); changes > 0; --changes) {
    Checkpoint& at =
        changed.at[static_cast<size_t>(in.Between(1, static_cast<int>(changed.at.size()) - 1))];
    at.bit += static_cast<uint64_t>(in.Between(-40, 40));
    at.dc[static_cast<size_t>(in.Between(0, 2))] += in.Between(-300, 300);
  }
  if (in.Bool()) changed.at.back().bit += static_cast<uint64_t>(in.Between(0, 60'000));
  std::vector<uint8_t> packed;
  if (changed.Pack(&packed)) CheckPacked({packed.data(), packed.size()}, reference, in);
}

// What of an index file is put right.
struct Repairs {
  bool header, blocks, shapes, payloads;

  explicit Repairs(int flags)
      : header((flags & 1) == 0),
        blocks((flags & 2) == 0),
        shapes((flags & 4) == 0),
        payloads((flags & 8) == 0) {}
};

template <typename T>
T At(const Bytes& file, size_t offset) {
  T pod{};
  std::memcpy(&pod, file.data() + offset, sizeof pod);
  return pod;
}
template <typename T>
void PutAt(const T& pod, size_t offset, Bytes* file) {
  std::memcpy(file->data() + offset, &pod, sizeof pod);
}

// Payloads that lie inside their block get the checksum of what is there.
void RepairPayloads(const BlockHeader& block, size_t begin, Bytes* file) {
  const size_t records_at = begin + block.directory;
  for (uint64_t i = 0; i < block.records; ++i) {
    const size_t at = records_at + i * sizeof(IndexRecord);
    if (at + sizeof(IndexRecord) > file->size()) return;
    const auto record = At<IndexRecord>(*file, at);
    const uint64_t checksum_at = uint64_t{record.payload} + record.payload_bytes;
    if (checksum_at + kTagBytes > block.directory) continue;
    const ByteSpan payload{file->data() + begin + record.payload, record.payload_bytes};
    PutAt(RecordTag(IndexKey{}, record, payload), begin + checksum_at, file);
  }
}

void RepairBlocks(size_t begin, const Repairs& repairs, Bytes* file) {
  while (begin + sizeof(BlockHeader) <= file->size()) {
    auto block = At<BlockHeader>(*file, begin);
    const size_t left = (file->size() - begin) / kIndexAlignment * kIndexAlignment;
    std::memcpy(block.magic, kBlockMagic, sizeof block.magic);
    block.offset = begin;
    if (repairs.shapes) {
      block.bytes = (block.bytes % left) / kIndexAlignment * kIndexAlignment + kIndexAlignment;
      block.bucket_bits = 1 + block.bucket_bits % 5;
      block.directory = sizeof block + block.directory % block.bytes / 8 * 8;
      const uint64_t buckets = ((uint64_t{1} << block.bucket_bits) + 1) * sizeof(uint32_t);
      const uint64_t room = block.bytes - std::min(block.bytes, block.directory + buckets);
      block.records = static_cast<uint32_t>(block.records % (room / sizeof(IndexRecord) + 1));
    }
    block.checksum = BlockChecksum(block);
    PutAt(block, begin, file);
    const bool inside = block.directory >= sizeof block && block.directory <= left;
    if (repairs.payloads && inside) RepairPayloads(block, begin, file);
    if (block.bytes == 0 || block.bytes > left) return;
    begin += block.bytes;
  }
}

void Repair(const Repairs& repairs, Bytes* file) {
  if (file->size() < sizeof(IndexHeader)) file->resize(sizeof(IndexHeader));
  auto header = At<IndexHeader>(*file, 0);
  std::memcpy(header.magic, kIndexMagic, sizeof header.magic);
  header.version = kIndexVersion;
  if (repairs.header) {
    header.root_bytes %= std::min<uint32_t>(100, static_cast<uint32_t>(file->size() - 63));
  }
  header.first_block = AlignedUp(sizeof header + header.root_bytes);
  if (header.root_bytes <= file->size() - sizeof header) {
    const auto* root = reinterpret_cast<const char*>(file->data() + sizeof header);
    header.checksum = IndexChecksum(header, {root, header.root_bytes});
  }
  PutAt(header, 0, file);
  if (repairs.blocks) RepairBlocks(header.first_block, repairs, file);
}

UniqueFd InMemory(const Bytes& bytes) {
  UniqueFd fd(memfd_create("index", MFD_CLOEXEC));
  const bool good =
      fd.valid() && fchmod(fd.get(), 0600) == 0 &&
      write(fd.get(), bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size());
  if (!good) Finding("cannot make a file");
  return fd;
}

void CheckIndex(const Bytes& file, Input in) {
  IndexState state{};
  const auto index = IndexReader::Open(InMemory(file), "fuzzed", IndexKey{}, &state);
  if ((state == IndexState::kGood) != (index != nullptr)) Finding("a reader, and a bad state");
  if (!index) return;
  IndexReader::Scratch scratch;
  uint64_t visited = 0;
  int decoded = 0;
  index->ForEach([&](const IndexReader::Block& block, const IndexRecord& record) {
    const bool reads = index->ReadPayload(block, record, &scratch);
    if (reads && scratch.payload.size() != record.payload_bytes) Finding("half a payload");
    const bool found = index->Find(record.name, record.file, &scratch);
    if (found && !index->Contains(record.name)) Finding("found, and not contained");
    if (found && decoded++ < 4) {
      const Bytes payload = scratch.payload;
      CheckPacked(Span(payload), ReferenceOf(record.name % 2 != 0), in);
    }
    return ++visited < 2000;
  });
  if (visited > index->records()) Finding("more records than there are");
  for (const IndexReader::Block& block : index->blocks()) {
    IndexRecord record{};
    in.Fill(reinterpret_cast<uint8_t*>(&record), sizeof record);
    index->ReadPayload(block, record, &scratch);
    index->Find(record.name, record.file, &scratch);
  }
  if (index->end() < sizeof(IndexHeader)) Finding("the next block would go into the header");
}

void Check(Input in) {
  switch (in.Byte() % 4) {
    case 0: return CheckIndex({in.rest().begin(), in.rest().end()}, in);
    case 1: {
      const Repairs repairs(in.Byte());
      Bytes file{in.rest().begin(), in.rest().end()};
      Repair(repairs, &file);
      return CheckIndex(file, in);
    }
    case 2: return CheckPackedToFit(in);
    default: return CheckChanged(in);
  }
}

}  // namespace
}  // namespace stoker::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  stoker::fuzz::Check({data, size});
  return 0;
}
