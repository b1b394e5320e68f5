-- wrk's side of the benchmarks: all requests are built before the first is sent, one per key, and sent in turn. With
-- BENCH_SCATTERED=1 they are put together as they are sent, since those of a million keys would not fit into Lua's memory,
-- and the keys come in an order that no cache could foresee, from another place each time.
-- Settings come from the environment; the result is one line of JSON after "RESULT ".
local STEP = 15485863 -- the millionth prime: every key has its turn, and those of neighbours are far apart
local scattered = os.getenv("BENCH_SCATTERED") == "1"
local requests = {}
local next_request = 0
local before, after

local function format(key, body)
  local headers = { ["Authorization"] = key, ["Content-Type"] = "application/octet-stream" }
  return wrk.format("POST", os.getenv("BENCH_PATH"), headers, body)
end

function init()
  local body = string.rep("x", tonumber(os.getenv("BENCH_BODY_BYTES")))
  for key in io.lines(os.getenv("BENCH_KEYS_FILE")) do
    requests[#requests + 1] = scattered and key or format(key, body)
  end
  if scattered then
    local mark = "@KEY@"
    local text = format(mark, body)
    local at = string.find(text, mark, 1, true)
    before, after = string.sub(text, 1, at - 1), string.sub(text, at + #mark)
    math.randomseed(os.time())
    next_request = math.random(#requests)
  end
end

function request()
  if scattered then
    next_request = (next_request + STEP) % #requests
    return before .. requests[next_request + 1] .. after
  end
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
