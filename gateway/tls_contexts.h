// What clients' TLS connections are made from: certificates by server name, versions, ciphers, client certificates;
// read from files at the start and at each reload, immutable after that. It makes no connection.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/fault.h"
#include "gateway/config.h"
#include "gateway/tls_connection.h"

typedef struct ssl_ctx_st SSL_CTX;

namespace tollgate::gateway {

// Shared by all workers; OpenSSL locks what changes inside (its cache of sessions), at handshakes only.
class TlsContexts {
 public:
  // Reads the files that `config` names. Faults name the key and the file: unreadable, no certificate in it, a private
  // key of another one, a key that others may read.
  static Result<std::shared_ptr<const TlsContexts>> load(const TlsConfig& config);
  TlsContexts(const TlsContexts&) = delete;
  TlsContexts& operator=(const TlsContexts&) = delete;

  // The server's side of a connection on `socket`: with the first certificate, until the client names a server.
  [[nodiscard]] static std::unique_ptr<TlsConnection> accept(const std::shared_ptr<const TlsContexts>& from,
                                                             int socket);

 private:
  TlsContexts() = default;
  Result<void> add(const TlsConfig& config, std::size_t index);
  static int choose_by_name(struct ssl_st* ssl, int* alert, void* contexts) noexcept;
  [[nodiscard]] SSL_CTX* find(std::string_view server_name) const;

  struct Free {
    void operator()(SSL_CTX* context) const noexcept;
  };
  std::vector<std::unique_ptr<SSL_CTX, Free>> contexts_;
  std::map<std::string, SSL_CTX*, std::less<>> by_name_;  // lower case; "*.example.com" stands for one label
};

}  // namespace tollgate::gateway
