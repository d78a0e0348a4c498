// Which SIMD instructions the kernels use. Each kernel is compiled for several targets and the best
// one that the machine has is chosen at run time; the results are the same on all, bit for bit.
//
// Threads: SetSimdTarget is for start-up and tests, while no kernel runs.
#pragma once

#include <string>
#include <vector>

namespace stoker {

// The targets that this build has and this machine can run, best first: "AVX3" (AVX-512), "AVX2",
// "SSE4", "NEON", and plain C++, which Highway calls "SCALAR", or "EMU128" in later releases.
std::vector<std::string> SimdTargets();

// The one that kernels run on. At start-up that is the best one, or the one that the environment
// variable STOKER_SIMD names.
std::string SimdTarget();

// Makes kernels run on `name`, one of SimdTargets(); "" stands for the best. Returns false, and
// changes nothing, for any other name.
bool SetSimdTarget(const std::string& name);

}  // namespace stoker
