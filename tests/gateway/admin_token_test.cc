#include "gateway/admin_token.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "base/ids.h"

namespace tollgate::gateway {
namespace {

class AdminTokenTest : public testing::Test {
 protected:
  void SetUp() override {
    ::unsetenv("TOLLGATE_ADMIN_TOKEN");
    config_.data_dir = (std::filesystem::temp_directory_path() / random_id("admin-token") / "data").string();
  }
  void TearDown() override {
    ::unsetenv("TOLLGATE_ADMIN_TOKEN");
    std::filesystem::remove_all(std::filesystem::path(config_.data_dir).parent_path());
  }
  std::string write(const std::string& text, mode_t mode) {
    std::filesystem::create_directories(config_.data_dir);
    const auto path = config_.data_dir + "/given";
    std::ofstream(path) << text;
    ::chmod(path.c_str(), mode);
    config_.admin_token_file = path;
    return path;
  }
  static mode_t mode_of(const std::string& path) {
    struct stat status {};
    EXPECT_EQ(::stat(path.c_str(), &status), 0) << path;
    return status.st_mode & 0777;
  }

  Config config_;
};

TEST_F(AdminTokenTest, OneIsMadeOnceForTheOwnerAlone) {
  const auto made = load_admin_token(config_).value();
  EXPECT_TRUE(made.generated);
  EXPECT_EQ(made.token.size(), 64U);
  EXPECT_EQ(mode_of(made.source), 0600U);
  EXPECT_EQ(mode_of(config_.data_dir), 0700U);
  const auto again = load_admin_token(config_).value();
  EXPECT_EQ(again.token, made.token);
  EXPECT_FALSE(again.generated);
}

TEST_F(AdminTokenTest, TheEnvironmentWinsAndAnEmptyOneIsNone) {
  write("from-the-file\n", 0600);
  EXPECT_EQ(load_admin_token(config_)->token, "from-the-file");
  ::setenv("TOLLGATE_ADMIN_TOKEN", "", 1);
  EXPECT_EQ(load_admin_token(config_)->token, "from-the-file");
  ::setenv("TOLLGATE_ADMIN_TOKEN", "from-the-environment", 1);
  EXPECT_EQ(load_admin_token(config_)->token, "from-the-environment");
  ::setenv("TOLLGATE_ADMIN_TOKEN", "two words", 1);
  EXPECT_TRUE(load_admin_token(config_).has_error());
}

TEST_F(AdminTokenTest, AFileThatOthersCanReadIsRefused) {
  for (const mode_t mode : {0644U, 0604U, 0660U, 0606U}) {
    write("token", mode);
    EXPECT_TRUE(load_admin_token(config_).has_error()) << std::oct << mode;
  }
  write("token", 0640);
  EXPECT_TRUE(load_admin_token(config_).has_value()) << "a secret mounted for a group";
  for (const auto& text :
       {std::string(), std::string("\n"), std::string("a b\n"), std::string("a\nb\n"), std::string(513, 'a')}) {
    write(text, 0600);
    EXPECT_TRUE(load_admin_token(config_).has_error()) << text;
  }
  config_.admin_token_file = "/nowhere";
  EXPECT_TRUE(load_admin_token(config_).has_error());
}

TEST_F(AdminTokenTest, ThereIsNoBillingReadTokenUnlessOneIsGiven) {
  ::unsetenv("TOLLGATE_BILLING_READ_TOKEN");
  EXPECT_EQ(load_billing_read_token(config_, "admin").value(), "");
  config_.admin_billing_read_token_file = write("reader\n", 0600);
  EXPECT_EQ(load_billing_read_token(config_, "admin").value(), "reader");
  EXPECT_TRUE(load_billing_read_token(config_, "reader").has_error()) << "the admin token would read only";
  ::setenv("TOLLGATE_BILLING_READ_TOKEN", "from-the-environment", 1);
  EXPECT_EQ(load_billing_read_token(config_, "admin").value(), "from-the-environment");
  ::setenv("TOLLGATE_BILLING_READ_TOKEN", "two words", 1);
  EXPECT_TRUE(load_billing_read_token(config_, "admin").has_error());
  ::unsetenv("TOLLGATE_BILLING_READ_TOKEN");
  write("reader\n", 0644);
  EXPECT_TRUE(load_billing_read_token(config_, "admin").has_error());
  config_.admin_billing_read_token_file = "/nowhere";
  EXPECT_TRUE(load_billing_read_token(config_, "admin").has_error());
}

}  // namespace
}  // namespace tollgate::gateway
