// Who runs the loader's tasks. The pipeline knows only this interface; behind it are threads of our
// own.
//
// They are not oneTBB's, as they once were: oneTBB makes its threads when it needs them, the second
// and the third of them from within the first, and ends the process where the system refuses one.
#pragma once

#include <functional>
#include <memory>

namespace stoker {

class Executor {
 public:
  virtual ~Executor() = default;
  // Runs `task` once, soon, on some thread that is not the caller's. Up to the number of workers
  // that the executor was made for run at the same time; fewer, where the system refuses a thread:
  // then tasks wait for one another. `task` must not throw. Throws, and does not run it, where
  // there is no thread at all (std::system_error) or no memory (std::bad_alloc).
  // Threads: any.
  virtual void Run(std::function<void()> task) = 0;
};

// The process's threads, at least `workers` of them if the system gives them.
//
// All loaders share them. There are as many as the largest count ever asked for, each made when a
// task first finds none idle, and none ever ends: the worker count limits the running tasks, not
// the threads. A process that was forked has threads of its own.
std::shared_ptr<Executor> SharedExecutor(int workers);

// At most `workers` threads of its own, joined by the destructor (which must not run on one of
// them). In a forked child, where they do not exist, the destructor leaves them behind.
std::shared_ptr<Executor> ThreadExecutor(int workers);

}  // namespace stoker
