// The webhook over TLS, against a receiver with a certificate of the test's own making.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <thread>

#include "base/ids.h"
#include "gateway/webhook.h"

namespace tollgate::gateway {
namespace {
namespace asio = boost::asio;
using asio::ip::tcp;
using testing::HasSubstr;

std::string text_of(BIO* memory) {
  char* data = nullptr;
  const auto size = BIO_get_mem_data(memory, &data);
  std::string text(data, static_cast<std::size_t>(size));
  BIO_free(memory);
  return text;
}

struct Certificate {
  std::string certificate;
  std::string key;
};

// Self-signed, for `name` ("IP:127.0.0.1" or "DNS:example.net").
Certificate make_certificate(const char* name) {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* certificate = X509_new();
  X509_set_version(certificate, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
  X509_set_pubkey(certificate, key);
  X509_NAME* subject = X509_get_subject_name(certificate);
  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("receiver"), -1, -1,
                             0);
  X509_set_issuer_name(certificate, subject);
  X509_EXTENSION* names = X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, name);
  X509_add_ext(certificate, names, -1);
  X509_sign(certificate, key, EVP_sha256());
  BIO* certificate_text = BIO_new(BIO_s_mem());
  PEM_write_bio_X509(certificate_text, certificate);
  BIO* key_text = BIO_new(BIO_s_mem());
  PEM_write_bio_PrivateKey(key_text, key, nullptr, nullptr, 0, nullptr, nullptr);
  X509_EXTENSION_free(names);
  X509_free(certificate);
  EVP_PKEY_free(key);
  return {text_of(certificate_text), text_of(key_text)};
}

class WebhookTls : public testing::Test {
 protected:
  void TearDown() override {
    ::unsetenv("SSL_CERT_FILE");
    std::filesystem::remove(file_);
  }
  // What one delivery came to, from a receiver whose certificate is for `name`, and trusted or not.
  std::optional<std::string> deliver(const char* name, bool trusted) {
    const auto made = make_certificate(name);
    std::ofstream(file_) << (trusted ? made.certificate : make_certificate(name).certificate);
    ::setenv("SSL_CERT_FILE", file_.c_str(), 1);
    asio::io_context context;
    tcp::acceptor acceptor(context, tcp::endpoint(asio::ip::make_address("127.0.0.1"), 0));
    asio::ssl::context tls(asio::ssl::context::tls_server);
    tls.use_certificate(asio::buffer(made.certificate), asio::ssl::context::pem);
    tls.use_private_key(asio::buffer(made.key), asio::ssl::context::pem);
    std::thread receiver([&] { answer_one(acceptor, tls); });
    const auto url = "https://127.0.0.1:" + std::to_string(acceptor.local_endpoint().port()) + "/hook";
    Webhook webhook({parse_webhook_url(url).value(), "secret", true, std::chrono::seconds(30)}, clock_);
    std::promise<std::optional<std::string>> done;
    webhook.send({"n-1", "{}"}, [&](auto failure) { done.set_value(std::move(failure)); });
    auto failure = done.get_future().get();
    webhook.stop();
    receiver.join();
    return failure;
  }

 private:
  static void answer_one(tcp::acceptor& acceptor, asio::ssl::context& tls) {
    boost::system::error_code error;
    asio::ssl::stream<tcp::socket> stream(acceptor.accept(), tls);
    stream.handshake(asio::ssl::stream_base::server, error);
    if (error) return;
    boost::beast::flat_buffer buffer;
    boost::beast::http::request<boost::beast::http::string_body> request;
    boost::beast::http::read(stream, buffer, request, error);
    asio::write(stream, asio::buffer(std::string("HTTP/1.1 204 No Content\r\n\r\n")), error);
  }

  SystemClock clock_;
  std::filesystem::path file_ = std::filesystem::temp_directory_path() / random_id("certificate");
};

TEST_F(WebhookTls, ATrustedReceiverOfTheRightNameGetsTheMessage) {
  EXPECT_EQ(deliver("IP:127.0.0.1", true), std::nullopt);
}

TEST_F(WebhookTls, AnUnknownCertificateOrAnotherNameGetsNothing) {
  EXPECT_THAT(deliver("IP:127.0.0.1", false).value_or(""), HasSubstr("TLS"));
  EXPECT_THAT(deliver("IP:127.0.0.2", true).value_or(""), HasSubstr("TLS"));
  EXPECT_THAT(deliver("DNS:example.net", true).value_or(""), HasSubstr("TLS"));
}

}  // namespace
}  // namespace tollgate::gateway
