// What the fuzz targets share: how they read the fuzzer's bytes and how they say what they found.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "base/bytes.h"
#include "image/simd.h"

namespace stoker::fuzz {

// Ends the process, upon which libFuzzer keeps the input.
[[noreturn]] inline void Finding(const std::string& what) {
  std::fprintf(stderr, "FINDING: %s\n", what.c_str());
  std::abort();
}

// Each input is tried on one of the SIMD targets; which one depends on its size alone.
inline void SetTargetBy(size_t size) {
  static const auto targets = SimdTargets();
  SetSimdTarget(targets[size % targets.size()]);
}

// Numbers from the front of the input. Past its end they are all zero.
class Input {
 public:
  Input(const uint8_t* data, size_t size) : bytes_{data, size} {}

  int Byte() {
    if (bytes_.size == 0) return 0;
    const uint8_t byte = *bytes_.data++;
    --bytes_.size;
    return byte;
  }
  bool Bool() { return Byte() % 2 != 0; }
  // REQUIRES: first <= last < first + 65536.
  int Between(int first, int last) {
    const int high = Byte();
    return first + (high << 8 | Byte()) % (last - first + 1);
  }
  // What has not been read yet.
  ByteSpan rest() const { return bytes_; }
  // `count` bytes made of all that has not been read, repeated (and changed) as often as needed.
  void Fill(uint8_t* to, size_t count) const {
    for (size_t i = 0; i < count; ++i) {
      const size_t round = bytes_.size == 0 ? 0 : i / bytes_.size;
      const uint8_t byte = bytes_.size == 0 ? uint8_t{0} : bytes_[i % bytes_.size];
      to[i] = static_cast<uint8_t>(byte + 37 * round);
    }
  }

 private:
  ByteSpan bytes_;
};

}  // namespace stoker::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
