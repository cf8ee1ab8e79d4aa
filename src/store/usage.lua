-- Tells what is used of a bucket. Changes nothing.
--
-- KEYS  the bucket
-- ARGV  its limits, as records hold them
--
-- Reply: four integers for each limit: N, W, used, and the milliseconds until
-- less is used, as admit.lua tells them.

local bucket = read_bucket(KEYS[1], redis.call("GET", KEYS[1]))
local now = clock()
local reply = {}

fit(bucket, ARGV[1], now)

for _, ring in ipairs(bucket.rings) do
    reply[#reply + 1] = ring.n
    reply[#reply + 1] = ring.w
    reply[#reply + 1] = ring.total
    reply[#reply + 1] = reset_ms(ring, now)
end

return reply
