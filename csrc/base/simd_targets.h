// The targets to compile kernels for; include before highway.h, in every kernel's .cc alike.
// SSSE3 machines without SSE4 are too old to tune for; AVX3_DL adds nothing that is used here;
// SVE's vectors have no size known to the compiler, which the resize kernels need, so Arm uses
// NEON.
#pragma once

#define HWY_DISABLED_TARGETS \
  (HWY_SSSE3 | HWY_AVX3_DL | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
