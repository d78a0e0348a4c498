// What the decode index did for a loader's samples.
//
// Threads: each counter is added to by the worker that owns it, and read by anybody at any time.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace stoker {

// Each sample is one of these.
enum class IndexOutcome : uint8_t {
  kUsed = 0,      // decoded from checkpoints on
  kNothing = 1,   // its entry has none: a file that needs or takes no checkpoints
  kUnknown = 2,   // no entry, and none made
  kRecorded = 3,  // no entry; one was made
  kRejected = 4,  // an entry that was not this file's, or does not fit it
};
inline constexpr size_t kIndexOutcomes = 5;

struct IndexCounts {
  std::array<uint64_t, kIndexOutcomes> samples{};
  // Of those that used it: bytes of entropy-coded data that were decoded, and that would have been
  // without checkpoints.
  uint64_t decoded_bytes = 0;
  uint64_t plain_bytes = 0;

  void Add(const IndexCounts& other) {
    for (size_t i = 0; i < samples.size(); ++i) samples[i] += other.samples[i];
    decoded_bytes += other.decoded_bytes;
    plain_bytes += other.plain_bytes;
  }
  // What came on top of `earlier`, a former value of the same sum.
  IndexCounts Since(const IndexCounts& earlier) const {
    IndexCounts since = *this;
    for (size_t i = 0; i < samples.size(); ++i) since.samples[i] -= earlier.samples[i];
    since.decoded_bytes -= earlier.decoded_bytes;
    since.plain_bytes -= earlier.plain_bytes;
    return since;
  }
};

class IndexCounter {
 public:
  void Count(IndexOutcome outcome, uint64_t decoded_bytes, uint64_t plain_bytes) {
    Increase(&samples_[static_cast<size_t>(outcome)], 1);
    Increase(&decoded_bytes_, decoded_bytes);
    Increase(&plain_bytes_, plain_bytes);
  }
  void AddTo(IndexCounts* sum) const {
    for (size_t i = 0; i < samples_.size(); ++i) sum->samples[i] += Value(samples_[i]);
    sum->decoded_bytes += Value(decoded_bytes_);
    sum->plain_bytes += Value(plain_bytes_);
  }

 private:
  using Number = std::atomic<uint64_t>;
  static uint64_t Value(const Number& number) { return number.load(std::memory_order_relaxed); }
  // One writer: no read-modify-write is needed.
  static void Increase(Number* number, uint64_t by) {
    number->store(Value(*number) + by, std::memory_order_relaxed);
  }

  std::array<Number, kIndexOutcomes> samples_{};
  Number decoded_bytes_{0};
  Number plain_bytes_{0};
};

}  // namespace stoker
