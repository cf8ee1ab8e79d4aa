-- Begins an attempt to refresh a credential's tokens, unless something changed
-- since the caller read the record: one attempt stands at a time, and while it
-- does nobody else spends that refresh token.
--
-- KEYS  1 the credential's secrets, 2 its record
-- ARGV  1 the refresh token's version, 2 SHA-1 of the sealed refresh token,
--         3 the attempt that stands, "" for none: all as the caller read them
--       4 host and journal of the caller, with a space between
--       5 its turn: 1, or 2 of one that was taken over
--       6 its id
--
-- Reply: time now in ms, the access token's version; nothing in it where
-- something changed.

local secret, record = KEYS[1], KEYS[2]
local now = format("%.0f", floor(clock() / 1000))
local had = redis.call("HMGET", secret, "refresh_version", "refresh", "attempt")

if had[1] ~= ARGV[1]
   or not had[2] or redis.sha1hex(had[2]) ~= ARGV[2]
   or (had[3] or "") ~= ARGV[3]
   or redis.call("EXISTS", record) == 0
then
    return {}
end

redis.call("HSET", secret, "attempt", table.concat({ ARGV[1], ARGV[4], now,
           ARGV[5], ARGV[6] }, " "))

return { now, redis.call("HGET", record, "version") or "0" }
