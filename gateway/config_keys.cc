#include "gateway/config_keys.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>

#include "base/ids.h"
#include "gateway/listen_address.h"
#include "gateway/service_definition.h"
#include "gateway/webhook_target.h"

namespace tollgate::gateway {
namespace {

// The accessor of a member, or of a member of a section: at<&Config::limits, &LimitsConfig::body_bytes_max>.
template <auto First, auto... Rest>
auto& at(Config& config) {
  if constexpr (sizeof...(Rest) == 0) {
    return config.*First;
  } else {
    return config.*First.*(Rest, ...);
  }
}

template <auto... Path>
WholeNumber whole(std::int64_t min, std::int64_t max) {
  return {&at<Path...>, min, max};
}
template <auto... Path>
YesOrNo yes_or_no() {
  return {&at<Path...>};
}
template <auto... Path>
Text text(TextForm form = TextForm::any, std::vector<std::string_view> choices = {}) {
  return {&at<Path...>, form, std::move(choices)};
}
template <auto... Path>
TextList list() {
  return {&at<Path...>};
}

constexpr std::int64_t kKiB = 1024;
constexpr std::int64_t kMiB = 1024 * kKiB;
constexpr std::int64_t kTiB = kMiB * kMiB;
constexpr std::int64_t kDayMs = 86'400'000;

template <auto Member>
WholeNumber timeout() {
  return whole<&Config::timeouts, Member>(1, kDayMs);
}

using C = Config;
using S = TlsConfig;
using L = LimitsConfig;
using T = TimeoutsConfig;
using U = UpstreamsConfig;
using J = JournalConfig;
using B = BillingConfig;
using G = LogConfig;

const std::vector<ConfigKey> kKeys = {
    {"listen", text<&C::listen>(TextForm::listen_address), "Where clients call: IP address and port."},
    {"admin_listen", text<&C::admin_listen>(TextForm::listen_address),
     "Where the admin API, /metrics and the probes are. Not for the open network."},
    {"admin_token_file", text<&C::admin_token_file>(),
     "File with the admin token. Empty: data_dir/admin-token, made at the first start. TOLLGATE_ADMIN_TOKEN wins over "
     "both."},
    {"admin_billing_read_token_file", text<&C::admin_billing_read_token_file>(),
     "File with a token that may read everything under /v1 and change nothing. Empty: none. "
     "TOLLGATE_BILLING_READ_TOKEN "
     "wins over it."},
    {"data_dir", text<&C::data_dir>(TextForm::not_empty),
     "Folder of the database, the usage journal and the admin token."},
    {"user", text<&C::user>(), "Started as root, become this user once ports below 1024 are bound. Empty: stay."},
    {"core_dumps", yes_or_no<&C::core_dumps>(),
     "true: core dumps and debuggers of the same user are allowed. Keys and tokens are in the memory."},
    {"gateway", text<&C::gateway>(TextForm::id), "This gateway's name in usage reports."},
    {"workers", whole<&C::workers>(0, 256), "Event loops of the data path. 0: one per core."},
    {"trust_forwarded", yes_or_no<&C::trust_forwarded>(),
     "true: extend a client's X-Forwarded-* (behind a proxy of yours). false: replace them."},

    {"tls.listen", text<&C::tls, &S::listen>(TextForm::listen_address_or_none),
     "Where clients call through TLS: IP address and port. Empty: nowhere."},
    {"tls.certificates", list<&C::tls, &S::certificates>(),
     "PEM files, each a certificate and its chain. A client gets that of the name it asks for, else the first."},
    {"tls.private_keys", list<&C::tls, &S::private_keys>(),
     "PEM files: the private key of each certificate, in the same order. Not for others to read."},
    {"tls.min_version", text<&C::tls, &S::min_version>(TextForm::choice, {"1.2", "1.3"}), "1.2 or 1.3."},
    {"tls.client_certificates",
     text<&C::tls, &S::client_certificates>(TextForm::choice, {"none", "optional", "required"}),
     "Whether clients are asked for certificates: none, optional (one that is shown must be good) or required."},
    {"tls.client_ca_file", text<&C::tls, &S::client_ca_file>(),
     "PEM file with the certificates of those who sign clients' certificates."},

    {"limits.head_bytes_max", whole<&C::limits, &L::head_bytes_max>(kKiB, kMiB),
     "Bytes of a request's or response's head. Beyond: 431."},
    {"limits.head_fields_max", whole<&C::limits, &L::head_fields_max>(1, 1000), "Fields of a head. Beyond: 431."},
    {"limits.target_bytes_max", whole<&C::limits, &L::target_bytes_max>(64, kMiB),
     "Bytes of a request's target, at most head_bytes_max. Beyond: 414."},
    {"limits.body_bytes_max", whole<&C::limits, &L::body_bytes_max>(0, kTiB),
     "Bytes of a request's body. Beyond: 413."},
    {"limits.connections_max", whole<&C::limits, &L::connections_max>(1, 1'000'000),
     "Client connections of the process."},
    {"limits.requests_per_connection_max", whole<&C::limits, &L::requests_per_connection_max>(1, 2'147'483'648),
     "Requests on one client connection, which is then closed."},
    {"limits.connections_per_address_max", whole<&C::limits, &L::connections_per_address_max>(0, 1'000'000),
     "Client connections of one address (an IPv6 /64 is one); more are closed as they come. 0: no limit, as behind a "
     "proxy of yours."},
    {"limits.key_failures_per_address_max", whole<&C::limits, &L::key_failures_per_address_max>(0, 65'534),
     "Invalid keys from one address in a minute; more get 429 and a close. A valid key always works. 0: no limit."},
    {"limits.overload_lag_ms", whole<&C::limits, &L::overload_lag_ms>(0, 60'000),
     "A worker whose event loop is later than this refuses free calls, and paid ones at four times it; from a "
     "twentieth "
     "of it on, who was refused is read again after a pause. 0: never."},
    {"limits.buffer_bytes_max", whole<&C::limits, &L::buffer_bytes_max>(0, kTiB),
     "Memory of all calls' buffers together. Beyond it new calls get 503, free ones from three quarters on. 0: no "
     "limit."},

    {"timeouts.head_ms", timeout<&T::head_ms>(), "From a request's first byte to the end of its head."},
    {"timeouts.idle_ms", timeout<&T::idle_ms>(), "Between an answer and the next request on a kept connection."},
    {"timeouts.body_ms", timeout<&T::body_ms>(), "The longest silence inside a request's body."},
    {"timeouts.write_ms", timeout<&T::write_ms>(), "The longest time a client may take no byte of its answer."},
    {"timeouts.body_rate_min_bytes_per_s", whole<&C::timeouts, &T::body_rate_min_bytes_per_s>(0, kMiB),
     "Least pace of a request's body while we wait for it. Below for rate_grace_ms: 408. 0: any."},
    {"timeouts.write_rate_min_bytes_per_s", whole<&C::timeouts, &T::write_rate_min_bytes_per_s>(0, kMiB),
     "Least pace at which a client takes its answer while we wait for it. Below for rate_grace_ms: closed. 0: any."},
    {"timeouts.rate_grace_ms", timeout<&T::rate_grace_ms>(), "How long a client may be slower than these paces."},
    {"timeouts.upstream_connect_ms", timeout<&T::upstream_connect_ms>(), "For connecting to an upstream."},
    {"timeouts.upstream_ms", timeout<&T::upstream_ms>(),
     "The longest silence of an upstream, where its service names no timeout_ms."},
    {"timeouts.drain_ms", timeout<&T::drain_ms>(), "For what is in flight after SIGTERM."},

    {"upstreams.idle_connections_max", whole<&C::upstreams, &U::idle_connections_max>(0, 10'000),
     "Idle connections kept per upstream and worker."},
    {"upstreams.idle_ms", whole<&C::upstreams, &U::idle_ms>(1, kDayMs),
     "An idle upstream connection is closed after this. Keep it below the upstream's own."},
    {"upstreams.eject_after_failures", whole<&C::upstreams, &U::eject_after_failures>(1, 1000),
     "Consecutive failures after which an upstream gets no calls for a while."},
    {"upstreams.eject_ms", whole<&C::upstreams, &U::eject_ms>(1, kDayMs),
     "How long the first time; doubled each time after, up to eject_ms_max."},
    {"upstreams.eject_ms_max", whole<&C::upstreams, &U::eject_ms_max>(1, kDayMs), "The most of it, at least eject_ms."},

    {"journal.slots", whole<&C::journal, &J::slots>(1024, 268'435'456),
     "Slots (64 bytes) of the usage journal: one per worker, subscription and hour not yet acknowledged."},
    {"journal.slots_max", whole<&C::journal, &J::slots_max>(1024, 268'435'456),
     "Up to which the journal grows, by journal.slots at a time, when fewer than a quarter of that are free."},
    {"journal.sync_interval_ms", whole<&C::journal, &J::sync_interval_ms>(1, 60'000),
     "Between syncs to the disk: the most that a power cut can take. A crash of the process takes nothing."},
    {"journal.collect_interval_ms", whole<&C::journal, &J::collect_interval_ms>(1, 60'000),
     "Between reports of usage to the billing core; where a report takes long, nine times that, up to 5 s."},
    {"journal.unsynced_ms_max", whole<&C::journal, &J::unsynced_ms_max>(1'000, 3'600'000),
     "A sync that takes longer counts as failed: free and prepaid calls are refused until the disk answers."},
    {"journal.unsynced_points_max", whole<&C::journal, &J::unsynced_points_max>(0, 1'000'000'000'000),
     "Points of pay-as-you-go calls let in while the journal cannot be synced: what a power cut could take of them."},

    {"billing.clock", text<&C::billing, &B::clock>(TextForm::choice, {"system", "manual"}),
     "system, or manual for tests: then POST /v1/clock moves the time."},
    {"billing.catalog", text<&C::billing, &B::catalog>(),
     "A catalogue file. Empty: the built-in one (conf/catalog.yaml)."},
    {"billing.plans", list<&C::billing, &B::plans>(),
     "Plan files, that of new subscriptions first. Empty: the built-in ones (conf/plans/)."},
    {"billing.webhook_url", text<&C::billing, &B::webhook_url>(TextForm::webhook_url),
     "Where reminders and notices are posted, http:// or https://. Empty: they are only written to the log."},
    {"billing.webhook_secret_file", text<&C::billing, &B::webhook_secret_file>(),
     "File with the secret that signs them. Empty: data_dir/webhook-secret, made when it is first needed."},
    {"billing.webhook_allow_private", yes_or_no<&C::billing, &B::webhook_allow_private>(),
     "true: the URL may lead to loopback, private and link-local addresses too."},
    {"billing.webhook_timeout_ms", whole<&C::billing, &B::webhook_timeout_ms>(1, 600'000),
     "For one attempt, from connecting to the answer's head."},

    {"log.level", text<&C::log, &G::level>(TextForm::choice, {"debug", "info", "warn", "error"}),
     "debug, info, warn or error."},
    {"log.format", text<&C::log, &G::format>(TextForm::choice, {"json", "text"}), "json or text."},
    {"log.access_log", text<&C::log, &G::access_log>(), "File of the access log. \"-\": standard output. Empty: none."},
    {"log.access_log_queue_bytes", whole<&C::log, &G::access_log_queue_bytes>(4 * kKiB, 1024 * kMiB),
     "Lines waiting to be written, per worker. Lines beyond it are dropped and counted."},
    {"log.access_log_refusals_per_s_max", whole<&C::log, &G::access_log_refusals_per_s_max>(0, 1'000'000),
     "Lines of calls that were refused, per worker and second. Lines beyond it are left out and counted. 0: all."},
};

std::optional<std::string> set_whole(Config& config, const WholeNumber& kind, const std::string& text) {
  std::int64_t number = 0;
  const char* end = text.data() + text.size();
  const auto [position, error] = std::from_chars(text.data(), end, number);
  if (error == std::errc() && position == end && number >= kind.min && number <= kind.max) {
    kind.member(config) = number;
    return std::nullopt;
  }
  return fmt::format("must be an integer from {} to {}, not '{}'", kind.min, kind.max, text);
}

std::optional<std::string> wrong_with_text(const Text& kind, const std::string& text) {
  const auto has_control_character = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
  if (std::any_of(text.begin(), text.end(), has_control_character)) return "must not contain control characters";
  switch (kind.form) {
    case TextForm::any: return std::nullopt;
    case TextForm::not_empty:
      if (!text.empty()) return std::nullopt;
      return "must not be empty";
    case TextForm::choice:
      if (std::find(kind.choices.begin(), kind.choices.end(), text) != kind.choices.end()) return std::nullopt;
      return fmt::format("must be one of: {}, not '{}'", fmt::join(kind.choices, ", "), text);
    case TextForm::listen_address_or_none:
      if (text.empty()) return std::nullopt;
      [[fallthrough]];
    case TextForm::listen_address:
      if (parse_listen_address(text)) return std::nullopt;
      return fmt::format("must be an IP address and a port, like 0.0.0.0:8080 or [::]:8080, not '{}'", text);
    case TextForm::id:
      if (is_valid_id(text)) return std::nullopt;
      return fmt::format("must be 1 to 63 of a-z, 0-9 and '-', and begin with no '-', not '{}'", text);
    case TextForm::webhook_url: {
      if (text.empty()) return std::nullopt;
      const auto target = parse_webhook_url(text);
      if (target.has_error()) return target.error().message;
      return std::nullopt;
    }
  }
  return std::nullopt;
}
}  // namespace

std::span<const ConfigKey> config_keys() { return kKeys; }

const ConfigKey* find_config_key(std::string_view name) {
  const auto found = std::find_if(kKeys.begin(), kKeys.end(), [&](const ConfigKey& key) { return key.name == name; });
  return found == kKeys.end() ? nullptr : &*found;
}

std::optional<std::string> set_config_value(Config& config, const ConfigKey& key, const std::string& text) {
  if (const auto* number = std::get_if<WholeNumber>(&key.kind)) return set_whole(config, *number, text);
  if (const auto* flag = std::get_if<YesOrNo>(&key.kind)) {
    if (text != "true" && text != "false") return fmt::format("must be true or false, not '{}'", text);
    flag->member(config) = text == "true";
    return std::nullopt;
  }
  if (const auto* kind = std::get_if<Text>(&key.kind)) {
    if (auto wrong = wrong_with_text(*kind, text)) return wrong;
    kind->member(config) = text;
    return std::nullopt;
  }
  std::vector<std::string> items;  // a list on a flag: parted by commas
  for (std::size_t begin = 0; begin < text.size();) {
    const auto end = std::min(text.find(',', begin), text.size());
    items.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return set_config_list(config, key, std::move(items));
}

std::optional<std::string> set_config_list(Config& config, const ConfigKey& key, std::vector<std::string> items) {
  const auto* kind = std::get_if<TextList>(&key.kind);
  if (kind == nullptr) return "must be one value, not a list";
  if (std::find(items.begin(), items.end(), "") != items.end()) return "must not have empty items";
  kind->member(config) = std::move(items);
  return std::nullopt;
}

namespace {
// Plain where YAML cannot take it for anything else, in quotes otherwise.
std::string yaml_text(const std::string& text) {
  const auto is_plain_char = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("._/:-").find(c) != std::string_view::npos;
  };
  const bool is_plain = !text.empty() && std::all_of(text.begin(), text.end(), is_plain_char) && text[0] != '-' &&
                        text[0] != ':' && text.back() != ':' && text != "---" && text != "..." && text != "null" &&
                        text != "Null" && text != "NULL";
  if (is_plain) return text;
  std::string quoted = "\"";
  for (char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      quoted += {'\\', c};
    } else if (byte < 0x20 || byte == 0x7f) {
      quoted += fmt::format("\\x{:02x}", byte);
    } else {
      quoted += c;
    }
  }
  return quoted + '"';
}
}  // namespace

std::string config_value(const Config& config, const ConfigKey& key) {
  Config copy = config;  // the accessors give a member to write to
  if (const auto* number = std::get_if<WholeNumber>(&key.kind)) return std::to_string(number->member(copy));
  if (const auto* flag = std::get_if<YesOrNo>(&key.kind)) return flag->member(copy) ? "true" : "false";
  if (const auto* list = std::get_if<TextList>(&key.kind)) {
    std::vector<std::string> items;
    for (const auto& item : list->member(copy)) items.push_back(yaml_text(item));
    return fmt::format("[{}]", fmt::join(items, ", "));
  }
  return yaml_text(std::get<Text>(key.kind).member(copy));
}

std::vector<std::pair<std::string_view, std::string>> config_conflicts(const Config& config) {
  std::vector<std::pair<std::string_view, std::string>> conflicts;
  if (config.limits.target_bytes_max > config.limits.head_bytes_max) {
    conflicts.emplace_back("limits.target_bytes_max", "must be at most limits.head_bytes_max");
  }
  const auto& tls = config.tls;
  if (!tls.listen.empty() && tls.private_keys.size() != tls.certificates.size()) {
    conflicts.emplace_back("tls.private_keys", "must name one key for each of tls.certificates");
  }
  if (!tls.listen.empty() && tls.client_certificates != "none" && tls.client_ca_file.empty()) {
    conflicts.emplace_back("tls.client_ca_file", "must be set when tls.client_certificates is not none");
  }
  if (config.upstreams.eject_ms_max < config.upstreams.eject_ms) {
    conflicts.emplace_back("upstreams.eject_ms_max", "must be at least upstreams.eject_ms");
  }
  return conflicts;
}

std::string default_config_file() {
  const Config defaults;
  std::string file =
      "# The configuration of tollgate: every key with its default. A file needs only the keys that differ.\n"
      "# `tollgate check --config FILE` names every fault; `tollgate serve --set limits.connections_max=1000` wins "
      "over\n"
      "# the file; SIGHUP reads it again.\n\n";
  std::string_view section;
  for (const auto& key : kKeys) {
    const auto dot = key.name.find('.');
    const auto in = dot == std::string_view::npos ? std::string_view() : key.name.substr(0, dot);
    const auto name = dot == std::string_view::npos ? key.name : key.name.substr(dot + 1);
    if (in != section) file += fmt::format("\n{}:\n", in);
    section = in;
    const std::string_view indent = in.empty() ? "" : "  ";
    std::string range;
    if (const auto* number = std::get_if<WholeNumber>(&key.kind))
      range = fmt::format(" {} to {}.", number->min, number->max);
    file += fmt::format("{}# {}{}\n{}{}: {}\n", indent, key.help, range, indent, name, config_value(defaults, key));
  }
  return file;
}

}  // namespace tollgate::gateway
