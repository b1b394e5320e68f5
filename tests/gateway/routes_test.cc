#include "gateway/routes.h"

#include <gtest/gtest.h>

#include <deque>
#include <set>
#include <string>

namespace tollgate::gateway {
namespace {

class RoutesTest : public testing::Test {
 protected:
  void put(const std::string& id, const std::string& prefix, std::optional<std::string> host = {}) {
    ServiceDefinition definition;
    definition.model = "m";
    definition.upstreams = {{"127.0.0.1", 1}};
    definition.path_prefix = prefix;
    definition.host = std::move(host);
    auto config = std::make_shared<const ServiceConfig>(id, definition, limits_);
    routes_.put(WorkerServicePtr(new WorkerService(std::move(config), cells_)));
  }
  std::string find(std::string_view path, std::string_view host = "any.example") const {
    const WorkerService* found = routes_.find(host, path);
    return found == nullptr ? "" : found->config->id;
  }

  limiter::Service limits_;
  meter::ServiceCells cells_;
  Routes routes_;
};

TEST_F(RoutesTest, MatchWholeSegmentsOnly) {
  put("a", "/v1/detect");
  EXPECT_EQ(find("/v1/detect"), "a");
  EXPECT_EQ(find("/v1/detect/"), "a");
  EXPECT_EQ(find("/v1/detect/x/y"), "a");
  for (const char* path :
       {"/", "/v1", "/v1/", "/v1/detec", "/v1/detects", "/v1/detect.x", "/v1/Detect", "/x/v1/detect"}) {
    EXPECT_EQ(find(path), "") << path;
  }
}

TEST_F(RoutesTest, PreferTheLongestPrefix) {
  put("root", "/");
  put("one", "/a");
  put("two", "/a/b/c");
  EXPECT_EQ(find("/"), "root");
  EXPECT_EQ(find("/x/y"), "root");
  EXPECT_EQ(find("/a"), "one");
  EXPECT_EQ(find("/a/b"), "one");
  EXPECT_EQ(find("/a/b/cc"), "one");
  EXPECT_EQ(find("/a/b/c"), "two");
  EXPECT_EQ(find("/a/b/c/d/e/f"), "two");
  EXPECT_EQ(find("/ab"), "root");
}

TEST_F(RoutesTest, OfAHostComeBeforeThoseOfAnyHost) {
  put("any-long", "/a/b");
  put("own", "/a", "one.example");
  EXPECT_EQ(find("/a/b", "one.example"), "own") << "even where any host's prefix is longer";
  EXPECT_EQ(find("/a/b", "ONE.Example"), "own");
  EXPECT_EQ(find("/a/b", "two.example"), "any-long");
  EXPECT_EQ(find("/x", "one.example"), "");
  put("any-root", "/");
  EXPECT_EQ(find("/x", "one.example"), "any-root") << "a host without the path falls back to any host's";
}

TEST_F(RoutesTest, OfAHostAreNotFoundUnderItsNeighbours) {
  put("own", "/", "one.example");
  for (const std::string& host : {std::string(""), std::string("one.example.com"), std::string("xone.example"),
                                  std::string("one.example."), std::string(300, 'a')}) {
    EXPECT_EQ(find("/", host), "") << host;
  }
}

TEST_F(RoutesTest, ArePutAnewInTheirOldPlace) {
  put("a", "/old");
  put("a", "/new");
  EXPECT_EQ(find("/old"), "");
  EXPECT_EQ(find("/new"), "a");
  put("a", "/new", "one.example");
  EXPECT_EQ(find("/new", "two.example"), "");
  EXPECT_EQ(find("/new", "one.example"), "a");
  put("a", "/new");
  EXPECT_EQ(find("/new", "two.example"), "a");
}

TEST_F(RoutesTest, AreGoneWhenRemovedAndOnlyThose) {
  put("a", "/a", "one.example");
  put("b", "/b", "one.example");
  put("c", "/a");
  routes_.remove("a");
  EXPECT_EQ(find("/a", "one.example"), "c");
  EXPECT_EQ(find("/b", "one.example"), "b");
  routes_.remove("b");
  routes_.remove("never-there");
  EXPECT_EQ(find("/b", "one.example"), "");
  EXPECT_EQ(find("/a"), "c");
}

TEST_F(RoutesTest, TakenOverByAnotherServiceStayWithItWhenTheFirstGoes) {
  put("a", "/x");
  put("b", "/x");
  EXPECT_EQ(find("/x"), "b");
  routes_.remove("a");
  EXPECT_EQ(find("/x"), "b");
}

TEST_F(RoutesTest, AreVisitedOnceEach) {
  put("a", "/a");
  put("b", "/b", "one.example");
  put("a", "/a2");
  std::multiset<std::string> seen;
  routes_.for_each([&](const WorkerService& service) { seen.insert(service.config->id); });
  EXPECT_EQ(seen, (std::multiset<std::string>{"a", "b"}));
}

}  // namespace
}  // namespace tollgate::gateway
