// Who has written an entry of a decode index: each entry has a tag that takes a secret key to make
// (SipHash-2-4 by Aumasson and Bernstein), and an entry whose tag is not by this user's key is as
// good as none. So nobody else can lead this user's decoders astray, whatever the index file says
// and however it came into its place; a damaged entry has a wrong tag, too.
//
// Threads: any.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/bytes.h"

namespace stoker {

using IndexKey = std::array<uint64_t, 2>;
inline constexpr size_t kIndexKeyBytes = sizeof(IndexKey);

class SipHash {
 public:
  explicit SipHash(const IndexKey& key)
      : v0_(key[0] ^ 0x736f6d6570736575),
        v1_(key[1] ^ 0x646f72616e646f6d),
        v2_(key[0] ^ 0x6c7967656e657261),
        v3_(key[1] ^ 0x7465646279746573) {}

  // REQUIRES: of all parts of a message, only the last has a length that is no multiple of eight.
  void Add(ByteSpan part) {
    size_t i = 0;
    for (; i + 8 <= part.size; i += 8) {
      uint64_t word = 0;
      std::memcpy(&word, part.data + i, 8);
      AddWord(word);
    }
    if (i < part.size) std::memcpy(&rest_, part.data + i, part.size - i);
    length_ += part.size;
  }
  uint64_t Finish() {
    AddWord(length_ << 56 | rest_);
    v2_ ^= 0xff;
    for (int i = 0; i < 4; ++i) Round();
    return v0_ ^ v1_ ^ v2_ ^ v3_;
  }

 private:
  static uint64_t Rotate(uint64_t x, int by) { return x << by | x >> (64 - by); }
  void AddWord(uint64_t word) {
    v3_ ^= word;
    Round();
    Round();
    v0_ ^= word;
  }
  void Round() {
    v0_ += v1_;
    v1_ = Rotate(v1_, 13) ^ v0_;
    v0_ = Rotate(v0_, 32);
    v2_ += v3_;
    v3_ = Rotate(v3_, 16) ^ v2_;
    v0_ += v3_;
    v3_ = Rotate(v3_, 21) ^ v0_;
    v2_ += v1_;
    v1_ = Rotate(v1_, 17) ^ v2_;
    v2_ = Rotate(v2_, 32);
  }

  uint64_t v0_, v1_, v2_, v3_;
  uint64_t rest_ = 0;  // little-endian, the last bytes
  uint64_t length_ = 0;
};

}  // namespace stoker
