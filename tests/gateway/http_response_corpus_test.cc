// Recorded responses of other people's parser tests against our reading of an answer: scanner, head and chunks. The
// recordings are not part of the project; without them the tests are skipped.
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json.hpp>
#include <fstream>
#include <map>
#include <optional>
#include <span>
#include <sstream>
#include <string>
#include <vector>

#include "gateway/http_chunks.h"
#include "gateway/http_head.h"

namespace tollgate::gateway {
namespace {
namespace json = boost::json;

struct Recorded {
  std::int64_t number = 0;  // its place in the collection
  std::string title;
  std::string bytes;
  bool valid = false;    // by the recording
  bool whole = false;    // at least one message ends in it
  bool to_head = false;  // the request was HEAD
};

std::optional<std::vector<Recorded>> recorded_responses() {
  std::ifstream file(TOLLGATE_CORPORA "/llhttp.json", std::ios::binary);
  if (!file) return std::nullopt;
  std::ostringstream text;
  text << file.rdbuf();
  std::vector<Recorded> all;
  const json::value collection = json::parse(text.str());
  for (const auto& value : collection.as_array()) {
    const auto& item = value.as_object();
    const auto& meta = item.at("meta").as_object();
    if (meta.at("type").as_string() != "response") continue;
    Recorded recorded;
    recorded.number = item.at("n").as_int64();
    recorded.title = item.at("title").as_string().c_str();
    const auto& bytes = item.at("payload").as_string();
    recorded.bytes.assign(bytes.data(), bytes.size());
    recorded.valid = item.at("error").is_null();
    recorded.whole = item.at("msgs").as_int64() > 0;
    recorded.to_head = meta.contains("skipBody");
    all.push_back(recorded);
  }
  return all;
}

// What became of the answer to one call, as a session reads it: interim heads are read past, one final head, its body.
struct Reading {
  enum class End { refused, cut, until_close, whole };
  End end = End::cut;
  int interim = 0;        // heads before the final one
  int status = 0;         // of the last head that was taken; 0: none was
  bool reusable = false;  // nothing speaks against another call on that connection
  std::string body;

  [[nodiscard]] bool is_refused() const { return end == End::refused; }
  friend bool operator==(const Reading&, const Reading&) = default;
};

class AnswerReader {
 public:
  // Offers the bytes in steps of `step`, as a socket might.
  static Reading read(const Recorded& recorded, std::size_t step) {
    AnswerReader reader(recorded.bytes, step);
    reader.heads(recorded.to_head);
    return reader.reading_;
  }

 private:
  AnswerReader(std::string bytes, std::size_t step) : bytes_(std::move(bytes)), step_(step) {}

  [[nodiscard]] std::string_view seen() const { return std::string_view(bytes_).substr(begin_, seen_ - begin_); }
  bool more() {
    if (seen_ == bytes_.size()) return false;
    seen_ = std::min(seen_ + step_, bytes_.size());
    return true;
  }

  void heads(bool to_head) {
    while (true) {
      HeadScanner scanner;
      auto scanned = scanner.scan(seen());
      while (scanned == HeadScanner::Result::incomplete && more()) scanned = scanner.scan(seen());
      if (scanned == HeadScanner::Result::incomplete) return;
      if (scanned == HeadScanner::Result::bad || !head_.parse(seen().substr(0, scanner.bytes()), to_head, {})) {
        reading_.end = Reading::End::refused;
        return;
      }
      reading_.status = head_.status;
      begin_ += scanner.bytes();
      if (head_.status >= 200 || head_.status == 101) return body();
      ++reading_.interim;
    }
  }

  void body() {
    std::uint64_t left = head_.body == BodyKind::length ? head_.content_length : 0;
    ChunkDecoder decoder;
    bool whole = head_.body == BodyKind::none;
    do {
      if (head_.body == BodyKind::chunked) {
        const auto piece = decoder.decode(std::span(bytes_).subspan(begin_, seen_ - begin_));
        reading_.body.append(piece.data.data(), piece.data.size());
        begin_ += piece.consumed;
        whole = piece.done;
        if (piece.bad) {
          reading_.end = Reading::End::refused;
          return;
        }
      } else if (head_.body != BodyKind::none) {
        const auto data =
            head_.body == BodyKind::length ? seen().substr(0, std::min<std::uint64_t>(left, seen().size())) : seen();
        reading_.body.append(data);
        begin_ += data.size();
        left -= head_.body == BodyKind::length ? data.size() : 0;
        whole = head_.body == BodyKind::length && left == 0;
      }
    } while (!whole && more());
    reading_.end = whole                                 ? Reading::End::whole
                   : head_.body == BodyKind::until_close ? Reading::End::until_close
                                                         : Reading::End::cut;
    while (more()) continue;  // bytes behind the answer: the connection is dropped with them
    reading_.reusable = whole && head_.keep_alive && begin_ == bytes_.size();
  }

  std::string bytes_;
  std::size_t step_;
  std::size_t seen_ = 0;
  std::size_t begin_ = 0;
  ResponseHead head_;
  Reading reading_;
};

// Where we are stricter than the recording: {number, why}.
const std::map<std::int64_t, const char*> kWeRefuse = {
    {178, "an empty line between two heads: nothing may stand before a status line"},
    {218, "RTSP: another protocol"},
    {219, "ICE: another protocol"},
    {233, "version 0.9: only 1.0 and 1.1 have the framing that we rely on"},
    {237, "chunked is not the last coding: RFC 9112 6.3 reads until the close, we take one meaning or none"},
    {238, "the same in two fields"},
};

// Where the recording's parser stops and we do not: {number, why that is safe}.
const std::map<std::int64_t, const char*> kWeTake = {
    {167, "bytes behind an answer that said close: the answer is good, the connection is not used again"},
    {171, "it pauses at 101 for its caller; refusing a 101 is the session's, not the head's"},
    {172, "the same; a chunked coding of a 101 is no body"},
};

class RecordedResponses : public testing::Test {
 protected:
  void SetUp() override {
    auto all = recorded_responses();
    if (!all) GTEST_SKIP() << "no recorded responses in " TOLLGATE_CORPORA;
    all_ = std::move(*all);
    ASSERT_GT(all_.size(), 50U) << "the collection has been there and is not what it was";
  }
  static constexpr std::size_t kAtOnce = 1 << 20;

  std::vector<Recorded> all_;
};

TEST_F(RecordedResponses, InvalidOnesAreRefusedAndValidOnesTaken) {
  for (const Recorded& recorded : all_) {
    const Reading reading = AnswerReader::read(recorded, kAtOnce);
    const auto where = "case " + std::to_string(recorded.number) + ", " + recorded.title;
    if (kWeRefuse.contains(recorded.number)) {
      EXPECT_TRUE(recorded.valid && reading.is_refused()) << where << " is no difference any more";
      EXPECT_LT(reading.status, 200) << where << ": the final head itself is refused, not only what follows it";
    } else if (kWeTake.contains(recorded.number)) {
      EXPECT_TRUE(!recorded.valid && reading.end == Reading::End::whole) << where << " is no difference any more";
      EXPECT_TRUE(!reading.reusable || reading.status == 101) << where;
    } else if (recorded.valid) {
      EXPECT_FALSE(reading.is_refused()) << where;
    } else {
      // A head that never ends is no answer either: the session gives up on it.
      EXPECT_TRUE(reading.is_refused() || reading.status == 0) << where;
    }
  }
}

TEST_F(RecordedResponses, AnAnswerIsWholeWhereTheRecordingSeesItsEnd) {
  for (const Recorded& recorded : all_) {
    if (!recorded.valid || kWeRefuse.contains(recorded.number)) continue;
    const Reading reading = AnswerReader::read(recorded, kAtOnce);
    if (recorded.whole && reading.interim == 0) {  // else the message that it saw may be the interim one
      EXPECT_EQ(reading.end, Reading::End::whole) << recorded.number << ", " << recorded.title;
    }
    if (!recorded.whole) {
      EXPECT_NE(reading.end, Reading::End::whole) << recorded.number << ", " << recorded.title;
      EXPECT_FALSE(reading.reusable) << recorded.number << ", " << recorded.title;
    }
  }
}

TEST_F(RecordedResponses, NothingDependsOnHowTheBytesArrive) {
  for (const Recorded& recorded : all_) {
    const Reading at_once = AnswerReader::read(recorded, kAtOnce);
    for (const std::size_t step : {1U, 2U, 7U}) {
      EXPECT_EQ(AnswerReader::read(recorded, step), at_once)
          << recorded.number << ", " << recorded.title << " in steps of " << step;
    }
  }
}

TEST_F(RecordedResponses, ACutAnswerIsNeverTakenForAWholeOne) {
  for (const Recorded& recorded : all_) {
    const Reading all = AnswerReader::read(recorded, kAtOnce);
    if (all.end != Reading::End::whole) continue;
    Recorded cut = recorded;
    while (!cut.bytes.empty()) {
      cut.bytes.pop_back();
      const Reading reading = AnswerReader::read(cut, kAtOnce);
      if (reading.end == Reading::End::whole) {
        EXPECT_EQ(reading.body, all.body) << recorded.number << ", only bytes behind the answer were cut";
        EXPECT_EQ(reading.status, all.status) << recorded.number;
      } else {
        EXPECT_FALSE(reading.reusable) << recorded.number;
        EXPECT_TRUE(all.body.starts_with(reading.body)) << recorded.number;
      }
    }
  }
}

}  // namespace
}  // namespace tollgate::gateway
