// store_of_accounts: a store with one service and very many paying accounts, a key each, through the core's own calls:
// by the admin API each would be a commit of its own. A gateway that is started on the folder serves them.
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

void fill(const std::string& data_dir, int accounts, const std::string& service, const std::string& upstream) {
  const SystemClock clock;
  NobodyListens sink;
  const auto store = must(open_sqlite_store(data_dir));
  Core core(*store, Catalog::built_in(), built_in_plans(), clock, sink);
  const std::string model = "image-classification/high-performance";
  must(core.put_service(service, model,
                        R"({"model":")" + model + R"(","upstreams":[")" + upstream + R"("],"route":{"path_prefix":"/)" +
                            service + R"("}})"));
  for (int first = 0; first < accounts; first += kAccountsACommit) {
    must(store->transaction([&]() -> Result<void> {
      for (int i = first; i < std::min(accounts, first + kAccountsACommit); ++i) {
        const std::string account = "account-" + std::to_string(i);
        must(core.put_account(account, "Account"));
        must(core.deposit(account, *parse_yuan("100000"), DepositKind::cash, {}));
        must(core.put_subscription(account, service, true, {}));
        std::printf("%s\n", must(core.create_key(account, "bench", {})).secret.c_str());
      }
      return {};
    }));
  }
}

}  // namespace
}  // namespace tollgate::billing

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fputs("usage: store_of_accounts DATA_DIR ACCOUNTS SERVICE UPSTREAM\n", stderr);
    return 2;
  }
  try {
    if (std::filesystem::exists(argv[1])) throw std::runtime_error("the folder is there already");
    tollgate::billing::fill(argv[1], tollgate::billing::number_of(argv[2]), argv[3], argv[4]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "store_of_accounts: %s\n", error.what());
    return 1;
  }
  return 0;
}
