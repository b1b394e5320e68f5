// `tollgate ctl`: the operator's command line over the admin API. It only parses commands and shows answers;
// what a call does is the server's affair.
#pragma once

#include <memory>

namespace CLI {
class App;
}

namespace tollgate::gateway {

class Ctl {
 public:
  // Adds `ctl` with all its commands to `root`.
  explicit Ctl(CLI::App& root);
  ~Ctl();
  Ctl(const Ctl&) = delete;
  Ctl& operator=(const Ctl&) = delete;

  // True after parsing, if a ctl command was given.
  [[nodiscard]] bool chosen() const noexcept;
  // The exit code: 0, 1 if the server or the world refused, 2 if the command is wrong.
  int run();

 private:
  class Commands;
  std::unique_ptr<Commands> commands_;
};

}  // namespace tollgate::gateway
