#include "pipeline/executor.h"

#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/task_arena.h>

namespace stoker {
namespace {

class TbbExecutor final : public Executor {
 public:
  explicit TbbExecutor(int slots) : slots_(slots), arena_(slots, /*reserved_for_masters=*/0) {}

  void Run(std::function<void()> task) override { arena_.enqueue(std::move(task)); }
  int slots() const { return slots_; }

 private:
  const int slots_;
  oneapi::tbb::task_arena arena_;
};

// What the process shares. Never destroyed: oneTBB's threads may outlive static objects.
struct Shared {
  std::mutex mutex;
  // Guarded by mutex.
  pid_t pid = 0;  // of the process that first used oneTBB; 0: nobody yet
  std::shared_ptr<TbbExecutor> executor;
  std::unique_ptr<oneapi::tbb::global_control> limit;
};

Shared& TheShared() {
  static auto* shared = new Shared;
  return *shared;
}

class Threads final : public Executor {
 public:
  explicit Threads(int workers) {
    threads_.reserve(static_cast<size_t>(workers));
    for (int i = 0; i < workers; ++i) threads_.emplace_back([this] { Work(); });
  }
  ~Threads() override {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      stop_ = true;
    }
    wake_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

  void Run(std::function<void()> task) override {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      tasks_.push_back(std::move(task));
    }
    wake_.notify_one();
  }

 private:
  void Work() {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      wake_.wait(lock, [this] { return stop_ || !tasks_.empty(); });
      if (tasks_.empty()) return;
      const std::function<void()> task = std::move(tasks_.front());
      tasks_.pop_front();
      lock.unlock();
      task();
      lock.lock();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  // Guarded by mutex_.
  std::deque<std::function<void()>> tasks_;
  bool stop_ = false;
  // Constant after construction.
  std::vector<std::thread> threads_;
};

}  // namespace

std::shared_ptr<Executor> SharedExecutor(int workers) {
  Shared& shared = TheShared();
  const std::lock_guard<std::mutex> lock(shared.mutex);
  if (shared.pid == 0) shared.pid = getpid();
  if (shared.pid != getpid()) return ThreadExecutor(workers);
  if (!shared.executor || shared.executor->slots() < workers) {
    // The lowest of all limits holds, so the old one has to go first.
    shared.limit.reset();
    shared.limit = std::make_unique<oneapi::tbb::global_control>(
        oneapi::tbb::global_control::max_allowed_parallelism, static_cast<size_t>(workers) + 1);
    shared.executor = std::make_shared<TbbExecutor>(workers);
  }
  return shared.executor;
}

std::shared_ptr<Executor> ThreadExecutor(int workers) {
  return std::make_shared<Threads>(std::max(1, workers));
}

}  // namespace stoker
