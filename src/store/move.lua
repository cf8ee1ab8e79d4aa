-- Begins to move an account to another credential: stops its buckets for ten
-- seconds and hands out what they hold. Then follow carry.lua for the other
-- credential's buckets and the new record of the account. If these never
-- come, the mark runs out and nothing was lost.
--
-- The old buckets stay until they are idle, so that an interrupted move, and
-- one back again, find them.
--
-- KEYS  the account's bucket and its teams' buckets, under the old credential
--
-- Reply: an array of their values, for carry.lua; empty where there was none.

local buckets, values = {}, {}
local mark = floor(clock() / 1000) + MOVE_MS

for i, key in ipairs(KEYS) do
    buckets[i] = read_bucket(key, redis.call("GET", key))
end

for i, bucket in ipairs(buckets) do
    local life = max(redis.call("PTTL", bucket.key), MOVE_MS)

    values[i] = bucket.value or ""
    bucket.mark = mark
    redis.call("SET", bucket.key, value_of(bucket), "PX",
               format("%.0f", life))
end

return values
