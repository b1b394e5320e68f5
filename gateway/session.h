// One client connection: a coroutine whose frame is its state. serve() is the life of a call from head to
// settlement, in the phases of ARCHITECTURE.md; the wire formats and the decisions are elsewhere.
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "gateway/buffer.h"
#include "gateway/call.h"
#include "gateway/deadline_wheel.h"
#include "gateway/http_chunks.h"
#include "gateway/http_head.h"
#include "gateway/pace.h"
#include "gateway/refusal.h"
#include "gateway/stream.h"
#include "gateway/upstream.h"
#include "gateway/worker.h"
#include "limiter/admission.h"
#include "meter/recorder.h"
#include "net/resolver.h"

namespace tollgate::gateway {

class Session final : public DeadlineWheel::Entry, public SessionLink {
 public:
  Session(Worker& worker, Stream client, const asio::ip::address& peer);
  ~Session() override;

  Task<void> serve();

  // ---- from the worker's tick and drain, between suspensions ----
  [[nodiscard]] std::int64_t due_ns() const noexcept override;
  void on_due(std::int64_t now_ns) noexcept override;
  [[nodiscard]] bool waits_for_upstream_since(std::int64_t before_ns) const noexcept override;
  [[nodiscard]] bool client_has_left() noexcept override { return client_.socket().peer_has_left(); }
  void client_gone() noexcept override;
  void close_idle() noexcept override;
  void abandon() noexcept override;

 private:
  // One read of the answer, appended to up_. False: the end of the stream, an error, a timeout, or the client has left.
  class UpstreamRead {
   public:
    UpstreamRead(Session& session, Call& call)
        : session_(session), call_(call), read_(session.upstream_->stream.read_into(session.up_)) {}
    bool await_ready() {
      begun_ = session_.begin_read(call_);
      return !begun_ || read_.await_ready();
    }
    void await_suspend(std::coroutine_handle<> who) noexcept { read_.await_suspend(who); }
    bool await_resume() { return begun_ && session_.end_read(call_, std::get<0>(read_.await_resume())); }

   private:
    Session& session_;
    Call& call_;
    Stream::ReadInto read_;
    bool begun_ = false;
  };

  // session.cc: phases 1, 2 and 8
  Task<bool> shake_hands();
  Task<bool> read_head(std::optional<Reason>& fault);
  void skip_blank_line() noexcept;
  std::optional<Reason> parse_head(HeadScanner::Result scanned);
  [[nodiscard]] bool make_room_for_head();
  [[nodiscard]] HeadLimits head_limits() const noexcept;
  void begin(Call& call);
  void take_first_body(Call& call);
  Task<void> refuse(Call& call, Reason reason);
  Task<void> discard_body(Call& call);
  void settle(Call& call);
  void write_access_line(Call& call);
  void log_upstream_fault(const Call& call);
  Task<void> linger();
  // A usual head's room is the connection's own, as is a small block of in_; what is larger is the budget's.
  void count_heads() noexcept {
    heads_held_.set((out_.capacity() > kSmallBlock ? out_.capacity() : 0) +
                    (head_copy_.capacity() > kSmallBlock ? head_copy_.capacity() : 0));
  }

  // session_admit.cc: phases 3 to 5
  std::optional<Reason> decide(Call& call);
  std::optional<Reason> identify_and_route(Call& call);
  [[nodiscard]] Reason invalid_key() noexcept;
  [[nodiscard]] bool may_go_uncounted(const limiter::Admission& admission);

  // session_forward.cc: phase 6
  Task<void> proxy(Call& call);
  Task<bool> connect(Call& call, bool fresh);
  std::size_t choose_connection(Call& call, bool fresh);
  void count_on_upstream(Call& call) noexcept;
  Task<bool> connect_anew(Call& call, std::size_t index, bool fresh);
  Task<error_code> open_connection(WorkerService& service, UpstreamConnection& connection);
  Task<error_code> secure(WorkerService& service, UpstreamConnection& connection);
  Task<void> exchange(Call& call);
  Task<void> or_end_both(Call& call, Task<void> half);
  static void add_in_one_piece(Outgoing& out, std::string_view head, Buffer& buffer, std::string_view body) noexcept;
  Task<void> send_request(Call& call);
  Task<void> send_rest_of_request(Call& call, Outgoing out, error_code error);
  [[nodiscard]] bool may_be_sent_twice(const Call& call) const noexcept;
  void keep_for_retry(Call& call);
  static void keep_for_retry(Call& call, std::string_view piece);
  bool rewind(Call& call);
  Task<void> upload(Call& call);
  Task<bool> read_body_piece(Call& call, std::string_view& piece);
  void keep_or_drop_upstream(Call& call);
  void cancel_upstream() noexcept;
  void upstream_broke(Call& call, Reason reason);

  // session_relay.cc: phase 7
  Task<void> respond(Call& call);
  Task<bool> read_response_head(Call& call);
  UpstreamRead read_upstream(Call& call) { return {*this, call}; }
  [[nodiscard]] bool begin_read(const Call& call) noexcept;
  bool end_read(Call& call, const error_code& error) noexcept;
  Task<void> pass_interim(Call& call);
  Task<void> relay(Call& call);

  // Sends all of it; waits only for what the socket did not take at once.
  Task<error_code> send_to_client(Outgoing& out);
  Task<error_code> send_rest_to_client(Outgoing& out, error_code error);
  Task<error_code> send_to_upstream(Outgoing& out);
  Task<error_code> send_rest_to_upstream(Outgoing& out, error_code error);

  // One read of a request's body into in_, within body_ms and the least pace.
  Task<error_code> read_body_bytes();

  Task<error_code> wait_for_taker();
  Task<bool> hold_back();
  [[nodiscard]] bool is_for_the_other_way(const error_code& error, bool expired) const noexcept;

  void set_read_deadline(std::int64_t after_ms) noexcept;   // of the client
  void set_write_deadline(std::int64_t after_ms) noexcept;  // of the client
  void set_upstream_deadline(std::int64_t after_ms) noexcept;
  void clear_read_deadline() noexcept { client_read_due_ns_ = kNever; }
  void clear_write_deadline() noexcept { client_write_due_ns_ = kNever; }
  void clear_upstream_deadline() noexcept { upstream_due_ns_ = kNever; }

  Worker& worker_;
  Stream client_;
  const std::string peer_;
  const std::uint64_t address_;  // see client_address()
  std::string log_method_;       // copies for the access log, where one is kept
  std::string log_path_;
  std::string log_trace_;
  Buffer in_;              // from the client
  Buffer up_;              // from the upstream
  std::string out_;        // the head being written, to either side
  std::string head_copy_;  // the request's, as it came, where a second try may want it
  HeldBytes heads_held_;   // by these two
  Outgoing interim_;       // 100 Continue, as far as it has not left
  HeadScanner scanner_;
  RequestHead request_;
  ResponseHead response_;
  ChunkDecoder request_chunks_;
  ChunkDecoder response_chunks_;
  std::unique_ptr<UpstreamConnection> upstream_;
  net::Lookup* lookup_ = nullptr;  // while a name is looked up
  Call* call_ = nullptr;           // while one is in progress
  Pace body_pace_{0, 0};           // anew for each call
  Pace answer_pace_{0, 0};         // the same
  std::int64_t client_read_due_ns_ = kNever;
  std::int64_t client_write_due_ns_ = kNever;
  std::int64_t upstream_due_ns_ = kNever;
  std::int64_t requests_ = 0;
  int pauses_in_a_row_ = 0;  // see hold_back()
  bool client_read_expired_ = false;
  bool client_write_expired_ = false;
  bool upstream_expired_ = false;
  bool reading_upstream_ = false;
  bool refused_ = false;  // the last call, by us
  bool keep_open_ = true;
  bool answered_ = false;        // the last call was answered, so a close must let the client read that answer
  bool close_abruptly_ = false;  // the client is gone, or must see that its answer was cut
};

}  // namespace tollgate::gateway
