// One client connection of the fake model: reads requests, answers as they ask, and notes how each of them ended.
// All of it happens on its worker's thread; it never blocks.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "bench/fake_model/answer.h"
#include "bench/fake_model/body_reader.h"
#include "bench/fake_model/request_head.h"

namespace tollgate::bench {

class Worker;

class Connection {
 public:
  Connection(int fd, Worker& worker);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void on_events(std::uint32_t events);  // edge-triggered epoll events
  void on_timer();
  [[nodiscard]] int fd() const noexcept { return fd_; }

 private:
  // `wait`: the request is read, its answer is not out yet; what comes meanwhile stays in `pending_` or the kernel.
  enum class Phase { head, body, wait, drain, closed };

  void read();
  void consume(std::string_view input);
  bool take_head(std::string_view& input);
  void begin_request(std::string_view head);
  void refuse(std::string_view head, std::string_view fault);
  void body_complete();
  void schedule_answer();
  void begin_answer();
  void begin_plain_answer();
  void pump();
  bool flush();
  void answer_sent();
  void end_request();  // both the request and its answer are done, and the connection stays
  void resume();
  void note_end(bool served);
  void peer_gone();
  void close(bool reset);

  int fd_;
  Worker& worker_;
  Phase phase_ = Phase::head;
  bool in_flight_ = false;   // begun and not yet noted as ended
  bool own_path_ = false;    // /__stats or /__reset: not counted, not recorded
  bool answer_due_ = false;  // the next timer begins the answer
  bool answering_ = false;
  bool answer_done_ = false;
  bool blocked_ = false;  // the kernel took no more; EPOLLOUT will come
  bool stuck_ = false;    // told to read no further
  bool head_method_ = false;
  bool http_1_0_ = false;
  bool keep_alive_ = true;
  Controls controls_;
  BodyReader body_;
  Answer answer_;
  // Kept from request to request so that their memory is.
  std::string head_, saved_head_, target_, pending_, out_;
  std::size_t sent_ = 0;
};

}  // namespace tollgate::bench
