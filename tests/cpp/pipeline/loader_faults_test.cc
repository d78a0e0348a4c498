// A sweep over what can fail in a loader: the n-th allocation, the n-th system call, once and for
// good. It ends in an error that can be read or in success; never in an abort, a hang or a wrong
// pixel; and when the fault has passed, nothing of it is left.
//
// STOKER_SWEEP=all tries every n (`make sweep`); without it, some that are spread evenly.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "pipeline/loader.h"
#include "support/allocation_counter.h"
#include "support/failing_calls.h"
#include "support/loader_fixture.h"
#include "support/processes.h"

namespace stoker {
namespace {

using testing::LoaderTest;
using testing::SystemCall;

// What a child found.
enum Outcome : int {
  kNothingFailed = 10,  // there are fewer calls than that
  kHeld = 11,           // an error that can be read, or success; and all is well behind it
  kWrongPixels = 12,
  kNoReason = 13,
  kNotRecovered = 14,
  kWrongNumber = 15,
};

struct Fault {
  std::function<void(int64_t n, bool for_good)> begin;
  std::function<bool()> end;
};

class LoaderFaultsTest : public LoaderTest {
 protected:
  static constexpr uint64_t kSeed = 5;
  inline static const std::vector<int64_t> kFirst{0, 7, 3, 11};
  inline static const std::vector<int64_t> kSecond{9, 3, 2, 7, 7};

  LoaderFaultsTest() {
    testing::JpegSpec progressive;  // libjpeg-turbo's
    progressive.width = progressive.height = 60;
    progressive.progressive = true;
    Add(folder_.Write("progressive.jpg", testing::MakeJpeg(progressive)));
    const timespec old[2] = {{1'000'000'000, 0}, {1'000'000'000, 0}};  // settled, for the index
    for (size_t i = 0; i < table_->size(); ++i) {
      utimensat(AT_FDCWD, table_->Path(i).c_str(), old, 0);
    }
    for (uint32_t epoch = 0; epoch < 2; ++epoch) {
      for (const int64_t index : kFirst) Expected({kSeed, epoch, Number(index), 0});
      for (const int64_t index : kSecond) {
        for (uint32_t n = 0; n < 4; ++n) Expected({kSeed, epoch, Number(index), n});
      }
    }
  }
  static uint64_t Number(int64_t index) { return static_cast<uint64_t>(index); }

  std::unique_ptr<Loader> MakeLoaderWith(int workers, bool indexed) const {
    std::shared_ptr<DecodeIndex> index;
    if (indexed) {
      DecodeIndexOptions options;
      options.sources = {{folder_.path() + "/an.index", ""}};
      options.record = true;
      options.share = 0.2;  // the files are small
      options.portion_bytes = 64;
      index = std::make_shared<DecodeIndex>(options);
    }
    return std::make_unique<Loader>(SampleSet::OfTable(table_, Plan()), LoaderOptions{workers, 2},
                                    std::make_shared<RecyclingAllocator>(4),
                                    workers == 0 ? nullptr : ThreadExecutor(workers), index);
  }

  // Compares a batch with what it must be.
  Outcome Check(const Batch& batch, uint32_t epoch, std::map<int64_t, uint32_t>* seen) {
    std::vector<bool> failed(batch.count);
    for (const SampleFailure& failure : batch.failures) {
      failed.at(failure.position) = true;
      if (failure.error.reason().empty() || failure.error.path().empty()) return kNoReason;
    }
    for (size_t i = 0; i < batch.count; ++i) {
      const int64_t index = batch.indices[i];
      const uint32_t occurrence = (*seen)[index]++;
      if (failed[i]) continue;
      const bool same = SampleAt(batch, i) == Expected({kSeed, epoch, Number(index), occurrence}) &&
                        LabelAt(batch, i) == LabelOf(index);
      if (!same) return kWrongPixels;
    }
    return kHeld;
  }

  // Two batches; an error that comes out of a function of the loader's ends them.
  Outcome RunEpoch(Loader* loader, uint32_t epoch, size_t* failures,
                   const std::function<void()>& before_check) {
    std::map<int64_t, uint32_t> seen;
    loader->StartEpoch(kSeed, epoch);
    loader->Submit(kFirst);
    loader->Submit(kSecond);
    loader->EndOfIndices();
    Batch batches[2];
    for (Batch& batch : batches) batch = loader->Next();
    loader->Stats();
    before_check();
    for (const Batch& batch : batches) {
      *failures += batch.failures.size();
      const Outcome outcome = Check(batch, epoch, &seen);
      if (outcome != kHeld) return outcome;
    }
    return kHeld;
  }

  // In a child: an epoch with the fault, and one behind it.
  Outcome WithFault(int workers, bool indexed, const Fault& fault, int64_t n, bool for_good) {
    std::unique_ptr<Loader> loader;
    size_t failures = 0;
    bool failed = false;
    Outcome outcome = kHeld;
    fault.begin(n, for_good);
    const auto end = [&] { failed = fault.end() || failed; };
    try {
      loader = MakeLoaderWith(workers, indexed);
      outcome = RunEpoch(loader.get(), 0, &failures, end);
    } catch (const std::exception& e) {
      end();
      if (std::string(e.what()).empty()) return kNoReason;
    }
    if (outcome != kHeld) return outcome;
    if (!failed) return failures == 0 ? kNothingFailed : kNotRecovered;
    failures = 0;
    if (!loader) loader = MakeLoaderWith(workers, indexed);
    outcome = RunEpoch(loader.get(), 1, &failures, [] {});
    return outcome == kHeld && failures > 0 ? kNotRecovered : outcome;
  }

  // Some n, or all, up to where nothing fails any more.
  void Sweep(const Fault& fault, int most_tries) {
    const char* wanted = std::getenv("STOKER_SWEEP");
    const bool all = wanted != nullptr && std::string(wanted) == "all";
    for (const int workers : {0, 1, 2}) {
      for (const bool indexed : {false, true}) {
        for (const bool for_good : {false, true}) {
          SCOPED_TRACE(std::to_string(workers) + (indexed ? " workers, index" : " workers") +
                       (for_good ? ", for good" : ", once"));
          const auto outcome = [&](int64_t n) {
            return testing::ReturnedByFork(
                [&] { return WithFault(workers, indexed, fault, n, for_good); });
          };
          int64_t calls = 1;  // about how many there are: a power of two
          while (calls < 1 << 20 && outcome(calls) == kHeld) calls *= 2;
          const int64_t step = all ? 1 : std::max<int64_t>(1, calls / most_tries);
          for (int64_t n = 0; n < calls; n += step) {
            const int found = outcome(n);
            ASSERT_TRUE(found == kHeld || found == kNothingFailed) << found << " at call " << n;
          }
        }
      }
    }
  }
};

TEST_F(LoaderFaultsTest, AnAllocationThatFailsIsAnErrorOrNothing) {
  if (!testing::CountsAllocations()) GTEST_SKIP() << "the sanitizer has its own allocator";
  Sweep({&testing::FailAllocation, &testing::StopFailingAllocations}, 24);
}

TEST_F(LoaderFaultsTest, ASystemCallThatFailsIsAnErrorOrNothing) {
  if (!testing::CountsSystemCalls()) GTEST_SKIP() << "the sanitizer replaces them itself";
  const std::map<SystemCall, std::vector<int>> errors = {
      {SystemCall::kOpen, {EMFILE, EIO}}, {SystemCall::kRead, {EIO}},
      {SystemCall::kPread, {EIO}},        {SystemCall::kFstat, {EIO}},
      {SystemCall::kThread, {EAGAIN}},
  };
  for (const auto& [call, codes] : errors) {
    for (const int error : codes) {
      SCOPED_TRACE(std::to_string(static_cast<int>(call)) + " with error " + std::to_string(error));
      const auto begin = [call = call, error](int64_t n, bool for_good) {
        testing::FailCall(call, n, for_good, error);
      };
      ASSERT_NO_FATAL_FAILURE(Sweep({begin, &testing::StopFailingCalls}, 6));
    }
  }
}

}  // namespace
}  // namespace stoker
