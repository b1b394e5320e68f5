// POST /v1/usage over the real core: a report is taken whole or not at all, the same again changes nothing, and the
// audit holds.
#include <stdlib.h>

#include <filesystem>
#include <string>

#include "billing/core.h"
#include "billing/store.h"
#include "gateway/admin_handlers.h"
#include "gateway/json_reader.h"
#include "tests/fuzz/fuzz.h"

namespace {
using namespace tollgate;

class NoSink final : public billing::EntitlementSink {
 public:
  void service_changed(const billing::ServiceRecord&) override {}
  void service_removed(std::string_view) override {}
  void key_added(const billing::KeyRecord&) override {}
  void key_revoked(const Sha256&) override {}
  void subscription_changed(const billing::SubscriptionRecord&) override {}
  void free_points_used_elsewhere(std::uint32_t, Points points) override { FUZZ_CHECK(points.count() > 0); }
};

class NoTraffic final : public gateway::Traffic {
 public:
  std::int32_t in_flight(std::uint32_t) override { return 0; }
  void flush_usage() override {}
  std::string metrics() override { return {}; }
  std::string not_ready_because() override { return {}; }
};

// A core over a store; the clock stands in the second hour of a day.
struct Books {
  explicit Books(const std::string& folder) : store(*billing::open_sqlite_store(folder)) {}
  ManualClock clock{*parse_time("2021-10-11T01:30:00+08:00")};
  NoSink sink;
  std::unique_ptr<billing::Store> store;
  billing::Core core{*store, billing::Catalog::built_in(), billing::built_in_plans(), clock, sink};
};

// A store with two subscriptions and an epoch, made once and copied for each input, so that an input stands for itself.
class Template {
 public:
  Template() {
    const bool in_memory = std::filesystem::is_directory("/dev/shm");
    std::string pattern = (in_memory ? std::filesystem::path("/dev/shm") : std::filesystem::temp_directory_path()) /
                          "tollgate-fuzz-XXXXXX";
    FUZZ_CHECK(::mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
    std::filesystem::create_directory(path_ / "made");
    Books books(path_ / "made");
    const std::string model = books.core.catalog().models().front().name;
    FUZZ_CHECK(books.core.put_account("a", "A").has_value());
    for (const char* service : {"s", "t"}) {
      FUZZ_CHECK(books.core.put_service(service, model, "{}").has_value());
      FUZZ_CHECK(books.core.put_subscription("a", service, service[0] == 's', std::nullopt).has_value());
    }
    FUZZ_CHECK(books.core.open_epoch("g") == 1);
  }
  ~Template() { std::filesystem::remove_all(path_); }
  Template(const Template&) = delete;
  Template& operator=(const Template&) = delete;
  [[nodiscard]] std::string copy() const {
    std::filesystem::remove_all(path_ / "used");
    std::filesystem::copy(path_ / "made", path_ / "used", std::filesystem::copy_options::recursive);
    return path_ / "used";
  }

 private:
  std::filesystem::path path_;
};

// What the books say: every invariant with its sums.
std::string audit(billing::Core& core) {
  std::string sums;
  for (const auto& invariant : core.audit()) {
    if (!invariant.ok) std::fprintf(stderr, "%s\n", invariant.name.c_str());
    FUZZ_CHECK(invariant.ok);
    sums += invariant.name + std::to_string(invariant.left) + std::to_string(invariant.right);
  }
  return sums;
}
}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Template made;
  const auto body = gateway::parse_json({reinterpret_cast<const char*>(data), size});
  // A store costs a thousand times as much as the rest: only for what looks like a report.
  if (body.has_error() || !body->is_object() || !body->get_object().contains("totals")) return 0;
  Books books(made.copy());
  NoTraffic traffic;
  gateway::AdminContext context{books.core, traffic, books.clock, nullptr, {}, {}, {}};
  gateway::AdminRequest request;
  request.body = *body;
  const std::string before = audit(books.core);
  const auto answer = gateway::handlers::report_usage(context, request);
  FUZZ_CHECK(answer.status == 204 || (answer.status >= 400 && answer.status < 500));
  const std::string after = audit(books.core);
  if (answer.status != 204) FUZZ_CHECK(after == before);
  FUZZ_CHECK(gateway::handlers::report_usage(context, request).status == answer.status);
  FUZZ_CHECK(audit(books.core) == after);
  return 0;
}
