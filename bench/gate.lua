-- For wrk (bench/gates.py): each request is the next one of the lines in SESSIONS ("path cookie"). The result is JSON.

local sessions, at = {}, 0
for line in io.lines(os.getenv("SESSIONS")) do
   local path, cookie = line:match("^(%S+) (.+)$")
   sessions[#sessions + 1] = { path, { Host = "quillo.example", Cookie = cookie } }
end

request = function()
   at = at % #sessions + 1
   return wrk.format("GET", sessions[at][1], sessions[at][2])
end

done = function(summary, latency)
   local quantiles = {}
   for p = 0, 99 do quantiles[p + 1] = string.format("%.1f", latency:percentile(p)) end
   local errors = summary.errors
   io.write(string.format('RESULT {"quantiles": [%s], "requests": %d, "microseconds": %d, "failed": %d}\n',
      table.concat(quantiles, ","), summary.requests, summary.duration,
      errors.status + errors.connect + errors.read + errors.write + errors.timeout))
end
