-- Gives one charge back to every bucket that it was made in, once.
--
-- KEYS  the buckets that were charged, which are those with limits in the
--       answer of admit.lua; last the mark that says it is done
-- ARGV  1 NOW of the admission, as admit.lua replied; 2 how long to keep the
--       mark, in ms; 3 a deadline in ms of Redis's time, from which on nothing
--       is done: not later than the mark stands that the first of all attempts
--       made, so that no attempt can miss it. 0 or left out: none
--
-- Reply: 1 given back, 0 not: it was before, or nothing counts it any more, or
-- it is too late.

local at, keep = tonumber(ARGV[1]), tonumber(ARGV[2])
local deadline = tonumber(ARGV[3] or 0)

if not at or not keep or not deadline or at < 0 or keep < 1 then
    fail("bad arguments for", KEYS[#KEYS])
end

if deadline > 0 and clock() >= deadline * 1000 then
    return 0
end


local buckets, given = {}, 0

for i = 1, #KEYS - 1 do
    local bucket = read_bucket(KEYS[i], redis.call("GET", KEYS[i]))

    for _, ring in ipairs(at > bucket.unsure and bucket.rings or {}) do
        -- A slot may begin within the millisecond that was told. When it
        -- did, the earlier slot is tried first: it is forgotten sooner.
        local length = ring.w * SLOT_US
        local first = floor(at * 1000 / length)
        local last = floor((at * 1000 + 999) / length)

        if take(ring, first, 1) == 1
           or (last ~= first and take(ring, last, 1) == 1)
        then
            bucket.changed = true
        end
    end

    buckets[i] = bucket
end

if not redis.call("SET", KEYS[#KEYS], "1", "NX", "PX",
                  format("%.0f", keep))
then
    return 0
end

for _, bucket in ipairs(buckets) do
    if bucket.changed then
        redis.call("SET", bucket.key, value_of(bucket), "KEEPTTL")
        given = 1
    end
end

return given
