#include "gateway/upstream.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <array>

namespace tollgate::gateway {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kNow = 1000 * kSecond;

ServiceDefinition definition(std::uint16_t upstreams) {
  ServiceDefinition definition;
  definition.model = "m";
  definition.path_prefix = "/";
  for (std::uint16_t i = 0; i < upstreams; ++i)
    definition.upstreams.push_back({"10.0.0.1", static_cast<std::uint16_t>(9000 + i)});
  return definition;
}

class ChooseUpstreamTest : public testing::Test {
 protected:
  std::size_t choose(std::size_t turn = 0, std::int64_t now = kNow) {
    return choose_upstream(service_, tried_, now, turn);
  }
  Upstream& upstream(std::size_t i) { return *service_.upstreams[i]; }

  limiter::Service limits_;
  ServiceConfig service_{"detect", definition(3), limits_};
  std::bitset<64> tried_;
};

TEST_F(ChooseUpstreamTest, TakesTheOneWithTheLeastInFlight) {
  upstream(0).in_flight = 2;
  upstream(1).in_flight = 1;
  upstream(2).in_flight = 3;
  for (std::size_t turn = 0; turn < 6; ++turn) EXPECT_EQ(choose(turn), 1U);
}

TEST_F(ChooseUpstreamTest, BreaksTiesByRotation) {
  for (std::size_t turn = 0; turn < 7; ++turn) EXPECT_EQ(choose(turn), turn % 3);
  upstream(1).in_flight = 1;
  EXPECT_EQ(choose(1), 2U);
}

TEST_F(ChooseUpstreamTest, DoesNotTryOneTwice) {
  tried_.set(0);
  upstream(1).in_flight = 5;
  upstream(2).in_flight = 9;
  EXPECT_EQ(choose(), 1U);
  tried_.set(1);
  EXPECT_EQ(choose(), 2U);
  tried_.set(2);
  EXPECT_EQ(choose(), kNoUpstream);
}

TEST_F(ChooseUpstreamTest, PassesOverTheEjectedUntilTheirTimeIsUp) {
  upstream(0).ejected_until = kNow + 1;
  upstream(1).in_flight = 5;
  upstream(2).in_flight = 6;
  EXPECT_EQ(choose(), 1U);
  EXPECT_EQ(choose(0, kNow + 1), 0U);
}

TEST_F(ChooseUpstreamTest, WithAllEjectedTakesTheOneThatIsBackFirst) {
  upstream(0).ejected_until = kNow + 3;
  upstream(1).ejected_until = kNow + 1;
  upstream(2).ejected_until = kNow + 2;
  for (std::size_t turn = 0; turn < 3; ++turn) EXPECT_EQ(choose(turn), 1U);
  tried_.set(1);
  EXPECT_EQ(choose(), 2U);
}

TEST(ChooseUpstream, ReachesTheLastOfTheMost) {
  limiter::Service limits;
  ServiceConfig service("detect", definition(64), limits);
  std::bitset<64> tried;
  tried.set();
  tried.reset(63);
  EXPECT_EQ(choose_upstream(service, tried, kNow, 5), 63U);
}

class UpstreamHealthTest : public testing::Test {
 protected:
  // For how long the upstream is passed over after one more failure; 0: it is not.
  std::int64_t fail() {
    upstream_failed(upstream_, config_, kNow);
    const auto until = upstream_.ejected_until.load();
    return until == 0 ? 0 : (until - kNow) / 1'000'000;
  }

  UpstreamsConfig config_;  // three failures, 1 s, at most 30 s
  Upstream upstream_{UpstreamAddress{"10.0.0.1", 9000}};
};

TEST_F(UpstreamHealthTest, EjectsAfterFailuresInARowAndDoublesUpToTheLimit) {
  std::vector<std::int64_t> paused;
  for (int i = 0; i < 10; ++i) paused.push_back(fail());
  EXPECT_EQ(paused, (std::vector<std::int64_t>{0, 0, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000}));
  for (int i = 0; i < 200; ++i) EXPECT_EQ(fail(), 30000);
}

TEST_F(UpstreamHealthTest, IsWholeAfterOneSuccess) {
  for (int i = 0; i < 5; ++i) fail();
  upstream_succeeded(upstream_);
  EXPECT_EQ(upstream_.ejected_until.load(), 0);
  EXPECT_EQ(fail(), 0);
  EXPECT_EQ(fail(), 0);
  EXPECT_EQ(fail(), 1000);
}

TEST_F(UpstreamHealthTest, DoesNotEjectWhereFailuresAreNotInARow) {
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(fail(), 0);
    EXPECT_EQ(fail(), 0);
    upstream_succeeded(upstream_);
  }
}

TEST(ServiceConfig, KnowsItsUpstreamsByHostAndPort) {
  limiter::Service limits;
  ServiceDefinition from = definition(1);
  from.upstreams.push_back({"::1", 9001});
  from.failure_statuses = {"503", "4xx"};
  const ServiceConfig service("detect", from, limits);
  EXPECT_EQ(service.upstreams[0]->host, "10.0.0.1:9000");
  EXPECT_EQ(service.upstreams[1]->host, "[::1]:9001");
  EXPECT_TRUE(service.failure_statuses[503] && service.failure_statuses[404]);
  EXPECT_FALSE(service.failure_statuses[500] || service.failure_statuses[200]);
}

// Idle connections, over the loopback on a port that the system chooses.
class IdleConnectionsTest : public testing::Test {
 protected:
  std::unique_ptr<UpstreamConnection> connect() {
    auto connection = std::make_unique<UpstreamConnection>();
    loop_.spawn(open(connection->stream.socket()), [](const std::exception_ptr&) {});
    peers_.push_back(acceptor_.accept());
    while (!connection->stream.socket().is_open() || opened_ < peers_.size()) loop_.turn(true);
    return connection;
  }
  [[nodiscard]] std::int64_t gauge() const { return cells_.upstream_connections[1].load(); }
  // Until the peer's doing has arrived.
  static void wait_readable(UpstreamConnection& connection) {
    pollfd wait{connection.stream.socket().native_handle(), POLLIN, 0};
    ASSERT_EQ(::poll(&wait, 1, 10'000), 1);
  }

  Task<void> open(Socket& socket) {
    const error_code error = co_await socket.connect(loop_, acceptor_.local_endpoint());
    EXPECT_FALSE(error) << error.message();
    ++opened_;
  }

  Task<void> take_after_reading(UpstreamConnection& from) {
    BlockPool pool(16, 1);
    Buffer into;
    into.use(pool);
    co_await from.stream.read_into(into);
    taken_ = service_->take_idle(0);
    has_read_ = true;
  }

  bool has_read_ = false;
  std::unique_ptr<UpstreamConnection> taken_;
  asio::io_context context_{1};
  asio::ip::tcp::acceptor acceptor_{context_, Endpoint(asio::ip::address_v4::loopback(), 0)};
  std::vector<asio::ip::tcp::socket> peers_;
  std::size_t opened_ = 0;
  net::Loop loop_;
  limiter::Service limits_;
  meter::ServiceCells cells_;
  WorkerServicePtr service_{
      new WorkerService(std::make_shared<const ServiceConfig>("detect", definition(2), limits_), cells_)};
};

TEST_F(IdleConnectionsTest, ComeBackLastInFirstOutForTheirUpstream) {
  auto first = connect();
  auto second = connect();
  auto* const first_raw = first.get();
  auto* const second_raw = second.get();
  service_->give_idle(std::move(first), 8, kNow);
  service_->give_idle(std::move(second), 8, kNow);
  EXPECT_EQ(gauge(), 2);
  EXPECT_EQ(service_->take_idle(1), nullptr);
  const auto back = service_->take_idle(0);
  EXPECT_EQ(back.get(), second_raw);
  EXPECT_TRUE(back->reused);
  EXPECT_EQ(service_->take_idle(0).get(), first_raw);
  EXPECT_EQ(service_->take_idle(0), nullptr);
  EXPECT_EQ(gauge(), 0);
}

TEST_F(IdleConnectionsTest, AreKeptUpToTheirMaximum) {
  service_->give_idle(connect(), 1, kNow);
  service_->give_idle(connect(), 1, kNow);
  EXPECT_EQ(gauge(), 1);
}

TEST_F(IdleConnectionsTest, ThatTheUpstreamHasClosedOrSpokenOnAreNotUsed) {
  auto closed = connect();
  auto spoken = connect();
  peers_[0].close();
  peers_[1].send(asio::buffer("HTTP/1.1 408 \r\n\r\n", 17));
  wait_readable(*closed);
  wait_readable(*spoken);
  service_->give_idle(std::move(closed), 8, kNow);
  service_->give_idle(std::move(spoken), 8, kNow);
  EXPECT_EQ(service_->take_idle(0), nullptr);
  EXPECT_EQ(gauge(), 0);
}

TEST_F(IdleConnectionsTest, ThatTheLoopHasSeenClosedOrSpokenOnAreNotUsed) {
  auto closed = connect();
  auto spoken = connect();
  auto* const closed_raw = closed.get();
  auto* const spoken_raw = spoken.get();
  service_->give_idle(std::move(closed), 8, kNow);
  service_->give_idle(std::move(spoken), 8, kNow);
  peers_[0].close();
  peers_[1].send(asio::buffer("HTTP/1.1 408 \r\n\r\n", 17));
  wait_readable(*closed_raw);
  wait_readable(*spoken_raw);
  loop_.turn(false);
  EXPECT_EQ(service_->take_idle(0), nullptr);
  EXPECT_EQ(gauge(), 0);
}

// Its event stands behind that of who takes it.
TEST_F(IdleConnectionsTest, ThatWereClosedInTheSameLookAreNotUsed) {
  auto busy = connect();
  auto closed = connect();
  auto* const closed_raw = closed.get();
  service_->give_idle(std::move(closed), 8, kNow);
  loop_.turn(false);
  loop_.spawn(take_after_reading(*busy), [](const std::exception_ptr& failure) { EXPECT_FALSE(failure); });
  peers_[0].send(asio::buffer("x", 1));
  wait_readable(*busy);
  peers_[1].close();
  wait_readable(*closed_raw);
  while (!has_read_) loop_.turn(true);
  EXPECT_EQ(taken_, nullptr);
}

// It may have been spoken on since then, and the loop cannot know yet.
TEST_F(IdleConnectionsTest, ThatCameBackSinceTheLoopLookedAreUsedLast) {
  auto first = connect();
  auto second = connect();
  auto third = connect();
  auto* const first_raw = first.get();
  auto* const second_raw = second.get();
  auto* const third_raw = third.get();
  service_->give_idle(std::move(first), 8, kNow);
  service_->give_idle(std::move(second), 8, kNow);
  loop_.turn(false);
  service_->give_idle(std::move(third), 8, kNow);
  EXPECT_EQ(service_->take_idle(0).get(), second_raw);
  EXPECT_EQ(service_->take_idle(0).get(), first_raw);
  EXPECT_EQ(service_->take_idle(0).get(), third_raw);
}

TEST_F(IdleConnectionsTest, AreSweptWhenTooOldOrClosed) {
  auto old = connect();
  auto closed = connect();
  auto fresh = connect();
  auto* const fresh_raw = fresh.get();
  peers_[1].close();
  wait_readable(*closed);
  loop_.turn(false);
  service_->give_idle(std::move(old), 8, kNow - 10 * kSecond);
  service_->give_idle(std::move(closed), 8, kNow);
  service_->give_idle(std::move(fresh), 8, kNow - 5 * kSecond);
  service_->sweep(kNow, 5 * kSecond);
  EXPECT_EQ(gauge(), 1);
  EXPECT_EQ(service_->take_idle(0).get(), fresh_raw);
}

TEST_F(IdleConnectionsTest, AreCountedOffWhenTheServiceGoes) {
  service_->give_idle(connect(), 8, kNow);
  service_.reset();
  EXPECT_EQ(gauge(), 0);
}

}  // namespace
}  // namespace tollgate::gateway
