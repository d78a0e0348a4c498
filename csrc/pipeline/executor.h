// Who runs the loader's tasks. The pipeline knows only this interface; behind it are oneTBB in
// production and plain threads for the thread sanitizer (Debian's libtbb is not instrumented) and
// in a process that was forked from one whose oneTBB was running.
#pragma once

#include <functional>
#include <memory>

namespace stoker {

class Executor {
 public:
  virtual ~Executor() = default;
  // Runs `task` once, soon, on some thread that is not the caller's. Up to the number of workers
  // that the executor was made for run at the same time. `task` must not throw.
  // Threads: any.
  virtual void Run(std::function<void()> task) = 0;
};

// The process's oneTBB arena, with room for at least `workers` tasks at a time.
//
// There is one arena for all loaders, without reserved slots, under a global_control that allows
// one thread more than it has slots: on two cores a task_arena(8, 0) alone would run one task at a
// time. It grows (by being replaced) when more workers are asked for than ever before, and never
// shrinks: the worker count limits the running tasks, not the arena. Idle threads stay with oneTBB.
//
// In a process forked from one that used the arena, oneTBB's threads are gone: there this returns
// ThreadExecutor(workers).
std::shared_ptr<Executor> SharedExecutor(int workers);

// `workers` threads of its own, joined by the destructor (which must not run on one of them).
std::shared_ptr<Executor> ThreadExecutor(int workers);

}  // namespace stoker
