-- What wrk sends to both sides, and what it says in the end: requests,
-- microseconds, the 99th percentile in microseconds, errors.
wrk.method = 'POST'
wrk.headers['Content-Type'] = 'application/json'
wrk.body = '{"event": "push", "number": 12345, "name": "what a webhook may hold"}'

done = function(summary, latency)
	local e = summary.errors
	print(string.format('RESULT %d %d %d %d', summary.requests,
		summary.duration, latency:percentile(99),
		e.connect + e.read + e.write + e.status + e.timeout))
end
