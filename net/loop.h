// One thread's event loop over edge-triggered epoll: descriptors that became ready, coroutines that gave up their turn,
// work posted by other threads, and the few that sleep. Edge-triggered and remembered: whoever wants to read asks the
// kernel only when there is something, so a call costs no try in vain (docs/decisions/0046).
#pragma once

#include <sys/epoll.h>

#include <array>
#include <boost/intrusive/list.hpp>
#include <boost/system/error_code.hpp>
#include <coroutine>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <utility>
#include <vector>

#include "net/task.h"

namespace tollgate::net {

using boost::system::error_code;

class Loop;
struct Watch;

// A coroutine that waits, and what it waits for. It lives in the coroutine's frame, as the awaiter. On the loop's
// thread.
class Waiter {
 public:
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;

 protected:
  Waiter() = default;
  virtual ~Waiter() = default;
  // Tries to do it. False: it would block, so the wait goes on.
  virtual bool perform() noexcept = 0;
  [[nodiscard]] const error_code& cancelled() const noexcept { return cancelled_; }  // else it was performed

 private:
  friend class Loop;
  friend struct Watch;
  std::coroutine_handle<> who_;
  error_code cancelled_;
  Waiter* behind_ = nullptr;  // waits for the same; its turn comes after ours
  Watch* watch_ = nullptr;    // nullptr: of no descriptor, or it is closed
  std::size_t direction_ = 0;
  bool queued_ = false;  // for the loop's next round
};

// What the loop knows of one descriptor.
struct Watch {
  enum Direction : std::size_t { kRead, kWrite, kBroken };

  Loop& loop;
  int fd;                      // -1: closed
  bool readable = false;       // bytes, an end or an error may be there
  bool writable = false;       // there was room when the loop looked last, after a wait for it began
  bool hung_up = false;        // the peer sends no more
  bool broken = false;         // reset, or closed both ways
  int performed_in_a_row = 0;  // reads without a wait between them
  std::array<Waiter*, 3> waiters{};

  // From now on `waiter` waits: for an event, or only for its next turn.
  void wait(Waiter& waiter, Direction direction, std::coroutine_handle<> who) noexcept;
  void wait_turn(Waiter& waiter, Direction direction, std::coroutine_handle<> who) noexcept;
  void cancel() noexcept;  // whoever waits goes on soon, with operation_aborted
};

class Loop {
 public:
  Loop();   // throws where the process has no descriptors left
  ~Loop();  // destroys the coroutines that have not ended, unless run() has
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // ---- on the loop's thread, or before it has one ----
  void run();            // until stop(); then destroys the coroutines that have not ended, and is not run again
  void turn(bool wait);  // once: what is ready now; `wait`: or what is ready next
  void stop() noexcept { stopped_ = true; }
  // How often it has asked the kernel what is ready and heard all of it: by then every Watch knows what came before.
  [[nodiscard]] std::uint64_t looks() const noexcept { return looks_; }
  // Steady time, read once after a look: of all that it found, when it had come at the latest.
  [[nodiscard]] std::int64_t looked_at_ns() noexcept;

  // Runs `work`, which does not throw, on the loop's thread, soon; not after the loop's end. Any thread.
  void post(std::function<void()> work);
  // Runs the task, at first right here. `at_end`, which does not throw, hears what the task threw, or nullptr.
  void spawn(Task<void> task, std::function<void(const std::exception_ptr&)> at_end);

  // Others that are ready go first.
  auto yield() noexcept { return Yield(*this); }
  auto until(std::int64_t steady_ns) noexcept {
    return Sleep(*this, steady_ns);
  }  // of base/clock.h, or a little longer
  // Wakes a waiter without a descriptor in the next round. Once for each wait.
  void wake(Waiter& waiter) noexcept { enqueue(waiter); }
  static void waits(Waiter& waiter, std::coroutine_handle<> who) noexcept { waiter.who_ = who; }

  // A non-blocking descriptor, closed by unwatch(). nullptr and errno: the kernel has no memory for it.
  [[nodiscard]] Watch* watch(int fd) noexcept;
  // Its own descriptors. Of these post() needs one, on whichever thread.
  [[nodiscard]] std::array<int, 3> descriptors() const noexcept { return {epoll_, timer_, wakeup_}; }
  [[nodiscard]] int wakeup_descriptor() const noexcept { return wakeup_; }
  void unwatch(Watch* watch) noexcept;

 private:
  friend struct Watch;
  class Yield final : public Waiter {
   public:
    explicit Yield(Loop& loop) noexcept : loop_(loop) {}
    [[nodiscard]] bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> who) noexcept {
      waits(*this, who);
      loop_.enqueue(*this);
    }
    void await_resume() const noexcept {}

   private:
    bool perform() noexcept override { return true; }
    Loop& loop_;
  };
  class Sleep final : public Waiter {
   public:
    Sleep(Loop& loop, std::int64_t until) noexcept : loop_(loop), until_(until) {}
    [[nodiscard]] bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> who) {
      waits(*this, who);
      loop_.enlist(until_, *this);
    }
    void await_resume() const noexcept {}

   private:
    bool perform() noexcept override { return true; }
    Loop& loop_;
    std::int64_t until_;
  };

  // The coroutine that nobody waits for: it starts at once, frees itself, and is known to the loop until then.
  struct RootLink : boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
    std::coroutine_handle<> self;
  };
  struct Root;
  static Root run_root(Loop& loop, Task<void> task, std::function<void(const std::exception_ptr&)> at_end);

  void enqueue(Waiter& waiter) noexcept;
  [[nodiscard]] bool add(int fd, std::uint32_t events, void* what) noexcept;
  std::size_t look(int timeout_ms);
  void serve(const epoll_event& event);
  void go_on(Watch& watch, Watch::Direction direction);
  void run_queued();
  void enlist(std::int64_t until, Waiter& sleeper);
  void set_timer() noexcept;
  void wake_sleepers();
  void run_posted();
  void destroy_coroutines() noexcept;

  static constexpr std::size_t kEventsMax = 512;

  int epoll_;
  int wakeup_;  // an eventfd that post() writes
  // A timerfd: its event stands in the kernel's line behind all that was ready before, so how late a sleeper wakes is
  // how late everybody is served.
  int timer_;
  bool stopped_ = false;
  bool ending_ = false;
  std::uint64_t looks_ = 0;
  std::int64_t looked_at_ns_ = 0;  // 0: nobody has asked since the look
  std::array<epoll_event, kEventsMax> events_{};
  std::vector<Waiter*> queue_;
  std::vector<Waiter*> running_;                            // the queue of the round before
  std::vector<std::pair<std::int64_t, Waiter*>> sleepers_;  // few (a tick, a pause), the next one first
  std::vector<Watch*> closed_;                              // in this turn; events of them may still be in events_
  std::mutex posted_mutex_;
  std::vector<std::function<void()>> posted_;
  boost::intrusive::list<RootLink, boost::intrusive::constant_time_size<false>> roots_;
};

}  // namespace tollgate::net
