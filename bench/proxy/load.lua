-- wrk's side of the benchmark: all requests are built before the first is sent, one per key, and sent in turn.
-- Settings come from the environment; the result is one line of JSON after "RESULT ".
local requests = {}
local next_request = 0

function init()
  local body = string.rep("x", tonumber(os.getenv("BENCH_BODY_BYTES")))
  for key in io.lines(os.getenv("BENCH_KEYS_FILE")) do
    local headers = { ["Authorization"] = key, ["Content-Type"] = "application/octet-stream" }
    requests[#requests + 1] = wrk.format("POST", os.getenv("BENCH_PATH"), headers, body)
  end
end

function request()
  next_request = next_request % #requests + 1
  return requests[next_request]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    'RESULT {"requests":%d,"seconds":%.6f,"not_2xx":%d,"broken":%d,"p50_us":%d,"p99_us":%d}\n',
    summary.requests, summary.duration / 1e6, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
