// Weights for the fast pixel mode's resize of a JPEG's planes, along one axis: Pillow's antialiased
// filter at luma's resolution (resize_weights.h), and for chroma the same filter composed with the
// upsampling that would have come before it. So a chroma plane is resized straight from its own
// resolution, with the result of upsampling first, but for rounding.
//
// Threads: weights are constant once computed; the cache is lock-free and for any thread.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "image/ops.h"

namespace stoker {

// A weight w is kept as round(w · 2^14), and the weights of an output sum up to 2^14.
inline constexpr int kPlaneWeightBits = 14;
// Outputs that the kernel along rows computes at a time, and bytes that it loads for them at once.
inline constexpr int kPlaneGroup = 8;
inline constexpr int kPlaneWindow = 16;

// One axis of a resize, independent of where in the image it takes place: samples are counted from
// `base`, one sample before the crop's first, see PlaneAxis::Base.
struct PlaneAxis {
  int offset = 0;  // of the crop behind a multiple of scale · factor, in pixels of the image
  int size = 0;    // of the crop, in pixels of the image
  int scale = 1;   // pixels to a luma sample: more than 1 after DCT-domain scaling
  int factor = 1;  // luma samples to a sample of this plane: 1, 2 or 4
  bool triangle = false;  // how the plane is upsampled, see PlaneView
  int out_size = 0;
  int out_begin = 0;  // the outputs wanted
  int out_end = 0;
  int first =
      0;         // the plane's samples that are there: 1 where the plane begins at the crop, else 0
  int last = 0;  // the last of them; samples beyond the ends are taken to be like those
  Interpolation interpolation = Interpolation::kBilinear;

  // The axis for a crop of `size` pixels from `begin` on, of a plane of `plane_size` samples.
  static PlaneAxis Make(int begin, int size, int scale, int factor, bool triangle, int plane_size);
  // The plane's sample that the weights' sample 0 stands for; may be −1.
  static int Base(int begin, int scale, int factor) { return begin / (scale * factor) - 1; }

  friend bool operator==(const PlaneAxis& a, const PlaneAxis& b);
  size_t Hash() const;
};

struct PlaneWeights {
  struct Run {
    int begin;  // the first sample, from base
    int taps;   // at least 1
  };
  // For the kernel along rows: `count` steps from `begin` on make up a group of kPlaneGroup
  // outputs. A step loads kPlaneWindow samples from `offset` on, picks one for each output, and
  // multiplies it by that output's weight.
  struct Step {
    std::array<uint8_t, kPlaneWindow> pick;  // 16-bit lanes: (128, sample): 128 picks zero
    std::array<int16_t, kPlaneGroup> weights;
  };
  struct Group {
    int begin;
    int count;
  };

  PlaneAxis axis;
  int taps = 0;  // the longest run
  std::vector<Run> runs;
  std::vector<int16_t> weights;  // runs.size() × taps, zero behind a run's own
  std::vector<Group> groups;     // ⌈runs.size() / kPlaneGroup⌉
  std::vector<Step> steps;
  std::vector<int> offsets;  // of the steps
  int begin = 0;  // the first sample that any output looks at, and the one behind the last
  int end = 0;

  // Keeps the memory that is there.
  void Compute(const PlaneAxis& for_axis);
  size_t memory_bytes() const;

 private:
  void ComputeRuns();
  void ComputeSteps();
  std::vector<double> plane_;  // scratch
};

// Weights that have been computed, found by their axis; shared by all workers. Entries are added
// until their budget is used up, and never dropped: a reference lives as long as the cache.
class PlaneWeightCache {
 public:
  explicit PlaneWeightCache(size_t budget_bytes = size_t{8} << 20) : budget_(budget_bytes) {}
  ~PlaneWeightCache();
  PlaneWeightCache(const PlaneWeightCache&) = delete;
  PlaneWeightCache& operator=(const PlaneWeightCache&) = delete;

  // The weights of `axis`; computed into `own` where the cache has no room for them.
  const PlaneWeights& Get(const PlaneAxis& axis, PlaneWeights* own);

  size_t memory_bytes() const { return used_.load(std::memory_order_relaxed); }

 private:
  static constexpr size_t kSlots = 4096;
  static constexpr size_t kProbes = 8;
  const size_t budget_;
  std::atomic<size_t> used_{0};
  std::array<std::atomic<const PlaneWeights*>, kSlots> slots_{};
};

}  // namespace stoker
