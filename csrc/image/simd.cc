#include "image/simd.h"

#include <cstdint>
#include <cstdlib>

#include "base/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "image/simd.cc"
#include <hwy/foreach_target.h>  // compiles this file once for each target

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace stoker {
namespace HWY_NAMESPACE {
namespace {
int64_t ThisTarget() { return HWY_TARGET; }
}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace stoker
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace stoker {
namespace {

HWY_EXPORT(ThisTarget);

int64_t AvailableTargets() {
  static const int64_t targets = hwy::SupportedTargets() & HWY_TARGETS;
  return targets;
}

void Use(int64_t targets) {
  hwy::SetSupportedTargetsForTest(targets);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

// Runs when the library is loaded, before any kernel.
const bool from_environment = [] {
  const char* name = std::getenv("STOKER_SIMD");
  return name != nullptr && SetSimdTarget(name);
}();

}  // namespace

std::vector<std::string> SimdTargets() {
  std::vector<std::string> names;
  for (int bit = 0; bit < 63; ++bit) {
    const int64_t target = int64_t{1} << bit;
    if ((AvailableTargets() & target) != 0) names.emplace_back(hwy::TargetName(target));
  }
  return names;
}

std::string SimdTarget() { return hwy::TargetName(HWY_DYNAMIC_DISPATCH(ThisTarget)()); }

bool SetSimdTarget(const std::string& name) {
  const int64_t available = AvailableTargets();
  if (name.empty()) {
    Use(0);
    return true;
  }
  for (int bit = 0; bit < 63; ++bit) {
    const int64_t target = int64_t{1} << bit;
    if ((available & target) != 0 && name == hwy::TargetName(target)) {
      Use(target);
      return true;
    }
  }
  return false;
}

}  // namespace stoker
#endif  // HWY_ONCE
