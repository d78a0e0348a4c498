#include "pipeline/executor.h"

#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/task_arena.h>

namespace stoker {
namespace {

// For which the first task waits until all threads of a new arena exist; on a busy machine it goes
// on without some of them.
constexpr std::chrono::milliseconds kStartTime{200};

// Lets those that wait go on when all are there.
class Meeting {
 public:
  explicit Meeting(int expected) : expected_(expected) {}
  void Wait() {
    std::unique_lock<std::mutex> lock(mutex_);
    if (--expected_ <= 0) all_.notify_all();
    all_.wait_for(lock, kStartTime, [this] { return expected_ <= 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable all_;
  int expected_;
};

class TbbExecutor final : public Executor {
 public:
  explicit TbbExecutor(int slots) : slots_(slots), arena_(slots, /*reserved_for_masters=*/0) {}

  void Run(std::function<void()> task) override { arena_.enqueue(std::move(task)); }
  int slots() const { return slots_; }

  // See Note [Threads before tasks].
  void StartThreads() {
    const auto meeting = std::make_shared<Meeting>(slots_ + 1);
    for (int i = 0; i < slots_; ++i) arena_.enqueue([meeting] { meeting->Wait(); });
    meeting->Wait();
  }

 private:
  const int slots_;
  oneapi::tbb::task_arena arena_;
};

// Whether the system gives so many threads more, all at the same time.
bool ThreadsAreGiven(int count) {
  std::mutex hold;
  std::vector<std::thread> threads;
  bool given = true;
  {
    const std::lock_guard<std::mutex> lock(hold);
    try {
      threads.reserve(static_cast<size_t>(count));
      for (int i = 0; i < count; ++i) {
        threads.emplace_back([&hold] { const std::lock_guard<std::mutex> until_all_exist(hold); });
      }
    } catch (const std::exception&) {  // no more threads, no more memory
      given = false;
    }
  }
  for (std::thread& thread : threads) thread.join();
  return given;
}

class Threads final : public Executor {
 public:
  explicit Threads(int workers) : pid_(getpid()), state_(std::make_unique<State>()) {
    Allow(workers);
  }
  ~Threads() override {
    if (pid_ != getpid()) {
      // A thread of the parent may hold the mutex or wait for the condition, here for ever.
      state_.release();  // NOLINT(bugprone-unused-return-value)
      return;
    }
    {
      const std::lock_guard<std::mutex> lock(state_->mutex);
      state_->stop = true;
    }
    state_->wake.notify_all();
    for (std::thread& thread : state_->threads) thread.join();
  }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

  // From now on there may be as many threads.
  void Allow(int workers) {
    const std::lock_guard<std::mutex> lock(state_->mutex);
    state_->limit = std::max({1, workers, state_->limit});
    state_->threads.reserve(static_cast<size_t>(state_->limit));
  }

  void Run(std::function<void()> task) override {
    State& state = *state_;
    {
      const std::lock_guard<std::mutex> lock(state.mutex);
      state.tasks.push_back(std::move(task));
      if (state.tasks.size() > state.idle) {
        try {
          StartThread();
        } catch (const std::exception&) {  // no more threads, no more memory
          if (state.threads.empty()) {
            state.tasks.pop_back();
            throw;
          }
        }
      }
    }
    state.wake.notify_one();
  }

 private:
  struct State {
    std::mutex mutex;
    std::condition_variable wake;
    // Guarded by mutex.
    std::deque<std::function<void()>> tasks;
    std::vector<std::thread> threads;
    int limit = 0;
    size_t idle = 0;  // threads that wait for a task, or have just been started
    bool stop = false;
  };

  // REQUIRES: state_->mutex is held.
  void StartThread() {
    State* const state = state_.get();
    if (state->threads.size() >= static_cast<size_t>(state->limit)) return;
    state->threads.emplace_back([state] { Work(state); });
    ++state->idle;
  }

  static void Work(State* state) {
    std::unique_lock<std::mutex> lock(state->mutex);
    for (;;) {
      state->wake.wait(lock, [state] { return state->stop || !state->tasks.empty(); });
      if (state->tasks.empty()) return;
      std::function<void()> task = std::move(state->tasks.front());
      state->tasks.pop_front();
      --state->idle;
      lock.unlock();
      task();
      task = nullptr;  // what it holds ends outside the lock
      lock.lock();
      ++state->idle;
    }
  }

  const pid_t pid_;
  std::unique_ptr<State> state_;
};

// What a process shares. Never destroyed: its threads may outlive static objects.
struct Shared {
  explicit Shared(pid_t owner) : pid(owner) {}
  const pid_t pid;
  std::mutex mutex;
  // Guarded by mutex.
  std::shared_ptr<TbbExecutor> tbb;
  std::unique_ptr<oneapi::tbb::global_control> limit;
  std::shared_ptr<Threads> threads;  // in place of oneTBB, from when they are needed
};

// Of this process; made at first use. Without a lock, which a fork might leave locked.
Shared* TheShared() {
  static std::atomic<Shared*> the_shared{nullptr};
  Shared* known = the_shared.load(std::memory_order_acquire);
  while (known == nullptr || known->pid != getpid()) {
    auto made = std::make_unique<Shared>(getpid());
    // oneTBB's threads are the parent's. What the fork brought along stays behind.
    if (known != nullptr) made->threads = std::make_shared<Threads>(1);
    if (the_shared.compare_exchange_strong(known, made.get(), std::memory_order_acq_rel)) {
      return made.release();
    }
  }
  return known;
}

}  // namespace

std::shared_ptr<Executor> SharedExecutor(int workers) {
  Shared* shared = TheShared();
  const std::lock_guard<std::mutex> lock(shared->mutex);
  if (!shared->threads && (!shared->tbb || shared->tbb->slots() < workers)) {
    if (ThreadsAreGiven(workers + 1)) {
      // The lowest of all limits holds, so the old one has to go first.
      shared->limit.reset();
      shared->limit = std::make_unique<oneapi::tbb::global_control>(
          oneapi::tbb::global_control::max_allowed_parallelism, static_cast<size_t>(workers) + 1);
      shared->tbb = std::make_shared<TbbExecutor>(workers);
      shared->tbb->StartThreads();
    } else {
      shared->threads = std::make_shared<Threads>(workers);
    }
  }
  if (!shared->threads) return shared->tbb;
  shared->threads->Allow(workers);
  return shared->threads;
}

std::shared_ptr<Executor> ThreadExecutor(int workers) { return std::make_shared<Threads>(workers); }

}  // namespace stoker
