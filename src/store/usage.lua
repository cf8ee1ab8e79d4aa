-- Tells what is used of a bucket. Changes nothing.
--
-- KEYS  1 the bucket; 2 what is leased of it, which is used, too; 3 of what an
--       account's teams share: the account's, as which it begins
-- ARGV  its limits, as records hold them
--
-- Reply: four integers for each limit: N, W, used, and the milliseconds until
-- less is used, as admit.lua tells them.

local bucket = read_bucket(KEYS[1], redis.call("GET", KEYS[1]))
local now = clock()
local reply = {}

if KEYS[3] and not bucket.value then
    local account = read_bucket(KEYS[3], redis.call("GET", KEYS[3]))
    local w = tonumber(string.match(ARGV[1], "/(%d+)"))

    bring(account, now)

    for _, ring in ipairs(account.rings) do
        if ring.w == w then
            begin_as(bucket, ring)
        end
    end
end

fit(bucket, ARGV[1], now)

if KEYS[2] then
    local leased = read_bucket(KEYS[2], redis.call("GET", KEYS[2]))

    fit(leased, ARGV[1], now, LEASE_S)
    lease_out(bucket, leased)
end

for _, ring in ipairs(bucket.rings) do
    reply[#reply + 1] = ring.n
    reply[#reply + 1] = ring.w
    reply[#reply + 1] = ring.total + ring.n - ring.free
    reply[#reply + 1] = reset_ms(ring, now)
end

return reply
