// Random numbers that belong to a sample, not to a worker: Philox4x32-10 (Salmon et al., "Parallel
// Random Numbers: As Easy as 1, 2, 3", SC 2011), a function of a key and a counter with no state to
// pass around. The same sample gets the same numbers on any worker, rank or machine, and after a
// resume.
//
// Threads: any; pure. Never fails.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace stoker {

using PhiloxBlock = std::array<uint32_t, 4>;

// Ten rounds, as in the paper (and Random123, PyTorch, NumPy).
inline PhiloxBlock Philox4x32(PhiloxBlock counter, std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53} * counter[0];
    const uint64_t p1 = uint64_t{0xCD9E8D57} * counter[2];
    counter = {static_cast<uint32_t>(p1 >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(p1),
               static_cast<uint32_t>(p0 >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(p0)};
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  return counter;
}

// What a sample's random numbers are keyed by.
struct SampleKey {
  uint64_t base_seed = 0;
  uint32_t epoch = 0;       // epochs since base_seed was drawn
  uint64_t index = 0;       // of the sample in its data set; below 2^48
  uint32_t occurrence = 0;  // how often this index came before in this epoch
};

// The numbers of one operation on one sample, in a fixed order.
class OpRandom {
 public:
  // `op`: the operation's position in its plan.
  OpRandom(const SampleKey& key, int op) : key_(key), op_(static_cast<uint32_t>(op) & 0xFF) {}

  // Uniform in [0, 1), 53 bits.
  double Uniform() { return static_cast<double>(Next64() >> 11) * 0x1p-53; }
  // Uniform in [low, high).
  double Uniform(double low, double high) { return low + (high - low) * Uniform(); }
  // Uniform in {0 … n − 1}. REQUIRES: n > 0. Its bias is below n / 2^64.
  int Below(int n) {
    return static_cast<int>(static_cast<Uint128>(Next64()) * static_cast<unsigned>(n) >> 64);
  }
  // Moves the numbers 0 … n − 1 in `order` to a place each, all orders alike. REQUIRES: 0 <= n <=
  // N.
  template <size_t N>
  void Permutation(int n, std::array<uint8_t, N>* order) {
    for (int i = 0; i < n; ++i) {
      const auto at = static_cast<size_t>(Below(i + 1));
      (*order)[static_cast<size_t>(i)] = (*order)[at];
      (*order)[at] = static_cast<uint8_t>(i);
    }
  }
  // 64 random bits.
  uint64_t Next64() {
    if (used_ == 2) {
      block_ = Philox4x32(
          {static_cast<uint32_t>(key_.index),
           static_cast<uint32_t>(key_.index >> 32 & 0xFFFF) | op_ << 16 | blocks_ << 24,
           key_.occurrence, key_.epoch},
          {static_cast<uint32_t>(key_.base_seed), static_cast<uint32_t>(key_.base_seed >> 32)});
      ++blocks_;
      used_ = 0;
    }
    const size_t at = static_cast<size_t>(used_++) * 2;
    return static_cast<uint64_t>(block_[at]) << 32 | block_[at + 1];
  }

 private:
  __extension__ using Uint128 = unsigned __int128;

  SampleKey key_;
  uint32_t op_;
  uint32_t blocks_ = 0;
  int used_ = 2;  // 64-bit halves of block_ already given out
  PhiloxBlock block_{};
};

}  // namespace stoker
