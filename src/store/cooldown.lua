-- Notes that Pinterest refused a call by its own limits: from now on no gateway
-- sends calls of that kind by this credential, until its window is over.
--
-- KEYS  1 the credential's cooldown, 2 its record
-- ARGV  1 "writes", or "all": reads too
--       2 in how many ms the window ends, as Pinterest told; "" where it did
--         not: then with the minute by the clock, with the tier "trial" with
--         the day (UTC)
--       3 how many ms ago that was; 0, as where it is left out: now. It could
--         not be told before
--
-- It ends after 120 s at the latest, with the tier "trial" with the day. One
-- that is in force is only ever extended.
--
-- Reply: until when, and the time now, in ms of Redis's time.

local class, ahead, age = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3] or 0)
local now = floor(clock() / 1000)
local tier = redis.call("HGET", KEYS[2], "tier")
local latest = latest_cooldown(tier, now)
local ends, others

if not (class == "writes" or class == "all")
   or not (ARGV[2] == "" or (ahead and ahead >= 0 and ahead % 1 == 0))
   or not (age and age >= 0 and age % 1 == 0)
then
    fail("bad arguments for", KEYS[1])
end

if ahead then
    ends = min(now - age + ahead, latest)

else
    ends = next_multiple(now - age, tier == "trial" and DAY_MS or MINUTE_MS)
end

others = redis.call("HMGET", KEYS[1], class == "all" and "writes" or "all",
                    class)

ends = max(ends, cooldown_of(others[2], now, latest, KEYS[1]))

if ends > now then
    redis.call("HSET", KEYS[1], class, format("%.0f", ends))
    redis.call("PEXPIRE", KEYS[1], format("%.0f",
               max(ends, cooldown_of(others[1], now, latest, KEYS[1])) - now))
end

return { ends, now }
