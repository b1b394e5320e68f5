#include "gateway/tls_contexts.h"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <string_view>

#include "base/check.h"

namespace tollgate::gateway {
namespace {

// Mozilla's "intermediate" list (Server Side TLS 5.7) without its DHE suites: they let anybody make the server compute
// at no cost of one's own (CVE-2002-20001), and every client of that list can do without them.
constexpr const char* kCiphers12 =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
constexpr const char* kGroups = "X25519:prime256v1:secp384r1";
constexpr long kSessionsMax = 20'480;
constexpr long kSessionSeconds = 2 * 60 * 60;
constexpr std::string_view kHttp11 = "http/1.1";
constexpr int kClientChainMax = 4;
constexpr long kClientChainBytesMax = 16 * 1024;

Fault fault_of(std::string_view field, std::string message) {
  return {FaultKind::invalid, "invalid_tls", fmt::format("{}: {}", field, message), std::string(field)};
}

std::string openssl_says() {
  const unsigned long error = ERR_peek_error();
  if (ERR_SYSTEM_ERROR(error)) return std::strerror(ERR_GET_REASON(error));
  const char* reason = ERR_reason_error_string(error);
  return reason != nullptr ? reason : "it cannot be read";
}

std::string lower_case(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return lower;
}

// Clients offer what they speak, each with its length before it (RFC 7301). Who offers only what we do not speak is
// told so; who offers nothing gets HTTP/1.1.
int choose_protocol(SSL*, const unsigned char** chosen, unsigned char* size, const unsigned char* offered,
                    unsigned int length, void*) noexcept {
  for (unsigned int at = 0; at < length; at += 1U + offered[at]) {
    if (at + 1U + offered[at] > length) break;
    const std::string_view name(reinterpret_cast<const char*>(offered) + at + 1, offered[at]);
    if (name != kHttp11) continue;
    *chosen = offered + at + 1;
    *size = offered[at];
    return SSL_TLSEXT_ERR_OK;
  }
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

std::optional<Fault> wrong_with_key_file(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) {
    return fault_of("tls.private_keys", fmt::format("{}: {}", path, std::strerror(errno)));
  }
  // Read access for the group is how certificate tools share keys with a service; nothing beyond that.
  if ((status.st_mode & (S_IRWXO | S_IWGRP)) == 0) return std::nullopt;
  return fault_of("tls.private_keys", fmt::format("{} can be read or changed by others (mode {:04o}): chmod 600 it",
                                                  path, status.st_mode & 07777));
}

// The DNS names of a certificate; its common name only if it has none (RFC 6125 6.4.4).
std::vector<std::string> names_of(X509* certificate) {
  std::vector<std::string> names;
  auto* alternatives =
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  for (int i = 0; alternatives != nullptr && i < sk_GENERAL_NAME_num(alternatives); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(alternatives, i);
    if (name->type != GEN_DNS) continue;
    names.emplace_back(reinterpret_cast<const char*>(ASN1_STRING_get0_data(name->d.dNSName)),
                       static_cast<std::size_t>(ASN1_STRING_length(name->d.dNSName)));
  }
  GENERAL_NAMES_free(alternatives);
  std::array<char, 256> common{};
  if (names.empty() && X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, common.data(),
                                                 static_cast<int>(common.size())) > 0) {
    names.emplace_back(common.data());
  }
  return names;
}

Result<void> verify_clients(SSL_CTX& context, const TlsConfig& config) {
  if (config.client_certificates == "none") return {};
  const int mode = SSL_VERIFY_PEER | (config.client_certificates == "required" ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0);
  SSL_CTX_set_verify(&context, mode, nullptr);
  SSL_CTX_set_verify_depth(&context, kClientChainMax);
  const char* path = config.client_ca_file.c_str();
  if (SSL_CTX_load_verify_locations(&context, path, nullptr) != 1) {
    return fault_of("tls.client_ca_file", fmt::format("{}: {}", path, openssl_says()));
  }
  SSL_CTX_set_client_CA_list(&context, SSL_load_client_CA_file(path));
  return {};
}

void set_policy(SSL_CTX& context, const TlsConfig& config) {
  SSL_CTX_set_min_proto_version(&context, config.min_version == "1.3" ? TLS1_3_VERSION : TLS1_2_VERSION);
  SSL_CTX_set_cipher_list(&context, kCiphers12);
  SSL_CTX_set1_groups_list(&context, kGroups);
  // Our order, but a client without AES in hardware (it puts ChaCha20 first) gets that.
  SSL_CTX_set_options(&context, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
  // Sessions are resumed from a cache here, not from tickets: a ticket's key, stolen later, would open them all.
  SSL_CTX_set_options(&context, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  // Many clients just close. Requests say their own length, so nobody is fooled by it, and their session stays good.
  SSL_CTX_set_options(&context, SSL_OP_IGNORE_UNEXPECTED_EOF);
  SSL_CTX_set_session_cache_mode(&context, SSL_SESS_CACHE_SERVER);
  SSL_CTX_sess_set_cache_size(&context, kSessionsMax);
  SSL_CTX_set_timeout(&context, kSessionSeconds);
  static constexpr std::string_view kScope = "tollgate";
  SSL_CTX_set_session_id_context(&context, reinterpret_cast<const unsigned char*>(kScope.data()), kScope.size());
  // Outgoing pieces move between two tries; an idle connection keeps no buffers of its own.
  SSL_CTX_set_mode(&context,
                   SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
  // A record that brings no data (a new key) ends the read, or a client that sends nothing else would hold the thread.
  SSL_CTX_clear_mode(&context, SSL_MODE_AUTO_RETRY);
  SSL_CTX_set_max_cert_list(&context, kClientChainBytesMax);
  SSL_CTX_set_alpn_select_cb(&context, choose_protocol, nullptr);
}
}  // namespace

void TlsContexts::Free::operator()(SSL_CTX* context) const noexcept { SSL_CTX_free(context); }

Result<std::shared_ptr<const TlsContexts>> TlsContexts::load(const TlsConfig& config) {
  if (config.certificates.empty())
    return fault_of("tls.certificates", "must name a certificate when tls.listen is set");
  std::shared_ptr<TlsContexts> contexts(new TlsContexts());
  for (std::size_t i = 0; i < config.certificates.size(); ++i) {
    if (auto added = contexts->add(config, i); !added) return added.error();
  }
  return std::shared_ptr<const TlsContexts>(std::move(contexts));
}

Result<void> TlsContexts::add(const TlsConfig& config, std::size_t index) {
  ERR_clear_error();
  const std::string& chain = config.certificates[index];
  const std::string& key = config.private_keys[index];
  std::unique_ptr<SSL_CTX, Free> made(SSL_CTX_new(TLS_server_method()));
  if (made == nullptr) return fault_of("tls", openssl_says());
  set_policy(*made, config);
  // An encrypted key is refused; without this OpenSSL would ask for its phrase on the terminal.
  SSL_CTX_set_default_passwd_cb(made.get(), [](char*, int, int, void*) { return 0; });
  if (SSL_CTX_use_certificate_chain_file(made.get(), chain.c_str()) != 1) {
    return fault_of("tls.certificates", fmt::format("{}: {}", chain, openssl_says()));
  }
  if (auto wrong = wrong_with_key_file(key)) return *std::move(wrong);
  if (SSL_CTX_use_PrivateKey_file(made.get(), key.c_str(), SSL_FILETYPE_PEM) != 1) {
    return fault_of("tls.private_keys", fmt::format("{}: {}", key, openssl_says()));
  }
  if (auto verified = verify_clients(*made, config); !verified) return verified;
  SSL_CTX_set_tlsext_servername_callback(made.get(), choose_by_name);
  SSL_CTX_set_tlsext_servername_arg(made.get(), this);
  // The first of two certificates for a name has it.
  for (const auto& name : names_of(SSL_CTX_get0_certificate(made.get())))
    by_name_.emplace(lower_case(name), made.get());
  contexts_.push_back(std::move(made));
  return {};
}

std::unique_ptr<TlsConnection> TlsContexts::accept(const std::shared_ptr<const TlsContexts>& from, int socket) {
  std::unique_ptr<SSL, TlsFree> ssl(SSL_new(from->contexts_.front().get()));
  const bool set = ssl != nullptr && SSL_set_fd(ssl.get(), socket) == 1;
  TOLLGATE_CHECK(set);  // only memory can be missing
  SSL_set_accept_state(ssl.get());
  return std::make_unique<TlsConnection>(std::move(ssl), from);
}

// A name that nobody has gets the first certificate: the client sees by itself that it does not fit.
int TlsContexts::choose_by_name(SSL* ssl, int*, void* contexts) noexcept {
  const char* name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
  if (name == nullptr) return SSL_TLSEXT_ERR_NOACK;
  SSL_CTX* found = static_cast<const TlsContexts*>(contexts)->find(name);
  if (found == nullptr) return SSL_TLSEXT_ERR_NOACK;
  SSL_set_SSL_CTX(ssl, found);
  return SSL_TLSEXT_ERR_OK;
}

SSL_CTX* TlsContexts::find(std::string_view server_name) const {
  const std::string name = lower_case(server_name);
  auto found = by_name_.find(name);
  if (found == by_name_.end()) {
    const auto dot = name.find('.');
    if (dot != std::string::npos) found = by_name_.find("*" + name.substr(dot));
  }
  return found == by_name_.end() ? nullptr : found->second;
}

}  // namespace tollgate::gateway
