-- Ends a move to another credential: puts what move.lua handed out into that
-- credential's buckets, and takes off a mark that a move away left there.
--
-- What a bucket already holds is from when the account was there before, or
-- from this move, made a second time: it is counted in what comes. So each
-- slot gets the higher of both counts, and doing it twice changes nothing. A
-- ring of a window that does not come has missed what was counted since, and
-- is dropped: should the window come back, it begins with the total.
--
-- KEYS  the account's bucket and its teams' buckets, under the new credential
-- ARGV  their values, in the order of KEYS; empty where there was none
--
-- Reply: how many buckets now hold something.

local now = clock()
local buckets, filled = {}, 0


-- Merges "other" into "ring", both of one window and brought to one slot.

local function merge(ring, other)
    local mine, others, counts = body_of(ring), body_of(other), {}

    ring.current = max(ring.current, other.current)
    ring.total = ring.current

    for at = 1, BODY_SIZE, 3 do
        local count = max((unpack("<I3", mine, at)),
                          (unpack("<I3", others, at)))

        ring.total = ring.total + count
        counts[#counts + 1] = pack("<I3", count)
    end

    ring.body = table.concat(counts)
    ring.age = max(ring.age, other.age)
end


for i, key in ipairs(KEYS) do
    local bucket = read_bucket(key, redis.call("GET", key))
    local carried = read_bucket(key, ARGV[i] ~= "" and ARGV[i])
    local there = {}

    bring(bucket, now)
    bring(carried, now)
    carried.unsure = max(carried.unsure, bucket.unsure)

    for _, ring in ipairs(bucket.rings) do
        there[ring.w] = ring
    end

    for _, ring in ipairs(carried.rings) do
        if there[ring.w] then
            merge(ring, there[ring.w])
        end
    end

    if #carried.rings == 0 then
        carried.rings = bucket.rings
    end

    carried.present = bucket.value or carried.value
    buckets[i] = carried
end

for _, bucket in ipairs(buckets) do
    bucket.mark = 0

    if #bucket.rings > 0 then
        redis.call("SET", bucket.key, value_of(bucket), "PX",
                   format("%.0f", life_of(bucket)))
        filled = filled + 1

    elseif bucket.present then
        redis.call("DEL", bucket.key)
    end
end

return filled
