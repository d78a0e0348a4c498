// The samplings that our own JPEG decoder takes.
#pragma once

#include "base/rect.h"
#include "support/test_images.h"

namespace stoker::testing {

struct JpegSampling {
  const char* name;
  int components, h, v;

  JpegSpec Spec(Size size, uint32_t seed) const {
    JpegSpec spec;
    spec.width = size.width;
    spec.height = size.height;
    spec.components = components;
    spec.h_sampling = h;
    spec.v_sampling = v;
    spec.seed = seed;
    return spec;
  }
};

inline constexpr JpegSampling kJpegSamplings[] = {{"4:4:4", 3, 1, 1}, {"4:2:2", 3, 2, 1},
                                                  {"4:2:0", 3, 2, 2}, {"4:4:0", 3, 1, 2},
                                                  {"4:1:1", 3, 4, 1}, {"gray", 1, 1, 1}};

}  // namespace stoker::testing
