#include "pipeline/executor.h"

#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace stoker {
namespace {

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
  pid_t pid;
  std::shared_ptr<Threads> executor;
};

// Of this process; made at first use. Without a lock, which a fork might leave locked.
Shared* TheShared(int workers) {
  static std::atomic<Shared*> the_shared{nullptr};
  Shared* known = the_shared.load(std::memory_order_acquire);
  while (known == nullptr || known->pid != getpid()) {
    auto made = std::make_unique<Shared>(Shared{getpid(), std::make_shared<Threads>(workers)});
    // The one that a fork brought along stays behind.
    if (the_shared.compare_exchange_strong(known, made.get(), std::memory_order_acq_rel)) {
      return made.release();
    }
  }
  return known;
}

}  // namespace

std::shared_ptr<Executor> SharedExecutor(int workers) {
  Shared* shared = TheShared(workers);
  shared->executor->Allow(workers);
  return shared->executor;
}

std::shared_ptr<Executor> ThreadExecutor(int workers) { return std::make_shared<Threads>(workers); }

}  // namespace stoker
