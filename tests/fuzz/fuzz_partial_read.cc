// Files of which a sample's crop is read and decoded by the index's checkpoints, while the file is
// cut, grows or is written over: before it is opened, and in front of any of its reads. What comes
// out must be the pixels (or the reason) of the bytes that were read, or those of the file that the
// index knows, where none of its bytes that the crop needs are others.
//
// The input chooses the file, the plan and the changes.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "codec/orientation.h"
#include "harness.h"
#include "image/resize_planes.h"
#include "pipeline/index_builder.h"
#include "pipeline/load_sample.h"
#include "support/ops.h"
#include "support/test_images.h"

namespace stoker::fuzz {
namespace {

using testing::Bytes;
using testing::JpegSpec;
using testing::Span;

constexpr timespec kOld[2] = {{1'000'000'000, 0}, {1'000'000'000, 0}};

// One thing that happens to the file.
struct Change {
  enum class Kind : uint8_t { kCut, kGrow, kOverwrite };
  Kind kind;
  int at_read;  // in front of the read of this number; 0: before the file is opened
  int64_t at;   // kCut: the new size; kOverwrite: from here on
  int bytes;    // kGrow, kOverwrite
  uint8_t mask;
  bool keep_time;

  void Do(const std::string& path) const {
    const UniqueFd fd = OpenRetrying(path.c_str(), O_RDWR);
    struct stat info {};
    if (!fd.valid() || fstat(fd.get(), &info) != 0) Finding("cannot open the target's own file");
    if (kind == Kind::kCut) {
      if (ftruncate(fd.get(), std::min<off_t>(at, info.st_size)) != 0) Finding("cannot cut");
    } else {
      const off_t from = kind == Kind::kGrow ? info.st_size : std::min<off_t>(at, info.st_size);
      Bytes there(static_cast<size_t>(bytes), 0x55);
      if (pread(fd.get(), there.data(), there.size(), from) < 0) Finding("cannot read");
      if (kind == Kind::kOverwrite) {
        there.resize(std::min(there.size(), static_cast<size_t>(info.st_size - from)));
      }
      for (uint8_t& byte : there) byte ^= mask;
      if (pwrite(fd.get(), there.data(), there.size(), from) < 0) Finding("cannot write");
    }
    if (keep_time && futimens(fd.get(), kOld) != 0) Finding("cannot set the time");
  }
};

ino_t InodeOf(int fd) {
  struct stat info {};
  if (fstat(fd, &info) != 0) Finding("cannot stat a file");
  return info.st_ino;
}

// What the core reads of a file until End(), and what happens to the file meanwhile.
class Reads {
 public:
  Reads(std::string path, const std::vector<Change>& changes)
      : path_(std::move(path)),
        inode_(InodeOf(OpenRetrying(path_.c_str(), O_RDONLY).get())),
        changes_(changes) {
    Before(0);
    current_ = this;
  }
  ~Reads() { End(); }
  Reads(const Reads&) = delete;
  Reads& operator=(const Reads&) = delete;

  void End() { current_ = nullptr; }

  // Null where nobody looks at what is read from `fd`.
  static Reads* Of(int fd) {
    return current_ != nullptr && InodeOf(fd) == current_->inode_ ? current_ : nullptr;
  }
  void BeforeNext() { Before(++count_); }
  // What a read from `at` on has brought.
  void Saw(off_t at, const void* data, ssize_t bytes) {
    if (bytes <= 0) {
      short_ = short_ || bytes == 0;
      return;
    }
    const auto end = static_cast<size_t>(at + bytes);
    if (seen_.size() < end) seen_.resize(end);
    std::copy_n(static_cast<const uint8_t*>(data), bytes, seen_.data() + at);
    last_end_ = end;
  }
  // All that was read, where it lies in the file.
  const Bytes& seen() const { return seen_; }
  // The bytes of the last reading, where that was of the whole file.
  Bytes whole() const {
    return {seen_.begin(), seen_.begin() + static_cast<std::ptrdiff_t>(last_end_)};
  }
  bool ended_early() const { return short_; }

 private:
  void Before(int read) {
    Reads* const self = std::exchange(current_, nullptr);  // these calls are not the core's
    for (const Change& change : changes_) {
      if (change.at_read == read) change.Do(path_);
    }
    current_ = self;
  }

  static Reads* current_;
  const std::string path_;
  const ino_t inode_;
  const std::vector<Change>& changes_;
  int count_ = 0;
  Bytes seen_;
  size_t last_end_ = 0;
  bool short_ = false;
};
Reads* Reads::current_ = nullptr;

}  // namespace
}  // namespace stoker::fuzz

// The linker gives the core these for read and pread (CMakeLists.txt).
extern "C" {
ssize_t __real_read(int fd, void* out, size_t bytes);
ssize_t __real_pread(int fd, void* out, size_t bytes, off_t at);

ssize_t __wrap_read(int fd, void* out, size_t bytes) {
  auto* const reads = stoker::fuzz::Reads::Of(fd);
  if (reads == nullptr) return __real_read(fd, out, bytes);
  reads->BeforeNext();
  const off_t at = lseek(fd, 0, SEEK_CUR);
  const ssize_t got = __real_read(fd, out, std::min<size_t>(bytes, 400'000));
  reads->Saw(at, out, got);
  return got;
}
ssize_t __wrap_pread(int fd, void* out, size_t bytes, off_t at) {
  auto* const reads = stoker::fuzz::Reads::Of(fd);
  if (reads == nullptr) return __real_pread(fd, out, bytes, at);
  reads->BeforeNext();
  const ssize_t got = __real_pread(fd, out, bytes, at);
  reads->Saw(at, out, got);
  return got;
}
}

namespace stoker::fuzz {
namespace {

// JPEGs behind which there is so much else that they are read in part, and an index that knows
// them.
class Files {
 public:
  struct File {
    std::string path;
    Bytes bytes;
    size_t jpeg_bytes;  // of them
    Checkpoints checkpoints;
  };

  Files() {
    constexpr int kSamplings[][2] = {{2, 2}, {1, 1}, {2, 1}};
    for (const auto& [h, v] : kSamplings) {
      JpegSpec spec;
      spec.width = 210;
      spec.height = 160;
      spec.quality = 95;
      spec.h_sampling = h;
      spec.v_sampling = v;
      spec.optimize = h == 1;
      const Bytes jpeg = testing::MakeJpeg(spec);
      Add(v == 1 && h == 2 ? testing::WithExifOrientation(jpeg, 6) : jpeg);
    }
    JpegSpec spec;
    spec.progressive = true;
    Add(testing::MakeJpeg(spec));
    Index(/*record=*/true);
    for (const File& file : files_) IndexBuilder(index_, {}).Build(file.path);
    index_->Flush(/*wait=*/true);
    for (File& file : files_) {
      DecodeIndex::Cursor cursor;
      if (!index_->Find(file.path, IdentityOf(file.path), &cursor, &file.checkpoints)) {
        Finding("no entry for the target's own file");
      }
    }
    Index(/*record=*/false);
  }

  const std::vector<File>& all() const { return files_; }
  const std::shared_ptr<DecodeIndex>& index() const { return index_; }
  static FileIdentity IdentityOf(const std::string& path) {
    return IdentifyFile(OpenFile(path.c_str()));
  }
  // As it was.
  static void Restore(const File& file) {
    const UniqueFd fd = OpenRetrying(file.path.c_str(), O_RDWR | O_CREAT | O_TRUNC, 0600);
    const bool good = fd.valid() &&
                      write(fd.get(), file.bytes.data(), file.bytes.size()) ==
                          static_cast<ssize_t>(file.bytes.size()) &&
                      futimens(fd.get(), kOld) == 0;
    if (!good) Finding("cannot write the target's own file");
  }

 private:
  void Add(const Bytes& jpeg) {
    Bytes bytes = jpeg;
    bytes.resize(kPartialReadBytes + 1000, 0x33);
    bytes[bytes.size() - 2] = 0xFF;  // an end of image, which is looked for from there
    bytes[bytes.size() - 1] = 0xD9;
    files_.push_back(
        {folder_.path() + "/" + std::to_string(files_.size()), bytes, jpeg.size(), {}});
    Restore(files_.back());
  }
  void Index(bool record) {
    DecodeIndexOptions options;
    options.sources = {{folder_.path() + "/an.index", ""}};
    options.record = record;
    options.key = IndexKey{1, 2};
    index_ = std::make_shared<DecodeIndex>(options);
  }

  const testing::TemporaryFolder folder_;
  std::vector<File> files_;
  std::shared_ptr<DecodeIndex> index_;
};

// The finished sample; where it was refused, the stage and the reason.
struct Result {
  std::string refused;
  Bytes slot;

  friend bool operator==(const Result& a, const Result& b) {
    return a.refused == b.refused && a.slot == b.slot;
  }
};

Result Refusal(Stage stage, const std::string& reason) {
  if (reason.empty()) Finding("no reason");
  return {StageName(stage) + (": " + reason), {}};
}

Result Loaded(SampleWorker* worker, const SamplePlan& plan, const std::string& path,
              const SampleKey& key, ReadAheadSlot* ahead) {
  Result result;
  result.slot.resize(plan.format.SampleBytes(*plan.FixedSize()));
  WorkerClock clock(NowNs());
  try {
    worker->LoadSample({path, nullptr}, key, ahead, &clock, result.slot.data());
  } catch (const DataError& e) {
    return Refusal(e.stage(), e.reason());
  }
  return result;
}

Result Prepared(const SamplePlan& plan, const Bytes& bytes, const SampleKey& key) {
  SampleWorker worker(plan);
  try {
    Result result;
    result.slot.resize(plan.format.SampleBytes(worker.Prepare(Span(bytes), key)));
    worker.Write(result.slot.data());
    return result;
  } catch (const StageError& e) {
    return Refusal(e.stage(), e.what());
  }
}

SamplePlan MakePlan(Input* in) {
  SamplePlan plan;
  const Size size{in->Between(1, 60), in->Between(1, 60)};
  plan.pixels = in->Bool() ? PixelMode::kFast : PixelMode::kExact;
  plan.dct_scaling = in->Bool();
  plan.decode.apply_exif_orientation = in->Byte() % 4 != 0;
  if (in->Bool()) {
    Op crop = testing::MakeOp(OpKind::kRandomCrop, size);
    crop.pad_if_needed = true;
    plan.ops = {crop};
  } else {
    Op crop = testing::MakeOp(OpKind::kRandomResizedCrop, size);
    crop.scale = {0.01, 1.0};
    plan.ops = {crop, testing::Flip(0.5)};
  }
  return plan;
}

std::vector<Change> MakeChanges(const Files::File& file, Input* in) {
  std::vector<Change> changes;
  for (int count = in->Byte() % 4; count > 0; --count) {
    Change change{};
    change.kind = static_cast<Change::Kind>(in->Byte() % 3);
    change.at_read = in->Byte() % 5;
    change.at = in->Byte() % 4 == 0 ? static_cast<int64_t>(file.bytes.size()) - in->Between(0, 2000)
                                    : in->Between(0, static_cast<int>(file.jpeg_bytes));
    change.bytes = in->Between(1, in->Bool() ? 4 : 3000);
    change.mask = static_cast<uint8_t>(in->Byte() | 1);
    change.keep_time = in->Byte() % 4 != 0;
    changes.push_back(change);
  }
  return changes;
}

// Whether the header, or data that the crop's MCUs lie in, were read other than they once were.
bool CropIsTouched(const Files::File& file, const SamplePlan& plan, const SampleKey& key,
                   const Bytes& seen) {
  const Checkpoints& known = file.checkpoints;
  const int orientation = plan.decode.apply_exif_orientation ? known.orientation : 1;
  Geometry geometry;
  ResolveGeometry(plan.ops, UprightSize(known.size, orientation), key, &geometry);
  const auto resize = AsPlaneResize(geometry);
  const bool scaled = plan.dct_scaling && plan.pixels == PixelMode::kFast && resize;
  std::vector<CheckpointRun> runs;
  known.RunsUnder(McusUnder(StoredRect(geometry.decode, known.size, orientation),
                            scaled ? resize->DctScale() : 1, known.size, known.max_h, known.max_v),
                  &runs);
  const auto same = [&](uint64_t begin, uint64_t end) {
    if (end > seen.size()) Finding("the crop's data were not read");
    return std::equal(seen.data() + begin, seen.data() + end, file.bytes.data() + begin);
  };
  bool untouched = same(0, known.scan_begin);
  for (const CheckpointRun& run : runs) {
    untouched = untouched && same(known.scan_begin + known.at[run.first].bit / 8,
                                  known.scan_begin + known.at[run.last].bit / 8 + 1);
  }
  return !untouched;
}

void Check(Input in) {
  static const Files files;
  const Files::File& file = files.all()[static_cast<size_t>(in.Byte()) % files.all().size()];
  const SamplePlan plan = MakePlan(&in);
  const SampleKey key{1, 2, static_cast<uint64_t>(in.Byte()), 0};
  const std::vector<Change> changes = MakeChanges(file, &in);
  if (changes.empty() && in.Byte() != 0) return;

  const FileIdentity known = Files::IdentityOf(file.path);
  SampleWorker worker(plan, files.index());
  ReadAheadSlot ahead;
  if (in.Bool()) worker.ReadAhead(file.path, key, &ahead);
  Reads reads(file.path, changes);
  const Result result = Loaded(&worker, plan, file.path, key, &ahead);
  reads.End();
  IndexCounts counts;
  worker.index_counter().AddTo(&counts);
  const bool used = counts.samples[static_cast<size_t>(IndexOutcome::kUsed)] > 0;
  if (reads.ended_early()) {
    if (result.refused.find("shrank") == std::string::npos) Finding("a cut file was not refused");
  } else if (!used) {
    if (!(result == Prepared(plan, reads.whole(), key)))
      Finding("not what the file's bytes give: " + result.refused);
  } else if (!(Files::IdentityOf(file.path) == known)) {
    Finding("the index was believed of another file: " + result.refused);
  } else if (!CropIsTouched(file, plan, key, reads.seen())) {
    if (!(result == Prepared(plan, file.bytes, key))) Finding("not the known file's pixels");
  }
  if (!changes.empty()) Files::Restore(file);
}

}  // namespace
}  // namespace stoker::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  stoker::fuzz::Check({data, size});
  return 0;
}
