// In the steady state a JPEG costs no allocation and no page fault.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <malloc.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "pipeline/load_sample.h"
#include "support/allocation_counter.h"
#include "support/test_images.h"

namespace stoker {
namespace {

using testing::AllocationCount;
using testing::CountsAllocations;
using testing::JpegSpec;
using testing::MakeJpeg;
using testing::TemporaryFolder;

int64_t PageFaults() {
  rusage usage{};
  getrusage(RUSAGE_THREAD, &usage);
  return usage.ru_minflt;
}

SamplePlan Recipe(PixelMode pixels) {
  Op crop;
  crop.kind = OpKind::kRandomResizedCrop;
  crop.size = {64, 48};
  Op flip;
  flip.kind = OpKind::kRandomHorizontalFlip;
  SamplePlan plan;
  plan.pixels = pixels;
  plan.ops = {crop, flip};
  plan.format.type = ElementType::kFloat32;
  return plan;
}

struct Costs {
  size_t allocations;
  int64_t page_faults;
};

constexpr int kWarmUp = 5000;  // scratch memory grows until it has seen the largest shapes

enum class Index { kNone, kUsed };

// Loads samples of several kinds and sizes until the worker has seen enough, then `count` more.
Costs SteadyState(const SamplePlan& plan, int count, Index use = Index::kNone) {
  const TemporaryFolder folder;
  SampleTable table("");
  int files = 0;
  for (const int sampling : {11, 21, 22, 12}) {
    for (const int width : {150, 90}) {
      JpegSpec spec;
      spec.width = width;
      spec.height = 110;
      spec.h_sampling = sampling / 10;
      spec.v_sampling = sampling % 10;
      spec.seed = static_cast<uint32_t>(++files);
      const std::string name = std::to_string(files) + ".jpg";
      folder.Write(name, MakeJpeg(spec));
      const timespec old[2] = {{1'000'000'000, 0}, {1'000'000'000, 0}};
      utimensat(AT_FDCWD, (folder.path() + "/" + name).c_str(), old, 0);
      table.Append(folder.path() + "/" + name, 0);
    }
  }
  std::shared_ptr<DecodeIndex> index;
  if (use == Index::kUsed) {
    DecodeIndexOptions options;
    options.sources = {{folder.path() + "/an.index", ""}};
    options.record = true;
    options.key = IndexKey{1, 2};
    options.share = 0.06;  // the files are small
    index = std::make_shared<DecodeIndex>(options);
  }
  SampleWorker worker(plan, index);
  WorkerClock clock(0);
  std::vector<uint8_t> slot(plan.format.SampleBytes(*plan.FixedSize()));
  SampleSource source;
  const auto load = [&](int i) {
    SampleKey key;
    key.index = static_cast<uint64_t>(i % files);
    key.epoch = static_cast<uint32_t>(i);
    ReadAheadSlot ahead;
    table.PathTo(key.index, &source.path);
    worker.LoadSample(source, key, &ahead, &clock, slot.data());
  };
  for (int i = 0; i < kWarmUp; ++i) {
    if (index && i == files) index->Flush(/*wait=*/true);
    load(i);
  }
  IndexCounts before;
  worker.index_counter().AddTo(&before);
  const size_t allocations = AllocationCount();
  const int64_t faults = PageFaults();
  for (int i = kWarmUp; i < kWarmUp + count; ++i) load(i);
  const Costs costs{AllocationCount() - allocations, PageFaults() - faults};
  IndexCounts after;
  worker.index_counter().AddTo(&after);
  const auto used = static_cast<size_t>(IndexOutcome::kUsed);
  EXPECT_EQ(after.samples[used] - before.samples[used],
            use == Index::kUsed ? static_cast<uint64_t>(count) : 0);
  return costs;
}

class SteadyStateTest : public ::testing::TestWithParam<PixelMode> {};

TEST_P(SteadyStateTest, AJpegCostsNoAllocationAndNoPageFault) {
  if (!CountsAllocations()) GTEST_SKIP() << "the sanitizer has its own allocator";
  SamplePlan plan = Recipe(GetParam());
  plan.plane_weights = std::make_shared<PlaneWeightCache>(0);  // full, as after a long while
  const Costs costs = SteadyState(plan, 400);
  EXPECT_EQ(costs.allocations, 0U);
  // The kernel may take pages back at any time; an allocator that gives memory back and takes it
  // again costs several faults a sample.
  EXPECT_LT(costs.page_faults, 40);
}

TEST_P(SteadyStateTest, AJpegThatTheIndexKnowsCostsNoneEither) {
  if (!CountsAllocations()) GTEST_SKIP() << "the sanitizer has its own allocator";
  SamplePlan plan = Recipe(GetParam());
  plan.plane_weights = std::make_shared<PlaneWeightCache>(0);
  const Costs costs = SteadyState(plan, 400, Index::kUsed);
  EXPECT_EQ(costs.allocations, 0U);
  EXPECT_LT(costs.page_faults, 40);
}

INSTANTIATE_TEST_SUITE_P(Modes, SteadyStateTest,
                         ::testing::Values(PixelMode::kFast, PixelMode::kExact),
                         [](const auto& mode) {
                           return mode.param == PixelMode::kFast ? "Fast" : "Exact";
                         });

TEST(AllocationCounter, Counts) {
  if (!CountsAllocations()) GTEST_SKIP() << "the sanitizer has its own allocator";
  const size_t before = AllocationCount();
  const auto memory = std::make_unique<std::vector<int>>(100);
  EXPECT_EQ(AllocationCount() - before, 2U);
}

// What the cache has room for is computed once: after a while, shapes come from there.
TEST(SteadyState, TheWeightsOfSeenShapesAreNotComputedAgain) {
  if (!CountsAllocations()) GTEST_SKIP() << "the sanitizer has its own allocator";
  const SamplePlan plan = Recipe(PixelMode::kFast);
  SteadyState(plan, 0);
  const size_t bytes = plan.plane_weights->memory_bytes();
  EXPECT_GT(bytes, 0U);
  SteadyState(plan, 0);  // the same keys
  EXPECT_EQ(plan.plane_weights->memory_bytes(), bytes);
}

size_t HeapInUse() {
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

// STOKER_DAMAGED_DECODES: how many; a million takes a minute or two.
TEST(SteadyState, DamagedFilesLeaveMemoryWhereItWas) {
  if (!CountsAllocations()) GTEST_SKIP() << "the sanitizer has its own allocator";
  const char* wanted = std::getenv("STOKER_DAMAGED_DECODES");
  const int64_t decodes = wanted == nullptr ? 20'000 : std::atoll(wanted);
  std::mt19937 random(1);
  JpegSpec spec;
  spec.width = spec.height = 40;
  const testing::Bytes whole = MakeJpeg(spec);
  spec.progressive = true;
  const testing::Bytes progressive = MakeJpeg(spec);
  SampleWorker worker(Recipe(PixelMode::kFast));
  int64_t failed = 0;
  const auto decode = [&](int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
      testing::Bytes jpeg = i % 4 == 0 ? progressive : whole;
      if (i % 3 == 0) jpeg.resize(random() % jpeg.size());
      for (int k = 0; k < 3 && !jpeg.empty(); ++k) {
        jpeg[random() % jpeg.size()] = static_cast<uint8_t>(random());
      }
      SampleKey key;
      key.index = static_cast<uint64_t>(i);
      try {
        worker.Prepare(testing::Span(jpeg), key);
      } catch (const StageError&) {
        ++failed;
      }
    }
  };
  decode(decodes / 4);
  const size_t before = HeapInUse();
  decode(decodes - decodes / 4);
  EXPECT_LT(HeapInUse(), before + (size_t{1} << 20));
  EXPECT_GT(failed, decodes / 4);
}

}  // namespace
}  // namespace stoker
