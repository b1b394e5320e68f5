// The admin API as `tollgate ctl` calls it: one request at a time, and problems as faults with a line for people.
// It knows no particular call, and it prints nothing.
#pragma once

#include <boost/json/value.hpp>
#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/fault.h"

namespace tollgate::gateway {

struct CtlClientOptions {
  std::string address = "127.0.0.1:9901";  // host:port
  std::string token;
  std::chrono::milliseconds timeout{30'000};  // for one request, from connecting to the whole answer
};

struct CtlAnswer {
  int status = 0;
  boost::json::value body;  // null for 204
  std::string text;         // in place of it, if the answer is CSV
  bool replayed = false;    // the stored answer of an Idempotency-Key
};

// How the last request ended.
struct CtlOutcome {
  int status = 0;              // 0: there was no answer
  boost::json::value problem;  // the document of an answer from 400 on; null: there is none
};

class CtlClient {
 public:
  explicit CtlClient(CtlClientOptions options) : options_(std::move(options)) {}

  // Answers below 400. A problem becomes a fault with its code and field, kept by kind as far as the status says;
  // `unavailable` with code "unreachable" if there was no answer.
  Result<CtlAnswer> send(std::string_view method, std::string_view target, const boost::json::value* body = nullptr,
                         std::string_view idempotency_key = {});
  Result<CtlAnswer> get(std::string_view target) { return send("GET", target); }
  Result<CtlAnswer> put(std::string_view target, const boost::json::value& body) { return send("PUT", target, &body); }

  [[nodiscard]] const CtlOutcome& last() const noexcept { return last_; }

  // The items of all pages of a list. `target` may have a query.
  Result<boost::json::array> all(const std::string& target);

 private:
  CtlClientOptions options_;
  CtlOutcome last_;
};

// For a part of a path or a query's value.
std::string percent_encoded(std::string_view text);

}  // namespace tollgate::gateway
