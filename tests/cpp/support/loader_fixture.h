// What the tests of the loader share: a data set of small JPEGs, and what its batches must be.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "memory/recycling_allocator.h"
#include "pipeline/loader.h"
#include "support/executors.h"
#include "support/test_images.h"

namespace stoker::testing {

// Counts the blocks that have not been given back.
class CountingAllocator final : public HostAllocator {
 public:
  HostBlock Allocate(size_t bytes) override {
    auto* block = new Block{std::vector<uint8_t>(bytes), &held_};
    ++held_;
    return {block->bytes.data(), bytes, block, [](void* context) {
              const std::unique_ptr<Block> freed(static_cast<Block*>(context));
              --*freed->held;
            }};
  }
  bool pinned() const override { return false; }
  int held() const { return held_; }

 private:
  struct Block {
    std::vector<uint8_t> bytes;
    std::atomic<int>* held;
  };
  std::atomic<int> held_{0};
};

class LoaderTest : public ::testing::Test {
 protected:
  static constexpr int64_t kSamples = 12;
  static constexpr Size kSize{16, 12};

  LoaderTest() {
    for (int64_t i = 0; i < kSamples; ++i) {
      JpegSpec spec;
      spec.width = 20 + 7 * static_cast<int>(i);
      spec.height = 70 - 3 * static_cast<int>(i);
      spec.seed = static_cast<uint32_t>(i);
      Add(folder_.Write(std::to_string(i) + ".jpg", MakeJpeg(spec)));
    }
  }

  // Labels use all 64 bits.
  static int64_t LabelOf(int64_t index) { return (index - 3) * 1'000'000'000'000; }

  // Appends a sample; only before the first loader is made.
  int64_t Add(const std::string& path) {
    const auto index = static_cast<int64_t>(table_->size());
    table_->Append(path, LabelOf(index));
    return index;
  }

  // As in training: a random crop, flipped or not.
  static SamplePlan Plan() {
    Op crop;
    crop.kind = OpKind::kRandomResizedCrop;
    crop.size = kSize;
    Op flip;
    flip.kind = OpKind::kRandomHorizontalFlip;
    SamplePlan plan;
    plan.ops = {crop, flip};
    return plan;
  }

  std::unique_ptr<Loader> MakeLoader(int workers, int prefetch,
                                     std::shared_ptr<Executor> executor) const {
    return std::make_unique<Loader>(SampleSet::OfTable(table_, Plan()),
                                    LoaderOptions{workers, prefetch}, allocator_,
                                    std::move(executor));
  }
  std::unique_ptr<Loader> MakeLoader(int workers, int prefetch = 2) const {
    return MakeLoader(workers, prefetch, workers == 0 ? nullptr : MakeExecutor(workers));
  }

  // One sample as LoadSample makes it, without any loader.
  const Bytes& Expected(const SampleKey& key) {
    Bytes& slot = expected_[{key.base_seed, key.epoch, key.index, key.occurrence}];
    if (slot.empty()) {
      slot.resize(Plan().format.SampleBytes(kSize));
      ReadAheadSlot nothing;
      WorkerClock clock(NowNs());
      reference_worker_.LoadSample({table_->Path(key.index), nullptr}, key, &nothing, &clock,
                                   slot.data());
    }
    return slot;
  }

  // Expects `batch` to be that of `indices`. `seen`: how often each index came before in this
  // epoch; is brought up to date.
  void ExpectBatch(const Batch& batch, const std::vector<int64_t>& indices, uint64_t base_seed,
                   uint32_t epoch, std::map<int64_t, uint32_t>* seen) {
    ASSERT_EQ(batch.indices, indices);
    ASSERT_EQ(batch.count, indices.size());
    const size_t sample_bytes = Plan().format.SampleBytes(kSize);
    ASSERT_GE(batch.samples.bytes(), indices.size() * sample_bytes);
    for (size_t i = 0; i < indices.size(); ++i) {
      const SampleKey key{base_seed, epoch, static_cast<uint64_t>(indices[i]),
                          (*seen)[indices[i]]++};
      const auto* sample = static_cast<const uint8_t*>(batch.samples.data()) + i * sample_bytes;
      ASSERT_EQ(std::memcmp(sample, Expected(key).data(), sample_bytes), 0)
          << "position " << i << ", sample " << indices[i];
      ASSERT_EQ(LabelAt(batch, i), LabelOf(indices[i]));
    }
  }

  // The sample of `key` that a loader by `plan` has to make of the file at `path`.
  static Bytes LoadedBy(const SamplePlan& plan, const std::string& path, const SampleKey& key) {
    Bytes slot(plan.format.SampleBytes(kSize));
    SampleWorker worker(plan);
    ReadAheadSlot nothing;
    WorkerClock clock(NowNs());
    worker.LoadSample({path, nullptr}, key, &nothing, &clock, slot.data());
    return slot;
  }

  static Bytes SampleAt(const Batch& batch, size_t i) {
    const size_t sample_bytes = Plan().format.SampleBytes(kSize);
    const auto* begin = static_cast<const uint8_t*>(batch.samples.data()) + i * sample_bytes;
    return {begin, begin + sample_bytes};
  }

  static int64_t LabelAt(const Batch& batch, size_t i) {
    int64_t label = 0;
    std::memcpy(&label, static_cast<const char*>(batch.labels.data()) + i * sizeof label,
                sizeof label);
    return label;
  }

  static uint64_t SamplesRead(const Loader& loader) {
    return loader.Stats().stages[static_cast<size_t>(Stage::kRead)].count;
  }

  const TemporaryFolder folder_;
  const std::shared_ptr<SampleTable> table_ = std::make_shared<SampleTable>();
  const std::shared_ptr<RecyclingAllocator> allocator_ = std::make_shared<RecyclingAllocator>(16);

 private:
  SampleWorker reference_worker_{Plan()};
  std::map<std::tuple<uint64_t, uint32_t, uint64_t, uint32_t>, Bytes> expected_;
};

}  // namespace stoker::testing
