// TLS towards a service's upstreams: whom it trusts, which name it asks for and checks. Immutable; any thread may make
// connections from it. It reads no socket: tls_connection.h does.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/fault.h"
#include "gateway/tls_connection.h"

typedef struct ssl_ctx_st SSL_CTX;

namespace tollgate::gateway {

// The field `tls` of a service.
struct UpstreamTlsDefinition {
  bool verify = true;             // false: any certificate will do
  std::optional<std::string> ca;  // PEM certificates to trust instead of the system's; at most 256 KiB; "": none
  std::optional<std::string> server_name;  // to ask for and to check; absent: the upstream's host
};

class UpstreamTls {
 public:
  // Faults: `ca` holds no certificate, or something else besides.
  static Result<std::shared_ptr<const UpstreamTls>> make(const UpstreamTlsDefinition& definition);

  // The client's side of a connection to the upstream `host` on `socket`. `session` may be null: it is not resumed.
  [[nodiscard]] static std::unique_ptr<TlsConnection> connect(const std::shared_ptr<const UpstreamTls>& from,
                                                              int socket, const std::string& host,
                                                              SSL_SESSION* session);

 private:
  explicit UpstreamTls(UpstreamTlsDefinition definition) : definition_(std::move(definition)) {}

  struct Free {
    void operator()(SSL_CTX* context) const noexcept;
  };
  const UpstreamTlsDefinition definition_;
  std::unique_ptr<SSL_CTX, Free> context_;
};

}  // namespace tollgate::gateway
