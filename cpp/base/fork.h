// What a fork must not find halfway done. A child has one thread, a copy of the one that forked:
// what another was about to change stays as it is, and locks that it held stay shut.
#pragma once

namespace annx {

class Forkable {
 public:
  Forkable();
  Forkable(const Forkable&) = delete;
  Forkable& operator=(const Forkable&) = delete;

  // On the thread that forks: leaves everything as others may find it, until after_fork. Must not
  // wait for what needs Python.
  virtual void before_fork() noexcept = 0;
  virtual void after_fork(bool in_child) noexcept = 0;

 protected:
  // The object takes part in forks between these two.
  void enlist();
  void retire() noexcept;
  ~Forkable() = default;
};

}  // namespace annx
