#include "gateway/upstream_tls.h"

#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <array>

#include "base/check.h"

namespace tollgate::gateway {
namespace {
constexpr std::array<unsigned char, 9> kHttp11 = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};

struct FreeBio {
  void operator()(BIO* bio) const noexcept { BIO_free(bio); }
};

bool is_address(const std::string& host) noexcept {
  std::array<unsigned char, sizeof(in6_addr)> ignored{};
  return ::inet_pton(AF_INET, host.c_str(), ignored.data()) == 1 ||
         ::inet_pton(AF_INET6, host.c_str(), ignored.data()) == 1;
}

// Read once: it is of many services, and reading it takes some 20 ms. OpenSSL locks it.
X509_STORE* system_store() {
  static X509_STORE* const store = [] {
    X509_STORE* made = X509_STORE_new();
    TOLLGATE_CHECK(made != nullptr);  // only memory can be missing
    X509_STORE_set_default_paths(made);
    return made;
  }();
  return store;
}

bool has_expired(SSL_SESSION& session) noexcept {
  const X509* peer = SSL_SESSION_get0_peer(&session);
  return peer != nullptr && X509_cmp_current_time(X509_get0_notAfter(peer)) <= 0;
}

Result<void> trust(SSL_CTX& context, const std::string& pem) {
  ERR_clear_error();
  const std::unique_ptr<BIO, FreeBio> text(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  int certificates = 0;
  bool others = false;  // a private key beside them would be kept, and shown to whoever may read the service
  char* name = nullptr;
  char* header = nullptr;
  unsigned char* bytes = nullptr;
  long size = 0;
  while (PEM_read_bio(text.get(), &name, &header, &bytes, &size) == 1) {
    const unsigned char* at = bytes;
    const bool is_one = std::string_view(name) == PEM_STRING_X509;
    X509* certificate = is_one ? d2i_X509(nullptr, &at, size) : nullptr;
    others = others || certificate == nullptr;
    if (certificate != nullptr) X509_STORE_add_cert(SSL_CTX_get_cert_store(&context), certificate);
    X509_free(certificate);
    for (void* part : {static_cast<void*>(name), static_cast<void*>(header), static_cast<void*>(bytes)})
      OPENSSL_free(part);
    ++certificates;
  }
  // The end of the text ends the reading with "no start line"; anything else is a certificate that is broken.
  const bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  ERR_clear_error();
  if (certificates > 0 && !others && at_end) return {};
  return Fault{FaultKind::invalid, "invalid_field", "must hold certificates in PEM form, and nothing else", "tls.ca"};
}
}  // namespace

void UpstreamTls::Free::operator()(SSL_CTX* context) const noexcept { SSL_CTX_free(context); }

Result<std::shared_ptr<const UpstreamTls>> UpstreamTls::make(const UpstreamTlsDefinition& definition) {
  std::shared_ptr<UpstreamTls> made(new UpstreamTls(definition));
  made->context_.reset(SSL_CTX_new(TLS_client_method()));
  TOLLGATE_CHECK(made->context_ != nullptr);  // only memory can be missing
  SSL_CTX& context = *made->context_;
  SSL_CTX_set_min_proto_version(&context, TLS1_2_VERSION);
  SSL_CTX_set_options(&context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_mode(&context,
                   SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_session_cache_mode(&context, SSL_SESS_CACHE_OFF);  // each worker keeps the sessions of its upstreams
  SSL_CTX_set_alpn_protos(&context, kHttp11.data(), kHttp11.size());
  if (!definition.ca) {
    SSL_CTX_set1_cert_store(&context, system_store());
  } else if (!definition.ca->empty()) {
    if (auto trusted = trust(context, *definition.ca); !trusted) return trusted.error();
    // Whoever names an issuer that is no root trusts that one.
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(&context), X509_V_FLAG_PARTIAL_CHAIN);
  }
  SSL_CTX_set_verify(&context, definition.verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nullptr);
  return std::shared_ptr<const UpstreamTls>(std::move(made));
}

std::unique_ptr<TlsConnection> UpstreamTls::connect(const std::shared_ptr<const UpstreamTls>& from, int socket,
                                                    const std::string& host, SSL_SESSION* session) {
  std::unique_ptr<SSL, TlsFree> ssl(SSL_new(from->context_.get()));
  TOLLGATE_CHECK(ssl != nullptr);
  const std::string& name = from->definition_.server_name ? *from->definition_.server_name : host;
  bool set = SSL_set_fd(ssl.get(), socket) == 1;
  if (is_address(
          name)) {  // an address is checked against the certificate's addresses, and never asked for (RFC 6066 3)
    set = set && X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl.get()), name.c_str()) == 1;
  } else {
    SSL_set_hostflags(ssl.get(), X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    set = set && SSL_set1_host(ssl.get(), name.c_str()) == 1 && SSL_set_tlsext_host_name(ssl.get(), name.c_str()) == 1;
  }
  TOLLGATE_CHECK(set);  // the name was checked when the service was put: only memory can be missing
  if (session != nullptr && !has_expired(*session)) SSL_set_session(ssl.get(), session);
  SSL_set_connect_state(ssl.get());
  return std::make_unique<TlsConnection>(std::move(ssl), from);
}

}  // namespace tollgate::gateway
