#include "gateway/app_log.h"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include "gateway/access_log.h"

namespace tollgate::gateway {
namespace {
constexpr std::size_t kMessageMax = 4096;

// The message as the inside of a JSON string: whatever it quotes, a line stays one valid line.
class EscapedMessage final : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm&, spdlog::memory_buf_t& out) override {
    std::string text;
    append_json_escaped(text, {message.payload.data(), message.payload.size()}, kMessageMax);
    out.append(text.data(), text.data() + text.size());
  }
  [[nodiscard]] std::unique_ptr<custom_flag_formatter> clone() const override {
    return std::make_unique<EscapedMessage>();
  }
};
}  // namespace

void set_up_log(const LogConfig& config) {
  static const auto logger = [] {
    auto made = spdlog::stderr_color_mt("tollgate");
    spdlog::set_default_logger(made);
    return made;
  }();
  if (config.format == "json") {
    auto formatter = std::make_unique<spdlog::pattern_formatter>();
    formatter->add_flag<EscapedMessage>('J').set_pattern(
        R"({"time":"%Y-%m-%dT%H:%M:%S.%e%z","level":"%l","message":"%J"})");
    logger->set_formatter(std::move(formatter));
  } else {
    logger->set_pattern("%Y-%m-%d %H:%M:%S.%e %^%l%$ %v");
  }
  logger->set_level(spdlog::level::from_str(config.level));
  logger->flush_on(spdlog::level::info);
}

}  // namespace tollgate::gateway
