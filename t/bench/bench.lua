-- Copyright (C) the ngx_pinaud_module authors
--
-- What wrk sends: POSTs to PATH, as team "growth", of the bodies that stand
-- in FILE, one a line, in turn.
--
--   wrk -s bench.lua URL -- PATH FILE

local requests, turn = {}, 0


function init(args)
    local headers = {
        ["Content-Type"] = "application/json",
        ["User-Agent"] = "bench",
        ["X-Team"] = "growth"
    }

    for body in io.lines(args[2]) do
        requests[#requests + 1] = wrk.format("POST", args[1], headers, body)
    end
end


function request()
    turn = turn % #requests + 1

    return requests[turn]
end


function done(summary)
    local errors = summary.errors

    io.write(string.format("bench requests=%d us=%d status=%d other=%d\n",
        summary.requests, summary.duration, errors.status, errors.connect
        + errors.read + errors.write + errors.timeout))
end
