-- Keeps the tokens that a refresh brought. Where the refresh token that was
-- spent for them is still the record's, they are the newest there are, whoever
-- else has begun an attempt meanwhile, and also where the store has lost that
-- it had them before. Where it is another, somebody was faster.
--
-- KEYS  1 the credential's secrets, 2 its record
-- ARGV  1 version of the refresh token that was spent, 2 SHA-1 of its sealed
--         bytes
--       3 version of the access token before, 4 of the new one
--       5 the new access token, sealed, 6 when it expires, 7 its scope or ""
--       8 the new refresh token, sealed, "" where none came: the old one stays;
--         its version is the spent one's and one more
--       9 when it expires
--      10 "demanded": a gateway asked for it, of whose tokens none ever worked
--
-- Reply: "kept"; "refresh" where somebody put another access token meanwhile,
-- which stays; "newer" where it has these or newer ones; "gone" where there is
-- no such credential.

local secret, record = KEYS[1], KEYS[2]
local had = redis.call("HMGET", secret, "refresh_version", "refresh")
local version = redis.call("HGET", record, "version")
local known = tonumber(version or "0")
local demands, reply = 0, "kept"

if not version or not had[2] then
    return "gone"
end

if had[1] ~= ARGV[1] or redis.sha1hex(had[2]) ~= ARGV[2] then
    return "newer"
end

if not known then
    fail("damaged", record)
end

if known > tonumber(ARGV[3]) then
    if ARGV[8] == "" then
        return "newer"
    end

    reply = "refresh"

else
    redis.call("HSET", record, "token", ARGV[5], "version", ARGV[4],
               "expires", ARGV[6])

    if ARGV[7] ~= "" then
        redis.call("HSET", record, "scope", ARGV[7])
    end
end

if ARGV[8] ~= "" then
    redis.call("HSET", secret, "refresh", ARGV[8],
               "refresh_version", format("%.0f", tonumber(ARGV[1]) + 1),
               "refresh_expires", ARGV[9])
    redis.call("HSET", record, "refresh_expires", ARGV[9])
end

if ARGV[10] == "demanded" then
    demands = (tonumber(redis.call("HGET", secret, "demands")) or 0) + 1
end

redis.call("HSET", record, "state", "ok")
redis.call("HDEL", record, "reason")
redis.call("HSET", secret, "failures", "0",
           "refreshed", format("%.0f", floor(clock() / 1000000)),
           "demands", format("%.0f", demands))
redis.call("HDEL", secret, "attempt")

return reply
