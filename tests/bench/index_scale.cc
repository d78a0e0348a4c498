// A decode index of ImageNet's size without the images: what it costs to write, to open, to keep
// and to look up, and what a mapping would have cost instead of pread.
//
//   build/…/lib/stoker_index_scale [--entries 1300000] [--lookups 100000] [--file PATH]
//
// The file (about 1 KB an entry) is removed at the end. Writing happens in a process of its own,
// so that the memory which the other one reports is the reader's.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/clock.h"
#include "io/index_reader.h"
#include "io/index_writer.h"

namespace stoker {
namespace {

struct Options {
  uint64_t entries = 1'300'000;
  uint64_t lookups = 100'000;
  std::string file = "/tmp/stoker_index_scale.index";
};

// As DecodeIndex chooses them.
constexpr uint64_t kFirstPortionBytes = uint64_t{4} << 20;
constexpr uint64_t kMaxPortionBytes = uint64_t{64} << 20;

constexpr uint64_t kAbsent = uint64_t{1} << 40;  // images from here on are not in the index

double Seconds(int64_t since_ns) { return static_cast<double>(NowNs() - since_ns) * 1e-9; }

uint64_t NameOf(uint64_t image) {
  std::array<char, 64> name{};
  const int length = std::snprintf(name.data(), name.size(), "train/n%08llu/n%08llu_%llu.JPEG",
                                   static_cast<unsigned long long>(image / 1300),
                                   static_cast<unsigned long long>(image / 1300),
                                   static_cast<unsigned long long>(image));
  return HashName({name.data(), static_cast<size_t>(length)});
}

FileIdentity IdentityOf(uint64_t image) {
  return {60'000 + image % 100'000, static_cast<int64_t>(1'500'000'000 + image) * 1'000'000'000};
}

// 800 to 1,000 bytes that nobody else has.
void FillPayload(uint64_t image, std::vector<uint8_t>* payload) {
  payload->resize(800 + image % 201);
  std::mt19937_64 random(image);
  for (size_t at = 0; at < payload->size(); at += sizeof(uint64_t)) {
    const uint64_t word = random();
    std::memcpy(payload->data() + at, &word, std::min(sizeof word, payload->size() - at));
  }
}

uint64_t FileBytes(const std::string& path) {
  struct stat info {};
  return stat(path.c_str(), &info) == 0 ? static_cast<uint64_t>(info.st_size) : 0;
}

uint64_t ResidentBytes() {
  unsigned long long total = 0;
  unsigned long long resident = 0;
  FILE* file = std::fopen("/proc/self/statm", "r");
  if (file == nullptr || std::fscanf(file, "%llu %llu", &total, &resident) != 2) resident = 0;
  if (file != nullptr) std::fclose(file);
  return resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

void Write(const Options& options) {
  const int64_t begin = NowNs();
  int64_t append_ns = 0;
  double slowest = 0;
  int portions = 0;
  uint64_t portion_bytes = kFirstPortionBytes;
  NewEntries entries;
  std::vector<uint8_t> payload;
  for (uint64_t image = 0; image < options.entries; ++image) {
    FillPayload(image, &payload);
    entries.Add(NameOf(image), IdentityOf(image), {payload.data(), payload.size()});
    if (entries.bytes() < portion_bytes && image + 1 < options.entries) continue;
    const int64_t append = NowNs();
    AppendToIndex(options.file, "", entries, IndexKey{});
    append_ns += NowNs() - append;
    slowest = std::max(slowest, Seconds(append));
    entries = {};
    ++portions;
    portion_bytes = std::clamp(FileBytes(options.file) / 8, kFirstPortionBytes, kMaxPortionBytes);
  }
  std::printf(
      "written        %.1f s in %d portions, of which %.1f s in AppendToIndex (the slowest"
      " %.2f s)\n",
      Seconds(begin), portions, static_cast<double>(append_ns) * 1e-9, slowest);
}

void Merge(const Options& options) {
  const int64_t begin = NowNs();
  CompactIndex(options.file, nullptr, IndexKey{});
  std::printf("merged         %.1f s\n", Seconds(begin));
}

void InAnotherProcess(void (*work)(const Options&), const Options& options) {
  std::fflush(stdout);
  const pid_t pid = fork();
  if (pid == 0) {
    int code = 0;
    try {
      work(options);
    } catch (const std::exception& e) {
      std::fprintf(stderr, "%s\n", e.what());
      code = 1;
    }
    std::fflush(stdout);
    _exit(code);
  }
  int status = 0;
  struct rusage usage {};
  if (pid < 0 || wait4(pid, &status, 0, &usage) != pid || status != 0) {
    throw std::runtime_error("the process that writes has failed");
  }
  std::printf("               that process's memory: %.0f MB at most\n",
              static_cast<double>(usage.ru_maxrss) * 1024e-6);
}

std::shared_ptr<const IndexReader> Open(const std::string& path) {
  IndexState state = IndexState::kMissing;
  auto reader = IndexReader::Open(path, IndexKey{}, &state);
  if (!reader) throw std::runtime_error(path + " " + IndexStateText(state));
  return reader;
}

void ForgetPages(const std::string& path) {
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED) != 0) std::printf("(pages stay)\n");
}

// Look-ups per second of images from `first` to first + count − 1, drawn at random.
double Lookups(const IndexReader& reader, uint64_t first, uint64_t count, uint64_t lookups,
               bool there) {
  IndexReader::Scratch scratch;
  std::mt19937_64 random(first);
  const int64_t begin = NowNs();
  for (uint64_t i = 0; i < lookups; ++i) {
    const uint64_t image = first + random() % count;
    if (reader.Find(NameOf(image), IdentityOf(image), &scratch) != there) {
      throw std::runtime_error("image " + std::to_string(image) + ": a wrong answer");
    }
  }
  return static_cast<double>(lookups) / Seconds(begin);
}

void CheckPayloads(const IndexReader& reader, uint64_t entries) {
  IndexReader::Scratch scratch;
  std::vector<uint8_t> payload;
  for (uint64_t image = 0; image < entries; image += 1 + entries / 1000) {
    FillPayload(image, &payload);
    if (!reader.Find(NameOf(image), IdentityOf(image), &scratch) || scratch.payload != payload) {
      throw std::runtime_error("image " + std::to_string(image) + ": not its own payload");
    }
  }
}

struct Piece {
  uint64_t offset;
  size_t bytes;
};

// What look-ups of randomly chosen entries read: the bucket, its records, the payload.
std::vector<Piece> PiecesOf(const IndexReader& reader, uint64_t lookups) {
  const uint64_t stride = std::max<uint64_t>(1, reader.records() / lookups);
  std::vector<std::array<Piece, 3>> chosen;
  uint64_t number = 0;
  const IndexReader::Block* block = nullptr;
  uint64_t in_block = 0;
  reader.ForEach([&](const IndexReader::Block& b, const IndexRecord& record) {
    if (block != &b) in_block = 0;
    block = &b;
    if (number++ % stride == 0) {
      const uint64_t records_at = b.offset + b.header.directory;
      const uint64_t bucket = record.name >> (64 - b.header.bucket_bits);
      const uint64_t buckets_at = records_at + b.header.records * sizeof(IndexRecord);
      const uint64_t at = in_block - std::min<uint64_t>(in_block, 8);  // about the bucket's first
      const size_t count = std::min<uint64_t>(16, b.header.records - at);
      chosen.push_back({{{buckets_at + bucket * sizeof(uint32_t), 2 * sizeof(uint32_t)},
                         {records_at + at * sizeof(IndexRecord), count * sizeof(IndexRecord)},
                         {b.offset + record.payload, record.payload_bytes + kTagBytes}}});
    }
    ++in_block;
    return true;
  });
  std::shuffle(chosen.begin(), chosen.end(), std::mt19937_64(1));
  std::vector<Piece> pieces;
  for (const auto& three : chosen) pieces.insert(pieces.end(), three.begin(), three.end());
  return pieces;
}

// Per second, three pieces a look-up.
template <typename Read>
double Reads(const std::vector<Piece>& pieces, const Read& read) {
  std::array<uint8_t, 2048> bytes;
  const int64_t begin = NowNs();
  for (const Piece& piece : pieces) read(piece, bytes.data());
  return static_cast<double>(pieces.size()) / 3 / Seconds(begin);
}

void CompareWithMapping(const IndexReader& reader, const Options& options) {
  const std::vector<Piece> pieces = PiecesOf(reader, options.lookups);
  const UniqueFd fd(open(options.file.c_str(), O_RDONLY | O_CLOEXEC));
  const auto by_pread = [&](const Piece& piece, uint8_t* to) {
    const ssize_t got = pread(fd.get(), to, piece.bytes, static_cast<off_t>(piece.offset));
    if (got != static_cast<ssize_t>(piece.bytes)) throw std::runtime_error("a short read");
  };
  Reads(pieces, by_pread);  // the page cache has it all now
  const double pread_per_s = Reads(pieces, by_pread);

  const uint64_t size = FileBytes(options.file);
  const uint64_t before = ResidentBytes();
  void* const mapping = mmap(nullptr, size, PROT_READ, MAP_SHARED, fd.get(), 0);
  if (mapping == MAP_FAILED) throw std::runtime_error("mmap failed");
  madvise(mapping, size, MADV_RANDOM);
  const auto by_copy = [&](const Piece& piece, uint8_t* to) {
    std::memcpy(to, static_cast<const uint8_t*>(mapping) + piece.offset, piece.bytes);
    asm volatile("" : : "r"(to) : "memory");
  };
  const double first_per_s = Reads(pieces, by_copy);
  const uint64_t resident = ResidentBytes() - before;
  const double copy_per_s = Reads(pieces, by_copy);
  munmap(mapping, size);
  std::printf(
      "the same bytes, three pieces a look-up\n"
      "  pread        %.0f a second\n"
      "  a mapping    %.0f a second, %.0f where its pages are not mapped yet; %.1f MB more"
      " resident\n",
      pread_per_s, copy_per_s, first_per_s, static_cast<double>(resident) * 1e-6);
}

void Measure(const Options& options) {
  std::printf("%llu entries, %.1f MB, in %s\n", static_cast<unsigned long long>(options.entries),
              static_cast<double>(FileBytes(options.file)) * 1e-6, options.file.c_str());
  const uint64_t before = ResidentBytes();
  ForgetPages(options.file);
  int64_t begin = NowNs();
  Open(options.file);
  const double cold_ms = Seconds(begin) * 1e3;
  begin = NowNs();
  const auto reader = Open(options.file);
  std::printf("opened         %.3f ms (%.3f ms with cold pages), %zu blocks\n",
              Seconds(begin) * 1e3, cold_ms, reader->blocks().size());
  if (reader->records() != options.entries) throw std::runtime_error("entries are missing");
  const uint64_t opened = ResidentBytes();
  const double cold = Lookups(*reader, 0, options.entries, options.lookups, true);
  const double hit = Lookups(*reader, 0, options.entries, options.lookups, true);
  const double miss = Lookups(*reader, kAbsent, kAbsent, options.lookups, false);
  const uint64_t looked_up = ResidentBytes();
  CheckPayloads(*reader, options.entries);
  const auto mb = [&](uint64_t bytes) { return static_cast<double>(bytes - before) * 1e-6; };
  std::printf("resident       +%.2f MB when opened, +%.2f MB after the look-ups\n", mb(opened),
              mb(looked_up));
  std::printf("look-ups       %.0f a second there, %.0f not there, %.0f there with cold pages\n",
              hit, miss, cold);
  CompareWithMapping(*reader, options);
}

Options Parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i];
    if (name == "--entries") {
      options.entries = std::stoull(argv[i + 1]);
    } else if (name == "--lookups") {
      options.lookups = std::stoull(argv[i + 1]);
    } else if (name == "--file") {
      options.file = argv[i + 1];
    } else {
      throw std::invalid_argument("unknown option " + name);
    }
  }
  if (argc % 2 == 0 || options.entries == 0 || options.lookups == 0) {
    throw std::invalid_argument("[--entries N] [--lookups N] [--file PATH]");
  }
  if (FileBytes(options.file) > 0) throw std::invalid_argument(options.file + " is there already");
  return options;
}

int Main(int argc, char** argv) {
  try {
    const Options options = Parse(argc, argv);
    int code = 0;
    try {
      InAnotherProcess(Write, options);
      Measure(options);
      InAnotherProcess(Merge, options);
      Measure(options);
    } catch (const std::exception& e) {
      std::fprintf(stderr, "stoker_index_scale: %s\n", e.what());
      code = 1;
    }
    unlink(options.file.c_str());
    return code;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "stoker_index_scale: %s\n", e.what());
    return 2;
  }
}

}  // namespace
}  // namespace stoker

int main(int argc, char** argv) { return stoker::Main(argc, argv); }
