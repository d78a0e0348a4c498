// A fuzz target without libFuzzer, for machines and compilers that do not have it: runs it on the
// files of a folder, and on as many damaged copies of each as the second argument says.
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <vector>

#include "harness.h"
#include "image/simd.h"

namespace {

// Flips up to four bits.
void Damage(std::mt19937* random, std::vector<uint8_t>* bytes) {
  for (auto flips = (*random)() % 4; flips < 4; ++flips) {
    (*bytes)[(*random)() % bytes->size()] ^= static_cast<uint8_t>(1U << (*random)() % 8);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: replay FOLDER COPIES\n");
    return 2;
  }
  const int copies = std::atoi(argv[2]);
  std::mt19937 random(1);
  int executions = 0;
  for (const auto& entry : std::filesystem::directory_iterator(argv[1])) {
    std::ifstream file(entry.path(), std::ios::binary);
    const std::vector<uint8_t> original{std::istreambuf_iterator<char>(file), {}};
    if (original.empty()) continue;
    // Should the target end the process, this names the input.
    std::printf("%s\n", entry.path().c_str());
    std::fflush(stdout);
    for (int copy = 0; copy <= copies; ++copy, ++executions) {
      std::vector<uint8_t> bytes = original;
      if (copy > 0) Damage(&random, &bytes);
      LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
    }
  }
  stoker::SetSimdTarget("");
  std::printf("%d executions, best target %s\n", executions, stoker::SimdTarget().c_str());
  return executions > 0 ? 0 : 1;
}
