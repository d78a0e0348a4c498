// Pillow's changes of colour, written again from its published sources in the plainest way.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

#include "support/pixels.h"

namespace stoker::testing {

// ImagingBlend: truncated towards gray + factor · (pixel − gray), in single precision.
inline int ReferenceBlend(int gray, int pixel, float factor) {
  const float value = static_cast<float>(gray) + factor * static_cast<float>(pixel - gray);
  if (value <= 0.0F) return 0;
  if (value >= 255.0F) return 255;
  return static_cast<int>(std::floor(value));
}

// convert("L"): ITU-R 601-2 in 16-bit fractions.
inline int ReferenceLuma(int r, int g, int b) {
  return static_cast<int>(std::floor((r * 19595.0 + g * 38470.0 + b * 7471.0) / 65536.0 + 0.5));
}

// int(mean of convert("L") + 0.5), as ImageEnhance.Contrast has it.
inline int ReferenceMeanLuma(const Pixels& in) {
  double sum = 0;
  for (int y = 0; y < in.size().height; ++y) {
    const uint8_t* p = in.view().row(y);
    for (int x = 0; x < in.size().width; ++x, p += 3) sum += ReferenceLuma(p[0], p[1], p[2]);
  }
  return static_cast<int>(sum / static_cast<double>(in.size().pixels()) + 0.5);
}

// rgb2hsv_row of Convert.c; in C, an expression with a literal like 2.0 is in double precision.
inline std::array<int, 3> ReferenceHsv(int r, int g, int b) {
  const int most = std::max(r, std::max(g, b));
  const int least = std::min(r, std::min(g, b));
  if (most == least) return {0, 0, most};
  const auto range = static_cast<float>(most - least);
  const float s = range / static_cast<float>(most);
  const float rc = static_cast<float>(most - r) / range;
  const float gc = static_cast<float>(most - g) / range;
  const float bc = static_cast<float>(most - b) / range;
  float h = 0;
  if (r == most) {
    h = bc - gc;
  } else if (g == most) {
    h = static_cast<float>(2.0 + static_cast<double>(rc) - static_cast<double>(bc));
  } else {
    h = static_cast<float>(4.0 + static_cast<double>(gc) - static_cast<double>(rc));
  }
  h = static_cast<float>(std::fmod(static_cast<double>(h) / 6.0 + 1.0, 1.0));
  const auto clip8 = [](double x) { return std::min(255, std::max(0, static_cast<int>(x))); };
  return {clip8(static_cast<double>(h) * 255.0), clip8(static_cast<double>(s) * 255.0), most};
}

// hsv2rgb of Convert.c.
inline std::array<int, 3> ReferenceRgb(int h, int s, int v) {
  if (s == 0) return {v, v, v};
  const double at = static_cast<double>(static_cast<float>(h)) * 6.0 / 255.0;
  const int i = static_cast<int>(std::floor(at));
  const auto f = static_cast<float>(at - static_cast<double>(static_cast<float>(i)));
  const auto fs = static_cast<float>(static_cast<double>(static_cast<float>(s)) / 255.0);
  const float fs_f = fs * f;
  const auto whole = [v](double share) {
    return std::min(255, std::max(0, static_cast<int>(std::round(v * share))));
  };
  const int p = whole(1.0 - static_cast<double>(fs));
  const int q = whole(1.0 - static_cast<double>(fs_f));
  const int t = whole(1.0 - static_cast<double>(fs) * (1.0 - static_cast<double>(f)));
  switch (i % 6) {
    case 0: return {v, t, p};
    case 1: return {q, v, p};
    case 2: return {p, v, t};
    case 3: return {p, q, v};
    case 4: return {t, p, v};
    default: return {v, p, q};
  }
}

// The hue goes on by `shift` and wraps at 256.
inline Pixels ReferenceHue(const Pixels& in, int shift) {
  Pixels out(in.size());
  for (int y = 0; y < in.size().height; ++y) {
    for (int x = 0; x < in.size().width; ++x) {
      const uint8_t* p = in.view().row(y) + x * kChannels;
      const auto hsv = ReferenceHsv(p[0], p[1], p[2]);
      const auto rgb = ReferenceRgb((hsv[0] + shift) % 256, hsv[1], hsv[2]);
      for (size_t c = 0; c < 3; ++c) {
        out.mutable_view().row(y)[static_cast<size_t>(x) * 3 + c] = static_cast<uint8_t>(rgb[c]);
      }
    }
  }
  return out;
}

// ImageEnhance.Brightness and Contrast, with gray = 0 and the mean luma.
inline Pixels ReferenceBlended(const Pixels& in, int gray, float factor) {
  Pixels out(in.size());
  for (int y = 0; y < in.size().height; ++y) {
    for (int i = 0; i < in.size().width * kChannels; ++i) {
      out.mutable_view().row(y)[i] =
          static_cast<uint8_t>(ReferenceBlend(gray, in.view().row(y)[i], factor));
    }
  }
  return out;
}

// ImageEnhance.Color; with factor 0 convert("L") in three channels.
inline Pixels ReferenceSaturated(const Pixels& in, float factor) {
  Pixels out(in.size());
  for (int y = 0; y < in.size().height; ++y) {
    for (int x = 0; x < in.size().width; ++x) {
      const uint8_t* p = in.view().row(y) + x * kChannels;
      const int luma = ReferenceLuma(p[0], p[1], p[2]);
      for (int c = 0; c < kChannels; ++c) {
        out.mutable_view().row(y)[x * kChannels + c] =
            static_cast<uint8_t>(ReferenceBlend(luma, p[c], factor));
      }
    }
  }
  return out;
}

}  // namespace stoker::testing
