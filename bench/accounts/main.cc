// store_of_accounts: a store with a service (or some) and very many paying accounts with a key each, through the core's
// own calls: by the admin API each would be a commit of its own. A gateway that is started on the folder serves them.
// The keys go to standard output, one a line, in the order of the accounts.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "base/clock.h"
#include "bench/core_tools.h"
#include "billing/core.h"
#include "billing/store.h"

namespace tollgate::billing {
namespace {

constexpr int kAccountsACommit = 2'000;

// The first is `service` itself; all others have its name with a number behind it.
std::string name_of(const std::string& service, int number) {
  return number == 0 ? service : service + "-" + std::to_string(number);
}

void fill(const std::string& data_dir, int accounts, const std::string& service, const std::string& upstream,
          int services) {
  const SystemClock clock;
  NobodyListens sink;
  const auto store = must(open_sqlite_store(data_dir));
  Core core(*store, Catalog::built_in(), built_in_plans(), clock, sink);
  const std::string model = "image-classification/high-performance";
  for (int i = 0; i < services; ++i) {
    const std::string name = name_of(service, i);
    must(core.put_service(name, model,
                          R"({"model":")" + model + R"(","upstreams":[")" + upstream +
                              R"("],"route":{"path_prefix":"/)" + name + R"("}})"));
  }
  for (int first = 0; first < accounts; first += kAccountsACommit) {
    must(store->transaction([&]() -> Result<void> {
      for (int i = first; i < std::min(accounts, first + kAccountsACommit); ++i) {
        const std::string account = "account-" + std::to_string(i);
        must(core.put_account(account, "Account"));
        must(core.deposit(account, *parse_yuan("100000"), DepositKind::cash, {}));
        for (int each = 0; each < services; ++each) {
          must(core.put_subscription(account, name_of(service, each), true, {}));
        }
        std::printf("%s\n", must(core.create_key(account, "bench", {})).secret.c_str());
      }
      return {};
    }));
  }
}

}  // namespace
}  // namespace tollgate::billing

int main(int argc, char** argv) {
  if (argc != 5 && argc != 6) {
    std::fputs("usage: store_of_accounts DATA_DIR ACCOUNTS SERVICE UPSTREAM [SERVICES, each subscribed by all]\n",
               stderr);
    return 2;
  }
  try {
    if (std::filesystem::exists(argv[1])) throw std::runtime_error("the folder is there already");
    tollgate::billing::fill(argv[1], tollgate::billing::number_of(argv[2]), argv[3], argv[4],
                            argc == 6 ? tollgate::billing::number_of(argv[5]) : 1);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "store_of_accounts: %s\n", error.what());
    return 1;
  }
  return 0;
}
