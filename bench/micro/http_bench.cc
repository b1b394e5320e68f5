// What reading and rewriting a usual request costs: a head of about 300 bytes.
#include <benchmark/benchmark.h>

#include <cstdio>
#include <string>

#include "gateway/head_writer.h"
#include "gateway/http_chunks.h"
#include "gateway/http_head.h"
#include "gateway/refusal.h"

namespace tollgate::gateway {
namespace {

const std::string kHead =
    "POST /v1/vision/object-detection HTTP/1.1\r\n"
    "Host: api.example.com\r\n"
    "User-Agent: client-library/2.31.0 (linux; x86-64)\r\n"
    "Accept-Encoding: gzip, deflate\r\n"
    "Accept: */*\r\n"
    "Connection: keep-alive\r\n"
    "Authorization: Bearer tg_0123456789abcdefghjkmnpqrstvwxyz0123\r\n"
    "Content-Type: application/json\r\n"
    "Content-Length: 1024\r\n\r\n";
const HeadLimits kLimits;
const ForwardedCall kCall{"10.0.0.7:9000", "acme", "detect", "0123456789abcdef-42", "192.0.2.9", false};

void Http_ScanHead(benchmark::State& state) {
  for (auto _ : state) {
    HeadScanner scanner;
    benchmark::DoNotOptimize(scanner.scan(kHead));
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(kHead.size()));
}
BENCHMARK(Http_ScanHead);

void Http_ParseRequestHead(benchmark::State& state) {
  RequestHead head;
  for (auto _ : state) benchmark::DoNotOptimize(head.parse(kHead, kLimits));
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(kHead.size()));
}
BENCHMARK(Http_ParseRequestHead);

void Http_PresentedKey(benchmark::State& state) {
  RequestHead head;
  (void)head.parse(kHead, kLimits);
  for (auto _ : state) benchmark::DoNotOptimize(presented_key(head));
}
BENCHMARK(Http_PresentedKey);

void Http_WriteRequestHead(benchmark::State& state) {
  RequestHead head;
  (void)head.parse(kHead, kLimits);
  std::string out;
  for (auto _ : state) {
    out.clear();
    write_request_head(out, head, kCall);
    benchmark::DoNotOptimize(out.data());
  }
}
BENCHMARK(Http_WriteRequestHead);

void Http_ParseAndWriteResponseHead(benchmark::State& state) {
  const std::string text =
      "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 120\r\nServer: model\r\n\r\n";
  ResponseHead head;
  std::string out;
  for (auto _ : state) {
    out.clear();
    benchmark::DoNotOptimize(head.parse(text, false, kLimits));
    write_response_head(out, head,
                        {"0123456789abcdef-42", BodyKind::length, true, nullptr, "Mon, 23 Nov 2026 13:00:00 GMT"});
    benchmark::DoNotOptimize(out.data());
  }
}
BENCHMARK(Http_ParseAndWriteResponseHead);

void Http_WriteRefusal(benchmark::State& state) {
  RefusalAnswer answer;
  answer.reason = Reason::limit_reached;
  answer.request_id = "0123456789abcdef-42";
  answer.keep_alive = true;
  std::string out;
  for (auto _ : state) {
    out.clear();
    write_refusal(out, answer);
    benchmark::DoNotOptimize(out.data());
  }
}
BENCHMARK(Http_WriteRefusal);

// 64 KB of body as chunks of `range` bytes. The input is decoded in place, so each round begins with a copy.
void Http_DecodeChunks(benchmark::State& state) {
  const auto chunk = static_cast<std::size_t>(state.range(0));
  char size[32];
  std::snprintf(size, sizeof size, "%zx\r\n", chunk);
  std::string encoded;
  while (encoded.size() < 64 * 1024) encoded += size + std::string(chunk, 'x') + "\r\n";
  std::string input;
  for (auto _ : state) {
    input = encoded;
    ChunkDecoder decoder;
    benchmark::DoNotOptimize(decoder.decode(input));
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(encoded.size()));
}
BENCHMARK(Http_DecodeChunks)->Arg(1)->Arg(1024)->Arg(16 * 1024);

}  // namespace
}  // namespace tollgate::gateway
