// Something that a coroutine holds: whether its frame is there still.
#pragma once

namespace tollgate::net {

struct Counted {
  explicit Counted(int& of) : count(of) { ++count; }
  ~Counted() { --count; }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;
  int& count;
};

}  // namespace tollgate::net
