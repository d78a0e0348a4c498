// Executors for tests: which kinds there are, and one that watches and holds back what it runs.
#pragma once

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "pipeline/executor.h"

namespace stoker::testing {

#ifdef __SANITIZE_THREAD__
inline constexpr bool kThreadSanitizer = true;
#else
inline constexpr bool kThreadSanitizer = false;
#endif

// Longer than anything takes that is not stuck, also under a sanitizer on a machine that is busy.
inline constexpr std::chrono::seconds kStuck{60};

enum class ExecutorKind { kThreads, kShared };

inline std::vector<ExecutorKind> ExecutorKinds() {
  return {ExecutorKind::kThreads, ExecutorKind::kShared};
}

inline std::shared_ptr<Executor> MakeExecutor(ExecutorKind kind, int workers) {
  return kind == ExecutorKind::kShared ? SharedExecutor(workers) : ThreadExecutor(workers);
}

// The one for tests that need only one kind: what runs in production, if it may.
inline std::shared_ptr<Executor> MakeExecutor(int workers) {
  return MakeExecutor(ExecutorKinds().back(), workers);
}

inline std::string KindName(ExecutorKind kind) {
  return kind == ExecutorKind::kShared ? "Shared" : "Threads";
}

// Passes tasks on to another executor. A task begins only when the gate is open, and when
// `together` tasks have come as far (once; later tasks do not wait). Threads: any.
class WatchedExecutor final : public Executor {
 public:
  explicit WatchedExecutor(std::shared_ptr<Executor> inner, int together = 1)
      : inner_(std::move(inner)), state_(std::make_shared<State>()) {
    state_->together = together;
  }

  void Run(std::function<void()> task) override {
    // The state is shared: a loader, and this with it, may be gone when its last task returns.
    state_->Expect();
    inner_->Run([state = state_, task = std::move(task)] {
      state->Enter();
      task();
      state->Leave();
    });
  }

  void CloseGate() { state_->SetGate(false); }
  void OpenGate() { state_->SetGate(true); }
  // Waits until no task runs or is about to; false: one is stuck.
  bool WaitUntilQuiet() {
    std::unique_lock<std::mutex> lock(state_->mutex);
    return state_->changed.wait_for(lock, kStuck, [this] { return state_->expected == 0; });
  }
  // The most tasks that ran at one time.
  int max_running() const {
    const std::lock_guard<std::mutex> lock(state_->mutex);
    return state_->max_running;
  }
  // Whether as many tasks as asked for came together.
  bool met() const {
    const std::lock_guard<std::mutex> lock(state_->mutex);
    return state_->met;
  }

 private:
  struct State {
    std::mutex mutex;
    std::condition_variable changed;
    // Guarded by mutex.
    int together = 1;
    int expected = 0;  // handed over and not yet returned
    int running = 0;
    int max_running = 0;
    bool open = true;
    bool met = false;

    void Expect() {
      const std::lock_guard<std::mutex> lock(mutex);
      ++expected;
    }
    void Enter() {
      std::unique_lock<std::mutex> lock(mutex);
      max_running = std::max(max_running, ++running);
      met = met || running >= together;
      changed.notify_all();
      changed.wait_for(lock, kStuck, [this] { return met && open; });
    }
    void Leave() {
      const std::lock_guard<std::mutex> lock(mutex);
      --running;
      --expected;
      changed.notify_all();
    }
    void SetGate(bool is_open) {
      const std::lock_guard<std::mutex> lock(mutex);
      open = is_open;
      changed.notify_all();
    }
  };

  const std::shared_ptr<Executor> inner_;
  const std::shared_ptr<State> state_;
};

}  // namespace stoker::testing
