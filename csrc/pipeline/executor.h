// Who runs the loader's tasks. The pipeline knows only this interface; behind it are oneTBB and
// plain threads: for the thread sanitizer (Debian's libtbb is not instrumented), in a process that
// was forked from one whose oneTBB was running, and where the system gives fewer threads than were
// asked for.
//
// Note [Threads before tasks]
// oneTBB makes its threads when it needs them, most of them from within another of its threads, and
// ends the process where the system then refuses one. So before the arena gets its first task, as
// many plain threads as it may want are made at once, and joined: where that fails, tasks go to
// threads of our own. Then the arena is given one waiting task for each slot, so that all of its
// threads exist, which stay for as long as the process lives.
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

// The process's oneTBB arena, with room for at least `workers` tasks at a time; where the system
// does not give as many threads, or oneTBB's stayed behind in the parent of this process, threads
// of our own: as many of them as can be had.
//
// There is one arena for all loaders, without reserved slots, under a global_control that allows
// one thread more than it has slots: on two cores a task_arena(8, 0) alone would run one task at a
// time. It grows (by being replaced) when more workers are asked for than ever before, and never
// shrinks: the worker count limits the running tasks, not the arena. Idle threads stay.
std::shared_ptr<Executor> SharedExecutor(int workers);

// At most `workers` threads of its own, joined by the destructor (which must not run on one of
// them). In a forked child, where they do not exist, the destructor leaves them behind.
std::shared_ptr<Executor> ThreadExecutor(int workers);

}  // namespace stoker
