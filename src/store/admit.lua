-- Decides requests: checks the quota of every bucket, charges all or none for
-- each, and hands out the sealed access token.
--
-- KEYS  1 credential's record, 2 its bucket of all calls, and for a write
--       3 its bucket of writes, 4 the account's, 5 the team's
-- ARGV  1 "charge"; "peek": the same answer, but nothing is changed; "report":
--         as "charge", but whoever is over quota gets the token all the same,
--         uncharged, since there the verdict is told and not enforced
--       2 deadline in ms of Redis's time, 0: none. From then on the asker is
--         gone, and a charge would be nobody's
--       3 the request's id, for who reads Redis's MONITOR or SLOWLOG
--       4 the account's limits, 5 the team's, as records hold them
--       6 how many requests of this team ask at once; 1 where it is left out.
--         So many in one go cost hardly more than one
--
-- Reply: two strings. The first is "STATUS NOW VERSION EXPIRES", NOW in ms of
-- Redis's time, and after STATUS 0 and 1 " B N W REMAINING RESET" for each
-- limit of each bucket: B is c(alls), w(rites), a(ccount) or t(eam), REMAINING
-- as it is after the answer, RESET in ms until that grows, which is when a
-- limit that refused admits again. The second is the sealed token with STATUS
-- 0, and 1 of "report", else empty.
--
-- Where ARGV 6 is there, a third tells, as an integer, how many were admitted:
-- the first so many of those that ask, each charged in all buckets, the others
-- in none. STATUS is that of the first, REMAINING is what the last has left.
--
-- STATUS  0  admitted, or would be
--         1  over quota
--         2  no such credential, or it has no token
--         3  its token is expired
--         4  after the deadline
--         5  the account is being moved: read anew whose it is

local NAMES = { nil, "c", "w", "a", "t" }

local now = clock()
local now_ms = floor(now / 1000)
local reporting = ARGV[1] == "report"
local charging = reporting or ARGV[1] == "charge"
local deadline = tonumber(ARGV[2])
local room = tonumber(ARGV[6] or 1)

if not (charging or ARGV[1] == "peek") or not deadline
   or #KEYS < 2 or #ARGV < max(3, #KEYS)
   or not room or room < 1 or room % 1 ~= 0
then
    fail("bad arguments for", KEYS[1])
end


local function answer(status, version, expires, token, limits)
    return { status .. format(" %.0f ", now_ms) .. version .. " " .. expires
             .. (limits or ""), token or "",
             ARGV[6] and (limits and room or 0) }
end


if deadline > 0 and now_ms >= deadline then
    return answer("4", "0", "0")
end

local buckets = {}

for i = 2, #KEYS do
    local bucket = read_bucket(KEYS[i], redis.call("GET", KEYS[i]))

    -- A mark that lies further ahead than any is made is of a clock that was
    -- set back since.
    if bucket.mark > now_ms and bucket.mark <= now_ms + MOVE_MS then
        return answer("5", "0", "0")
    end

    buckets[i] = bucket
end

local record = redis.call("HMGET", KEYS[1], "format", "version", "expires",
                          "token", "limits_all", "limits")
local version, expires, token = record[2], record[3], record[4]

if not token or token == "" then
    return answer("2", "0", "0")
end

if record[1] ~= "1" or not find(version or "", "^%d+$")
   or not find(expires or "", "^%d+$")
then
    fail("corrupt record", KEYS[1])
end

if expires ~= "0" and expires * 1000 <= now_ms then
    return answer("3", version, expires)
end


local limits = { nil, record[5], record[6], ARGV[4], ARGV[5] }

for i = 2, #KEYS do
    local text, bucket = limits[i], buckets[i]

    if text and text ~= "" then
        fit(bucket, text, now)

        for j = 1, #bucket.rings do
            room = min(room, max(bucket.rings[j].n - bucket.rings[j].total, 0))
        end

    else
        buckets[i] = false
    end
end


-- A bucket whose slots are still the current ones is changed in place.

local function store(bucket)
    local heads = ""

    if bucket.moved or bucket.refitted or bucket.mark ~= 0 then
        bucket.mark = 0
        redis.call("SET", bucket.key, value_of(bucket), "PX",
                   format("%.0f", life_of(bucket)))
        return
    end

    for i = 1, #bucket.rings do
        heads = heads .. head_of(bucket.rings[i])
    end

    redis.call("SETRANGE", bucket.key, HEADS_AT, heads)
end


local admitted = room > 0
local charged = charging and room or 0
local text = ""

for i = 2, #KEYS do
    local bucket = buckets[i]

    if bucket then
        -- Even a refusal stores rings that were made or dated anew, else
        -- they would begin again with each request, and a full one never end.
        local repaired = bucket.redated
                         or (bucket.refitted and bucket.value)

        for j = 1, #bucket.rings do
            local ring = bucket.rings[j]
            local n, total = ring.n, ring.total + charged

            ring.total = total
            ring.current = ring.current + charged

            text = text .. format(" %s %d %d %d %d", NAMES[i], n, ring.w,
                                  n > total and n - total or 0,
                                  reset_ms(ring, now))
        end

        if charged > 0 or (charging and repaired) then
            store(bucket)
        end
    end
end

return answer(admitted and "0" or "1", version, expires,
              (admitted or reporting) and token, text)
