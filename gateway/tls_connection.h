// TLS over one non-blocking socket, as steps that never wait: each says whether it is done or what the socket must
// become first. It waits for nothing and knows no protocol above it; stream.h does the waiting.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

typedef struct ssl_st SSL;
typedef struct ssl_session_st SSL_SESSION;

namespace tollgate::gateway {

enum class TlsStep {
  done,
  wants_read,   // again when the socket can be read
  wants_write,  // again when it can be written, with the same bytes
  ended,        // the peer said that it sends no more (close_notify)
  failed        // broken, or cut without that word: failure() says why
};

struct TlsFree {
  void operator()(SSL* ssl) const noexcept;
  void operator()(SSL_SESSION* session) const noexcept;
};
using TlsSession = std::unique_ptr<SSL_SESSION, TlsFree>;  // what a later connection resumes

// On one thread. The socket stays its owner's and outlives this.
class TlsConnection {
 public:
  // `ssl` is ready for its handshake, as server or client. `made_by` is what its callbacks use.
  TlsConnection(std::unique_ptr<SSL, TlsFree> ssl, std::shared_ptr<const void> made_by) noexcept;
  ~TlsConnection();
  TlsConnection(const TlsConnection&) = delete;
  TlsConnection& operator=(const TlsConnection&) = delete;

  TlsStep handshake() noexcept;
  TlsStep read(std::span<char> into, std::size_t& got) noexcept;
  // Sends some of `bytes`, which is not empty.
  TlsStep write(std::string_view bytes, std::size_t& sent) noexcept;
  // Tells the peer that no more comes, if the socket takes it at once. Not after a failure.
  void close_notify() noexcept;

  // The peer has neither closed nor sent a byte for us; what TLS says for itself (a ticket) is taken in.
  [[nodiscard]] bool is_open_and_silent() noexcept;
  [[nodiscard]] TlsSession session() const noexcept;  // nullptr: there is none to resume
  [[nodiscard]] bool is_resumed() const noexcept;
  // The last step that wants to read found the socket empty, and did not only give up its turn after a record without
  // data.
  [[nodiscard]] bool has_emptied_socket() const noexcept { return emptied_; }
  // Of the socket, since the connection began: grows while a record comes in that is not whole yet.
  [[nodiscard]] std::uint64_t bytes_heard() const noexcept;
  [[nodiscard]] std::string failure() const;  // of the last step that failed, in OpenSSL's words

 private:
  TlsStep step_of(int result) noexcept;
  TlsStep unless_too_much(TlsStep step) noexcept;

  std::shared_ptr<const void> made_by_;
  std::unique_ptr<SSL, TlsFree> ssl_;
  unsigned long error_ = 0;
  std::uint64_t heard_at_data_ = 0;  // bytes_heard() when data came last
  bool emptied_ = false;
  bool broken_ = false;
};

}  // namespace tollgate::gateway
