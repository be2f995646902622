-- For wrk (bench/load.py): each request is the next line of the file REQUESTS: method, path, headers and body, with tabs
-- between them. The headers ("Name: value") have the character 31 between them. The result is JSON.

local requests, at = {}, 0

init = function(args)
   for line in io.lines(os.getenv("REQUESTS")) do
      local method, path, headers, body = line:match("^(.-)\t(.-)\t(.-)\t(.*)$")
      local fields = {}
      for name, value in headers:gmatch("([^\31:]+): ([^\31]*)") do fields[name] = value end
      requests[#requests + 1] = wrk.format(method, path, fields, body ~= "" and body or nil)
   end
end

request = function()
   at = at % #requests + 1
   return requests[at]
end

done = function(summary, latency)
   local quantiles = {}
   for p = 0, 99 do quantiles[p + 1] = string.format("%.1f", latency:percentile(p)) end
   local errors = summary.errors
   io.write(string.format(
      'RESULT {"quantiles": [%s], "longest": %.1f, "requests": %d, "microseconds": %d, "refused": %d, "broken": %d}\n',
      table.concat(quantiles, ","), latency.max, summary.requests, summary.duration, errors.status,
      errors.connect + errors.read + errors.write + errors.timeout))
end
