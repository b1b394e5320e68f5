#include "bench/fake_model/connection.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "bench/fake_model/record.h"
#include "bench/fake_model/worker.h"

namespace tollgate::bench {
namespace {

constexpr std::size_t kHeadBytesMax = 1 << 20;
constexpr std::int64_t kDrainMs = 2000;  // how long a closing connection waits for the peer to finish writing

}  // namespace

Connection::Connection(int fd, Worker& worker) : fd_(fd), worker_(worker) {}

Connection::~Connection() {
  if (phase_ != Phase::closed) ::close(fd_);
}

void Connection::on_events(std::uint32_t events) {
  if ((events & EPOLLOUT) != 0 && blocked_) {
    blocked_ = false;
    pump();
    if (phase_ == Phase::head) resume();
  }
  if ((events & EPOLLIN) != 0) read();
  // The peer closed its side. Whoever calls a model and stops listening gave up on the answer.
  if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) peer_gone();
}

void Connection::on_timer() {
  if (phase_ == Phase::drain) {
    close(false);
    return;
  }
  if (answer_due_) {
    answer_due_ = false;
    begin_answer();
  } else if (answering_ && answer_.more()) {
    answer_.next_piece(out_);
    pump();
  }
  if (phase_ == Phase::head) resume();
}

void Connection::read() {
  const auto buffer = worker_.buffer();
  while ((phase_ == Phase::head || phase_ == Phase::body || phase_ == Phase::drain) && !stuck_) {
    const ssize_t got = ::recv(fd_, buffer.data(), buffer.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) {
      peer_gone();
      return;
    }
    if (phase_ != Phase::drain) consume(std::string_view(buffer.data(), static_cast<std::size_t>(got)));
    // With edges, a short read means that the next byte will be an event of its own.
    if (static_cast<std::size_t>(got) < buffer.size() && phase_ != Phase::closed) return;
  }
}

void Connection::consume(std::string_view input) {
  while (!input.empty()) {
    if (stuck_) return;
    switch (phase_) {
      case Phase::head:
        if (!take_head(input)) return;
        break;
      case Phase::body:
        if (!body_.feed(input)) {
          refuse(saved_head_, "chunked body");
          return;
        }
        if (body_.done()) body_complete();
        break;
      case Phase::wait: pending_.append(input); return;
      case Phase::drain:
      case Phase::closed: return;
    }
  }
}

// false: the head is not whole yet.
bool Connection::take_head(std::string_view& input) {
  if (head_.empty()) {
    const std::size_t end = input.find("\r\n\r\n");
    if (end != std::string_view::npos) {
      const std::string_view head = input.substr(0, end + 4);
      input.remove_prefix(end + 4);
      begin_request(head);
      return true;
    }
  }
  const std::size_t before = head_.size();
  head_.append(input);
  const std::size_t end = head_.find("\r\n\r\n", before < 3 ? 0 : before - 3);
  if (end == std::string::npos) {
    input = {};
    if (head_.size() > kHeadBytesMax) refuse(head_, "head too large");
    return false;
  }
  input.remove_prefix(end + 4 - before);
  std::string head = std::move(head_);
  head_.clear();
  head.resize(end + 4);
  begin_request(head);
  return true;
}

void Connection::begin_request(std::string_view text) {
  RequestHead head;
  if (const char* fault = parse_head(text, head, controls_)) {
    refuse(text, fault);
    return;
  }
  target_.assign(head.target);
  head_method_ = head.method == "HEAD";
  http_1_0_ = head.http_1_0;
  keep_alive_ = head.keep_alive;
  answering_ = answer_done_ = false;
  own_path_ = target_ == "/__stats" || target_ == "/__reset";
  if (own_path_) {
    controls_.clear();
  } else {
    in_flight_ = true;
    worker_.record().request_began();
  }
  if (worker_.record().wanted()) saved_head_.assign(text);
  body_.start(head.chunked, head.content_length, worker_.options().checksum);
  phase_ = Phase::body;
  stuck_ = controls_.hang == Hang::read;
  if (stuck_) return;
  if (controls_.early) schedule_answer();
  else if (head.expect_continue && !body_.done()) {
    constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
    // A kernel without room for 25 bytes belongs to a peer that is not reading; the answer will notice.
    (void)!::send(fd_, kContinue.data(), kContinue.size(), MSG_NOSIGNAL);
  }
  if (phase_ == Phase::body && body_.done()) body_complete();
}

void Connection::refuse(std::string_view head, std::string_view fault) {
  worker_.record().malformed.fetch_add(1, std::memory_order_relaxed);
  if (worker_.record().wanted()) {
    EndedRequest ended;
    ended.head = head;
    ended.status = 400;
    ended.fault = fault;
    worker_.record().write(ended);
  }
  if (in_flight_) worker_.record().request_ended(false);
  in_flight_ = false;
  own_path_ = true;  // noted already
  answering_ = true;
  phase_ = Phase::wait;
  answer_.start_plain(400, "text/plain", fault, false, out_);
  pump();
}

void Connection::body_complete() {
  phase_ = Phase::wait;
  if (answer_done_) end_request();
  else if (!answering_ && !answer_due_) schedule_answer();
}

void Connection::schedule_answer() {
  if (controls_.hang == Hang::head) return;
  const std::int64_t delay = own_path_ ? 0 : controls_.delay_ms >= 0 ? controls_.delay_ms : worker_.options().delay_ms;
  if (delay > 0) {
    answer_due_ = true;
    worker_.arm(*this, delay);
  } else {
    begin_answer();
  }
}

void Connection::begin_answer() {
  answering_ = true;
  if (own_path_) {
    begin_plain_answer();
  } else {
    AnswerTo request;
    request.target = target_;
    request.head_method = head_method_;
    request.http_1_0 = http_1_0_;
    request.keep_alive = keep_alive_;
    request.body_bytes = body_.bytes();
    request.body_crc32 = body_.crc32();
    answer_.start(request, controls_, out_);
  }
  pump();
}

void Connection::begin_plain_answer() {
  if (target_ == "/__reset") worker_.record().reset();
  answer_.start_plain(200, "application/json", to_json(worker_.record().stats()), keep_alive_, out_);
}

void Connection::pump() {
  while (flush()) {
    if (!answer_.more()) {
      answer_sent();
      return;
    }
    if (controls_.interval_ms > 0) {
      worker_.arm(*this, controls_.interval_ms);
      return;
    }
    answer_.next_piece(out_);
  }
}

// false: the kernel took not all of it (EPOLLOUT follows), or the connection is gone.
bool Connection::flush() {
  while (sent_ < out_.size()) {
    const ssize_t put = ::send(fd_, out_.data() + sent_, out_.size() - sent_, MSG_NOSIGNAL);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0 && errno == EAGAIN) {
      blocked_ = true;
      return false;
    }
    if (put < 0) {
      peer_gone();
      return false;
    }
    sent_ += static_cast<std::size_t>(put);
  }
  out_.clear();
  sent_ = 0;
  return true;
}

void Connection::answer_sent() {
  answer_done_ = true;
  switch (answer_.end()) {
    case Answer::End::hang: return;  // until the peer gives up
    case Answer::End::keep:
      if (body_.done()) end_request();
      return;
    case Answer::End::close:
    case Answer::End::reset: break;
  }
  note_end(answer_.whole());
  if (answer_.end() == Answer::End::reset) {
    close(true);
  } else if (body_.done() && pending_.empty() && !own_path_) {
    close(false);
  } else {
    // Unread bytes at close() would turn into a reset that takes the answer with it.
    ::shutdown(fd_, SHUT_WR);
    phase_ = Phase::drain;
    worker_.arm(*this, kDrainMs);
  }
}

void Connection::end_request() {
  note_end(answer_.whole());
  phase_ = Phase::head;
}

// After an answer that ended outside read(): goes on with what was left unread.
void Connection::resume() {
  if (!pending_.empty()) {
    std::string held;
    held.swap(pending_);
    consume(held);
  }
  read();
}

void Connection::note_end(bool served) {
  if (!in_flight_) return;
  in_flight_ = false;
  Record& record = worker_.record();
  record.bytes.fetch_add(body_.bytes(), std::memory_order_relaxed);
  if (record.wanted()) {
    EndedRequest ended;
    ended.head = saved_head_;
    ended.body_bytes = body_.bytes();
    ended.body_crc32 = body_.crc32();
    ended.status = answering_ ? answer_.status() : 0;
    ended.served = served;
    record.write(ended);
  }
  record.request_ended(served);
}

void Connection::peer_gone() {
  if (phase_ == Phase::closed) return;
  note_end(answer_done_ && answer_.whole());
  close(false);
}

void Connection::close(bool reset) {
  if (phase_ == Phase::closed) return;
  if (reset) {
    const linger now{1, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  }
  phase_ = Phase::closed;
  ::close(fd_);
  worker_.forget(*this);
}

}  // namespace tollgate::bench
