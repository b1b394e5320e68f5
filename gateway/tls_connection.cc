#include "gateway/tls_connection.h"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <cerrno>
#include <utility>

namespace tollgate::gateway {
namespace {
constexpr std::uint64_t kBytesWithoutDataMax = 64 * 1024;

void begin_step() noexcept {
  ERR_clear_error();
  errno = 0;
}
}  // namespace

void TlsFree::operator()(SSL* ssl) const noexcept { SSL_free(ssl); }
void TlsFree::operator()(SSL_SESSION* session) const noexcept { SSL_SESSION_free(session); }

TlsConnection::TlsConnection(std::unique_ptr<SSL, TlsFree> ssl, std::shared_ptr<const void> made_by) noexcept
    : made_by_(std::move(made_by)), ssl_(std::move(ssl)) {}

// A session stays good for another connection although this one ends without the peer's last word.
TlsConnection::~TlsConnection() {
  if (!broken_) SSL_set_shutdown(ssl_.get(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
}

// The error queue and errno are the thread's: what another connection left there must not be taken for this one's.
TlsStep TlsConnection::handshake() noexcept {
  begin_step();
  return unless_too_much(step_of(SSL_do_handshake(ssl_.get())));
}

TlsStep TlsConnection::read(std::span<char> into, std::size_t& got) noexcept {
  begin_step();
  got = 0;
  const TlsStep step = step_of(SSL_read_ex(ssl_.get(), into.data(), into.size(), &got));
  if (step == TlsStep::done) heard_at_data_ = bytes_heard();
  return unless_too_much(step);
}

std::uint64_t TlsConnection::bytes_heard() const noexcept { return BIO_number_read(SSL_get_rbio(ssl_.get())); }

// A handshake, or what comes between two pieces of data: neither needs more than a record and some, so who sends more
// only wants to be worked for.
TlsStep TlsConnection::unless_too_much(TlsStep step) noexcept {
  if (step != TlsStep::wants_read || bytes_heard() - heard_at_data_ <= kBytesWithoutDataMax) return step;
  broken_ = true;
  return TlsStep::failed;
}

TlsStep TlsConnection::write(std::string_view bytes, std::size_t& sent) noexcept {
  begin_step();
  sent = 0;
  return step_of(SSL_write_ex(ssl_.get(), bytes.data(), bytes.size(), &sent));
}

void TlsConnection::close_notify() noexcept {
  if (broken_ || SSL_in_init(ssl_.get()) != 0) return;
  begin_step();
  SSL_shutdown(ssl_.get());
}

// Upstreams' contexts read past tickets by themselves, so that "wants to read" is said of an empty socket only.
bool TlsConnection::is_open_and_silent() noexcept {
  begin_step();
  char byte = 0;
  std::size_t got = 0;
  return step_of(SSL_peek_ex(ssl_.get(), &byte, 1, &got)) == TlsStep::wants_read;
}

TlsSession TlsConnection::session() const noexcept {
  TlsSession session(SSL_get1_session(ssl_.get()));
  if (session != nullptr && SSL_SESSION_is_resumable(session.get()) == 0) session.reset();
  return session;
}

bool TlsConnection::is_resumed() const noexcept { return SSL_session_reused(ssl_.get()) != 0; }

std::string TlsConnection::failure() const {
  if (error_ == 0) return "the connection was closed or broken";
  const char* reason = ERR_reason_error_string(error_);
  const long verified = SSL_get_verify_result(ssl_.get());
  if (ERR_GET_REASON(error_) == SSL_R_CERTIFICATE_VERIFY_FAILED && verified != X509_V_OK) {
    return fmt::format("{}: {}", reason, X509_verify_cert_error_string(verified));
  }
  return reason != nullptr ? reason : "an unknown error";
}

// OpenSSL's BIO of a socket sets errno to 0 before each read of it.
TlsStep TlsConnection::step_of(int result) noexcept {
  emptied_ = errno == EAGAIN || errno == EWOULDBLOCK;
  if (result == 1) return TlsStep::done;
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_WANT_READ: return TlsStep::wants_read;
    case SSL_ERROR_WANT_WRITE: return TlsStep::wants_write;
    case SSL_ERROR_ZERO_RETURN: return TlsStep::ended;
    default:
      broken_ = true;  // a close_notify now would make a cut look like an end
      error_ = ERR_peek_error();
      return TlsStep::failed;
  }
}

}  // namespace tollgate::gateway
