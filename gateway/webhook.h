// Sends JSON messages to one URL by HTTP POST, signed, from a thread of its own: one attempt for each send().
// It neither keeps nor repeats anything; the outbox of the billing core does.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "gateway/webhook_target.h"

namespace tollgate::gateway {

struct WebhookOptions {
  WebhookTarget target;
  std::string secret;          // signs; never empty
  bool allow_private = false;  // also addresses that are not of the public Internet
  std::chrono::milliseconds timeout{
      10'000};  // for one attempt; the system's own bound for resolving the name comes on top
};

struct WebhookMessage {
  std::string id;    // goes as Tollgate-Notification-Id: the receiver deduplicates by it
  std::string body;  // JSON
};

// "t=<unix seconds>,v1=<hex>": HMAC-SHA256 with `secret` over "<unix seconds>.<body>". The time is signed so that
// a recorded request cannot be played again later.
std::string webhook_signature(std::string_view secret, std::int64_t unix_seconds, std::string_view body);

class Webhook {
 public:
  // nullopt: answered 2xx. Else a sentence without any secret. Called on the webhook's thread.
  using Done = std::function<void(std::optional<std::string> failure)>;

  // `clock` dates the signatures: the time of the world, not of a test.
  Webhook(WebhookOptions options, const Clock& clock);
  ~Webhook();  // stop()
  Webhook(const Webhook&) = delete;
  Webhook& operator=(const Webhook&) = delete;

  // Any thread. Redirects are not followed: they would lead past the check of the address.
  void send(WebhookMessage message, Done done);

  // Drops what is in flight, whose `done` never comes, and joins. Not from the webhook's own thread.
  void stop();

 private:
  class Sender;
  std::unique_ptr<Sender> sender_;
};

}  // namespace tollgate::gateway
