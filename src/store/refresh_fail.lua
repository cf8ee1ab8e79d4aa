-- Notes that an attempt brought no tokens, if it still stands.
--
-- KEYS  1 the credential's secrets, 2 its record
-- ARGV  1 the attempt's id
--       2 "keep": what became of it is not known, so it goes on standing; or
--         "clear"
--       3 the credential's state, 4 the reason, for people; "": it was not
--         tried, and nothing is noted
--
-- Reply: 1, or 0 where it does not stand any more.

local secret, record = KEYS[1], KEYS[2]
local attempt = redis.call("HGET", secret, "attempt")

if not attempt or attempt:match("[^ ]*$") ~= ARGV[1] then
    return 0
end

if ARGV[2] ~= "keep" then
    redis.call("HDEL", secret, "attempt")
end

if ARGV[3] ~= "" then
    local failures = tonumber(redis.call("HGET", secret, "failures")) or 0

    redis.call("HSET", secret, "failures", format("%.0f", failures + 1),
               "failed", format("%.0f", floor(clock() / 1000000)))
    redis.call("HSET", record, "state", ARGV[3], "reason", ARGV[4])
end

return 1
