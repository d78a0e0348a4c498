// How often an index has come before in this epoch, so that a sampler with replacement gets fresh
// random numbers each time, whatever the number of workers.
//
// One byte a sample, and a map for the rare index that comes more than 254 times.
// Threads: one at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

namespace stoker {

class OccurrenceCounter {
 public:
  void Reset(size_t samples) {
    seen_.assign(samples, 0);
    many_.clear();
  }
  // REQUIRES: index < samples.
  uint32_t CountBefore(size_t index) {
    uint8_t& seen = seen_[index];
    if (seen < kMany) return seen++;
    return many_.emplace(index, uint32_t{kMany}).first->second++;
  }

  // Undoes the last CountBefore of this index.
  void TakeBack(size_t index) {
    const auto found = seen_[index] < kMany ? many_.end() : many_.find(index);
    if (found == many_.end() || found->second == kMany) {
      --seen_[index];
    } else {
      --found->second;
    }
  }

 private:
  static constexpr uint8_t kMany = 255;
  std::vector<uint8_t> seen_;
  std::unordered_map<size_t, uint32_t> many_;
};

}  // namespace stoker
