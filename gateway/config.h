// The whole configuration as one plain record with the built-in defaults, and its reading from YAML and --set.
// It holds no behaviour: each part takes the section it needs by value.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/fault.h"

namespace tollgate::gateway {

struct LimitsConfig {
  std::int64_t head_bytes_max = 32 * 1024;               // request or response head; 1 KiB to 1 MiB. Beyond: 431
  std::int64_t head_fields_max = 100;                    // 1 to 1000. Beyond: 431
  std::int64_t target_bytes_max = 8 * 1024;              // request target; 64 to head_bytes_max. Beyond: 414
  std::int64_t body_bytes_max = 256 * 1024 * 1024;       // request body; 0 to 1 TiB. Beyond: 413
  std::int64_t connections_max = 50'000;                 // client connections of the process; 1 to 1,000,000
  std::int64_t requests_per_connection_max = 1'000'000;  // then the connection is closed; 1 to 2^31
  std::int64_t connections_per_address_max = 0;          // an IPv6 /64 is one address; 0: no limit
  std::int64_t key_failures_per_address_max = 100;       // invalid keys a minute; 0: no limit. Beyond: 429
  std::int64_t overload_lag_ms = 100;                    // lag of an event loop that sheds free calls; 0: never
  std::int64_t buffer_bytes_max = 1024 * 1024 * 1024;    // held by all calls; 0: no limit. Beyond: 503
};

struct TlsConfig {                        // of clients; all of it is read again at a reload, but `listen`
  std::string listen;                     // IP address and port; empty: no TLS
  std::vector<std::string> certificates;  // PEM files: certificate and chain; by a client's server name, else the first
  std::vector<std::string> private_keys;  // PEM files, one for each certificate in its order
  std::string min_version = "1.2";        // 1.2 | 1.3
  std::string client_certificates = "none";  // none | optional | required
  std::string client_ca_file;                // PEM file of those who sign clients' certificates
};

struct TimeoutsConfig {                           // milliseconds; 1 to 86,400,000
  std::int64_t head_ms = 10'000;                  // from a request's first byte to the end of its head
  std::int64_t idle_ms = 75'000;                  // keep-alive: between an answer and the next request
  std::int64_t body_ms = 30'000;                  // longest silence inside a request body
  std::int64_t write_ms = 30'000;                 // longest time a client may take no byte of its answer
  std::int64_t body_rate_min_bytes_per_s = 100;   // of a client that we wait for; 0: any
  std::int64_t write_rate_min_bytes_per_s = 100;  // the same of one that we wait for to take its answer
  std::int64_t rate_grace_ms = 60'000;            // so long it may be slower; 1 to 86,400,000
  std::int64_t upstream_connect_ms = 3'000;
  std::int64_t upstream_ms = 60'000;  // a service's timeout_ms where it names none: longest silence of an upstream
  std::int64_t drain_ms = 30'000;     // after SIGTERM: for what is in flight
};

struct UpstreamsConfig {
  std::int64_t idle_connections_max = 1024;  // per upstream and worker thread; 0 to 10,000
  std::int64_t idle_ms = 50'000;             // an idle upstream connection is closed after this
  std::int64_t eject_after_failures = 3;     // consecutive; 1 to 1000
  std::int64_t eject_ms = 1'000;             // first ejection; doubled each time up to eject_ms_max
  std::int64_t eject_ms_max = 30'000;
};

struct JournalConfig {
  std::int64_t slots = 1 << 20;            // 64 bytes each, pre-allocated; 1024 to 2^28
  std::int64_t slots_max = 16 << 20;       // up to which it grows, by `slots` at a time; 1024 to 2^28
  std::int64_t sync_interval_ms = 100;     // the most a power cut can take; 1 to 60,000
  std::int64_t collect_interval_ms = 200;  // between reports to the billing core; 1 to 60,000
  // While the journal cannot be written to the disk:
  std::int64_t unsynced_ms_max = 30'000;       // a sync that takes longer counts as failed; 1,000 to 3,600,000
  std::int64_t unsynced_points_max = 100'000;  // of pay-as-you-go calls; 0: these are refused too
};

struct BillingConfig {
  std::string clock = "system";              // system | manual (tests only: POST /v1/clock moves it)
  std::string catalog;                       // path of a catalogue file; empty: the built-in one
  std::vector<std::string> plans;            // paths of plan files; empty: the built-in ones
  std::string webhook_url;                   // where notifications are sent; empty: they are only logged
  std::string webhook_secret_file;           // signs them; empty: data_dir/webhook-secret
  bool webhook_allow_private = false;        // also to addresses that are not of the public Internet
  std::int64_t webhook_timeout_ms = 10'000;  // one attempt; 1 to 600,000
};

struct LogConfig {
  std::string level = "info";                          // debug | info | warn | error
  std::string format = "json";                         // json | text
  std::string access_log;                              // path, "-" for standard output, empty for none
  std::int64_t access_log_queue_bytes = 1 << 20;       // per worker thread; lines beyond it are dropped and counted
  std::int64_t access_log_refusals_per_s_max = 1'000;  // per worker thread; 0: all are written
};

struct Config {
  std::string listen = "127.0.0.1:8080";
  std::string admin_listen = "127.0.0.1:9901";
  std::string admin_token_file;               // empty: data_dir/admin-token; TOLLGATE_ADMIN_TOKEN wins over both
  std::string admin_billing_read_token_file;  // empty: none; TOLLGATE_BILLING_READ_TOKEN wins over it
  std::string data_dir = "tollgate-data";
  std::string user;              // started as root, becomes this user; empty: stays who it is
  bool core_dumps = false;       // may dump core, and be looked into by its own user's debuggers
  std::string gateway = "gw-1";  // this gateway's name in usage reports; an id as in api.md
  std::int64_t workers = 0;      // event loops of the data path; 0: one per core; at most 256
  bool trust_forwarded = false;  // extend a client's X-Forwarded-* (true) or replace them (false)
  TlsConfig tls;
  LimitsConfig limits;
  TimeoutsConfig timeouts;
  UpstreamsConfig upstreams;
  JournalConfig journal;
  BillingConfig billing;
  LogConfig log;
};

// One fault of a configuration file: `where` is "file:line", or "--set" for a flag.
struct ConfigFault {
  std::string where;
  std::string message;  // names the key, what is wrong and what is allowed
};

// Where a configuration came from, so that it can be read again (SIGHUP).
struct ConfigSource {
  std::string path;                                       // empty: no file
  std::vector<std::pair<std::string, std::string>> sets;  // --set and the flags, applied on top
};

struct LoadedConfig {
  Config config;
  std::map<std::string, std::string, std::less<>> places;  // "file:line" of each key that the file has
  std::vector<ConfigFault> faults;                         // empty: the configuration is good
};

// Reads `path` (empty: only the defaults), then applies `sets` ("timeouts.idle_ms=5000" as {key, value}) on top.
// Every fault is reported, not the first: unknown and duplicate keys, wrong types, values out of range.
// YAML keys are the field names: top-level fields, and limits:, timeouts:, upstreams:, journal:, billing:, log:;
// `admin.listen` and `admin.token_file` are spelled admin_listen and admin_token_file.
LoadedConfig load_config(const std::string& path, const std::vector<std::pair<std::string, std::string>>& sets);

}  // namespace tollgate::gateway
