#include "gateway/access_log.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <boost/json.hpp>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

namespace tollgate::gateway {
namespace {
namespace json = boost::json;

class Folder {
 public:
  Folder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "access-log-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) std::abort();
    path = pattern;
  }
  ~Folder() { std::filesystem::remove_all(path); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  [[nodiscard]] std::string file(const char* name) const { return path / name; }
  std::filesystem::path path;
};

std::string contents(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return std::move(text).str();
}

std::vector<std::string> lines(const std::string& text) {
  std::vector<std::string> all;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) all.push_back(line);
  return all;
}

AccessLine line_of(std::string_view path) {
  AccessLine line;
  line.at = WallTime(std::chrono::seconds(1'629'428'400));
  line.request_id = "req-1";
  line.peer = "192.0.2.9";
  line.method = "POST";
  line.path = path;
  line.trace_id = "4bf92f3577b34da6a3ce929d0e0e4736";
  line.service = "detect";
  line.account = "acme";
  line.upstream = "10.0.0.1:9000";
  line.outcome = "succeeded";
  line.status = 200;
  line.free_points = 4;
  line.billable_points = 2;
  line.duration_us = 1234;
  return line;
}

std::unique_ptr<AccessLog> open(const std::string& path, std::size_t workers = 1, std::size_t bytes = 1 << 20) {
  auto log = AccessLog::open(path, workers, bytes);
  EXPECT_TRUE(log.has_value());
  return std::move(*log);
}

TEST(AccessLog, WritesOneJsonObjectPerRequest) {
  Folder folder;
  {
    auto log = open(folder.file("log"), 2);
    EXPECT_TRUE(log->write(0, line_of("/a")));
    EXPECT_TRUE(log->write(1, line_of("/b")));
  }
  const auto written = lines(contents(folder.file("log")));
  ASSERT_EQ(written.size(), 2U);
  const auto object = json::parse(written[0]).as_object();
  EXPECT_EQ(object.at("time").as_string(), "2021-08-20T11:00:00+08:00");
  EXPECT_EQ(object.at("request_id").as_string(), "req-1");
  EXPECT_EQ(object.at("peer").as_string(), "192.0.2.9");
  EXPECT_EQ(object.at("method").as_string(), "POST");
  EXPECT_EQ(object.at("path").as_string(), "/a");
  EXPECT_EQ(object.at("trace_id").as_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
  EXPECT_EQ(object.at("service").as_string(), "detect");
  EXPECT_EQ(object.at("account").as_string(), "acme");
  EXPECT_EQ(object.at("upstream").as_string(), "10.0.0.1:9000");
  EXPECT_EQ(object.at("outcome").as_string(), "succeeded");
  EXPECT_EQ(object.at("status").as_int64(), 200);
  EXPECT_EQ(object.at("free_points").as_int64(), 4);
  EXPECT_EQ(object.at("billable_points").as_int64(), 2);
  EXPECT_EQ(object.at("duration_us").as_int64(), 1234);
}

TEST(AccessLog, AppendsToWhatIsThere) {
  Folder folder;
  for (const char* path : {"/a", "/b"}) (void)open(folder.file("log"))->write(0, line_of(path));
  EXPECT_EQ(lines(contents(folder.file("log"))).size(), 2U);
}

TEST(AccessLog, StaysOneLineWhateverBytesComeIn) {
  std::string all;
  for (int c = 0; c < 256; ++c) all += static_cast<char>(c);
  Folder folder;
  {
    auto log = open(folder.file("log"));
    AccessLine line = line_of(all);
    line.method = "G\r\n\"\\\x1b";
    EXPECT_TRUE(log->write(0, line));
  }
  const auto written = lines(contents(folder.file("log")));
  ASSERT_EQ(written.size(), 1U);
  const auto object = json::parse(written[0]).as_object();
  EXPECT_EQ(object.at("method").as_string(), "G\r\n\"\\\x1b");
}

TEST(AccessLog, EndsThoughItsReaderStandsStill) {
  Folder folder;
  const std::string path = folder.file("pipe");
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  const int reader = ::open(path.c_str(), O_RDONLY | O_NONBLOCK);  // never reads
  ASSERT_GE(reader, 0);
  {
    auto log = open(path, 1, 1 << 20);
    while (log->write(0, line_of("/a"))) {
    }
  }  // hangs here if the end waits for the reader
  std::array<char, 4096> block;
  const auto got = ::read(reader, block.data(), block.size());
  ASSERT_GT(got, 0) << "what the pipe took is there";
  EXPECT_EQ(std::string_view(block.data(), static_cast<std::size_t>(got)).substr(0, 9), R"({"time":")");
  ::close(reader);
}

TEST(AccessLog, GoesOnWithAWholeLineAfterOneThatWasTorn) {
  Folder folder;
  const std::string path = folder.file("log");
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ::getrlimit(RLIMIT_FSIZE, &before);
  rlimit full = before;
  full.rlim_cur = 100;  // bytes: like a disk that is full in the middle of a line
  ::setrlimit(RLIMIT_FSIZE, &full);
  {
    auto log = open(path);
    EXPECT_TRUE(log->write(0, line_of("/torn")));
    while (contents(path).size() < 100) std::this_thread::yield();
    ::setrlimit(RLIMIT_FSIZE, &before);
    EXPECT_TRUE(log->write(0, line_of("/next")));
  }
  EXPECT_EQ(json::parse(lines(contents(path)).back()).as_object().at("path").as_string(), "/next");
}

RC_GTEST_PROP(JsonEscape, MakesAnyBytesTheInsideOfAnAsciiString, (const std::vector<std::uint8_t>& bytes)) {
  const std::string text(bytes.begin(), bytes.end());
  std::string out = "\"";
  append_json_escaped(out, text);
  out += '"';
  for (const char c : out) RC_ASSERT(c >= 0x20 && c < 0x7f);
  // Each byte comes back as the character of its number.
  const auto value = json::parse(out);
  std::string expected;
  for (const std::uint8_t byte : bytes) {
    if (byte < 0x80) {
      expected += static_cast<char>(byte);
    } else {
      expected += static_cast<char>(0xc0 | (byte >> 6));
      expected += static_cast<char>(0x80 | (byte & 0x3f));
    }
  }
  RC_ASSERT(std::string_view(value.as_string()) == expected);
}

TEST(JsonEscape, TakesNoMoreThanItsMaximum) {
  std::string out;
  append_json_escaped(out, "abcdef", 3);
  EXPECT_EQ(out, "abc");
  out.clear();
  append_json_escaped(out, std::string(5000, 'x'));
  EXPECT_EQ(out.size(), 1024U);
}

TEST(AccessLog, DropsALineThatCanNeverFit) {
  Folder folder;
  auto log = open(folder.file("log"), 1, 64);
  EXPECT_FALSE(log->write(0, line_of("/a")));
}

// A pipe nobody reads from yet: the writing thread is stuck, the queue fills, and the worker is told at once.
TEST(AccessLog, WithAFullQueueDropsWholeLinesAndSaysSo) {
  Folder folder;
  const std::string pipe = folder.file("pipe");
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  const int reader = ::open(pipe.c_str(), O_RDONLY | O_NONBLOCK);
  ASSERT_GE(reader, 0);
  auto log = open(pipe, 1, 4096);
  std::size_t accepted = 0;
  while (log->write(0, line_of("/" + std::to_string(accepted)))) {
    ++accepted;
    std::this_thread::yield();
    ASSERT_LT(accepted, 1'000'000U);
  }
  ASSERT_EQ(::fcntl(reader, F_SETFL, 0), 0);
  std::string read;
  std::thread drain([&] {
    std::array<char, 4096> block{};
    for (ssize_t got = 0; (got = ::read(reader, block.data(), block.size())) > 0;)
      read.append(block.data(), static_cast<std::size_t>(got));
  });
  log.reset();  // writes what is queued, and closes
  drain.join();
  ::close(reader);
  const auto written = lines(read);
  ASSERT_EQ(written.size(), accepted);
  for (std::size_t i = 0; i < written.size(); ++i) {
    EXPECT_EQ(json::parse(written[i]).as_object().at("path").as_string(), "/" + std::to_string(i));
  }
}

TEST(AccessLog, OnADiskThatTakesNothingDoesNotStayFullForGood) {
  auto log = AccessLog::open("/dev/full", 1, 4096);
  if (!log) GTEST_SKIP() << "no /dev/full here";
  for (int accepted = 0; accepted < 100;) {
    if ((*log)->write(0, line_of("/a"))) {
      ++accepted;
    } else {
      std::this_thread::yield();
    }
  }
}

TEST(AccessLog, GoesOnInAFreshFileAfterItWasMovedAwayAndReopened) {
  Folder folder;
  {
    auto log = open(folder.file("log"));
    EXPECT_TRUE(log->write(0, line_of("/before")));
    while (contents(folder.file("log")).empty()) std::this_thread::yield();
    std::filesystem::rename(folder.file("log"), folder.file("log.1"));
    log->reopen();
    while (!std::filesystem::exists(folder.file("log"))) std::this_thread::yield();
    EXPECT_TRUE(log->write(0, line_of("/after")));
  }
  EXPECT_NE(contents(folder.file("log.1")).find("/before"), std::string::npos);
  EXPECT_NE(contents(folder.file("log")).find("/after"), std::string::npos);
  EXPECT_EQ(lines(contents(folder.file("log.1"))).size(), 1U);
  EXPECT_EQ(lines(contents(folder.file("log"))).size(), 1U);
}

TEST(AccessLog, ThatCannotBeOpenedIsAFaultThatNamesTheKey) {
  const auto log = AccessLog::open("/nonexistent/folder/log", 1, 4096);
  ASSERT_TRUE(log.has_error());
  EXPECT_EQ(log.error().field, "log.access_log");
  EXPECT_NE(log.error().message.find("/nonexistent/folder/log"), std::string::npos);
}

}  // namespace
}  // namespace tollgate::gateway
