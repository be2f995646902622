-- For wrk (bench/counted.py): each request asks the decision point for advice. The result is JSON.

wrk.method = "POST"
wrk.body = os.getenv("BODY")
wrk.headers["Authorization"] = "Bearer " .. os.getenv("SECRET")
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Host"] = "localhost"

done = function(summary, latency)
   local quantiles = {}
   for p = 0, 99 do quantiles[p + 1] = string.format("%.1f", latency:percentile(p)) end
   local errors = summary.errors
   io.write(string.format('RESULT {"quantiles": [%s], "requests": %d, "microseconds": %d, "failed": %d}\n',
      table.concat(quantiles, ","), summary.requests, summary.duration,
      errors.status + errors.connect + errors.read + errors.write + errors.timeout))
end
