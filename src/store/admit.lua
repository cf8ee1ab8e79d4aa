-- Decides requests: checks the quota of every bucket, charges all or none for
-- each, and hands out the sealed access token.
--
-- KEYS  1 credential's record, 2 its bucket of all calls, and for a write
--       3 its bucket of writes, 4 the account's, 5 the team's, 6 the team's
--       reserve, 7 what the account's teams share beside their reserves; then
--       what is leased of all calls, and for a write of writes and of the
--       account; last, so 4 or 11, the credential's cooldown
-- ARGV  1 "charge"; "peek": the same answer, but nothing is changed; "report":
--         as "charge", but whoever is over quota gets the token all the same,
--         uncharged, since there the verdict is told and not enforced
--       2 deadline in ms of Redis's time, 0: none. From then on the asker is
--         gone, and a charge would be nobody's
--       3 the request's id, for who reads Redis's MONITOR or SLOWLOG
--       4 the account's limits, 5 the team's, as records hold them
--       6 how many requests of this team ask at once; 1 where it is left out.
--         So many in one go cost hardly more than one
--       7 "R S": the team's reserve, and the sum of all of the account's;
--         "0 0", as where it is left out: nothing is reserved, and KEYS 6 and 7
--         are not looked at
--
-- Reply: two strings. The first is "STATUS NOW VERSION EXPIRES", NOW in ms of
-- Redis's time, and after STATUS 0 and 1 " B N W REMAINING RESET" for each
-- limit of each bucket: B is c(alls), w(rites), a(ccount) or t(eam), REMAINING
-- as it is after the answer, RESET in ms until that grows, which is when a
-- limit that refused admits again. Where something is reserved the account's
-- longest limit tells in both what this team can have of it. In a cooldown
-- that Pinterest's own refusal began STATUS is 1 and only " p 0 0 0 RESET"
-- follows. The second is the sealed token with STATUS 0, and 1 of "report",
-- else empty.
--
-- Where ARGV 6 is there, a third tells, as an integer, how many were admitted:
-- the first so many of those that ask, each charged in all buckets, the others
-- in none. STATUS is that of the first, REMAINING is what the last has left.
-- Where ARGV 7 is there, a fourth tells how many of the admitted, again the
-- first, were charged to the team's reserve. The others were to what is shared,
-- if something is reserved.
--
-- STATUS  0  admitted, or would be
--         1  over quota
--         2  no such credential, or it has no token
--         3  its token is expired
--         4  after the deadline
--         5  the account is being moved: read anew whose it is

local NAMES = { nil, "c", "w", "a", "t" }
local CALLS, ACCOUNT, TEAM, RESERVE, SHARED = 2, 4, 5, 6, 7
local COOLDOWN = #KEYS
local LEASED = COOLDOWN > 4 and 8 or 3

local now = clock()
local now_ms = floor(now / 1000)
local reporting = ARGV[1] == "report"
local charging = reporting or ARGV[1] == "charge"
local deadline = tonumber(ARGV[2])
local room = tonumber(ARGV[6] or 1)
local last = COOLDOWN > 4 and TEAM or CALLS
local reserve, reserved, by_reserve = 0, 0, 0

if not (charging or ARGV[1] == "peek") or not deadline
   or COOLDOWN ~= (last == TEAM and 11 or 4) or #ARGV < max(3, last)
   or not room or room < 1 or room % 1 ~= 0
then
    fail("bad arguments for", KEYS[1])
end

if last == TEAM and ARGV[7] and ARGV[7] ~= "0 0" then
    local _, _, one, all = find(ARGV[7], "^(%d+) (%d+)$")

    reserve, reserved = tonumber(one), tonumber(all)

    if not one or reserved == 0 or reserve > reserved then
        fail("bad reserves for", KEYS[ACCOUNT])
    end
end


local function answer(status, version, expires, token, limits)
    return { status .. format(" %.0f ", now_ms) .. version .. " " .. expires
             .. (limits or ""), token or "",
             ARGV[6] and (limits and room or 0), ARGV[7] and by_reserve }
end


if deadline > 0 and now_ms >= deadline then
    return answer("4", "0", "0")
end

local buckets = {}

for i = CALLS, reserved > 0 and SHARED or last do
    local bucket = read_bucket(KEYS[i], redis.call("GET", KEYS[i]))

    -- A mark that lies further ahead than any is made is of a clock that was
    -- set back since.
    if bucket.mark > now_ms and bucket.mark <= now_ms + MOVE_MS then
        return answer("5", "0", "0")
    end

    buckets[i] = bucket
end

local record = redis.call("HMGET", KEYS[1], "format", "version", "expires",
                          "token", "limits_all", "limits", "tier")
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


-- A cooldown of all calls, for a write one of writes, too.

local cooldown = redis.call("HMGET", KEYS[COOLDOWN], "all", "writes")

if cooldown[1] or (cooldown[2] and last == TEAM) then
    local latest = latest_cooldown(record[7], now_ms)
    local ends = cooldown_of(cooldown[1], now_ms, latest, KEYS[COOLDOWN])

    if last == TEAM then
        ends = max(ends, cooldown_of(cooldown[2], now_ms, latest,
                                     KEYS[COOLDOWN]))
    end

    if ends > 0 then
        room = 0

        return answer("1", version, expires, reporting and token,
                      format(" p 0 0 0 %.0f", ends - now_ms))
    end
end


local limits = { nil, record[5], record[6], ARGV[4], ARGV[5] }
local leases = redis.call("EXISTS", KEYS[LEASED],
                          KEYS[last == TEAM and LEASED + 1 or LEASED],
                          KEYS[last == TEAM and LEASED + 2 or LEASED]) > 0

for i = CALLS, last do
    local text, bucket = limits[i], buckets[i]

    if text and text ~= "" then
        fit(bucket, text, now)

        if leases and i <= ACCOUNT then
            local key = KEYS[LEASED + i - CALLS]
            local leased = read_bucket(key, redis.call("GET", key))

            fit(leased, text, now, LEASE_S)
            lease_out(bucket, leased)
        end

        for j = 1, #bucket.rings do
            room = min(room, max(bucket.rings[j].free - bucket.rings[j].total,
                                 0))
        end

    else
        buckets[i] = false
    end
end


-- Splits the account's longest limit: the team's reserve goes first, then what
-- is left to all beside the reserves. The account's own ring counts both.

local pools, longest = {}

local function split(account)
    longest = account and longest_of(account)

    if not longest then
        fail("reserves without a limit for", KEYS[ACCOUNT])
    end

    if not buckets[SHARED].value then
        begin_as(buckets[SHARED], longest)
    end

    for i, n in pairs({
        [RESERVE] = reserve > 0 and reserve or nil,
        [SHARED] = max(longest.n - reserved, 0)
    }) do
        fit(buckets[i], format("%d/%d", n, longest.w), now)
        pools[i] = buckets[i].rings[1]
    end

    -- No team's reserve is leased.
    pools[SHARED].free = pools[SHARED].n - (longest.n - longest.free)
end


local function left_of(ring)
    local free, total = ring.free, ring.total

    return free > total and free - total or 0, reset_ms(ring, now)
end


-- The same of the account's longest limit, where it is split: the least of
-- what the account has and what the team may take of it.

local function team_left(ring)
    local left, reset = left_of(ring)
    local sum, soonest = 0

    for _, part in pairs(pools) do
        local more, grows = left_of(part)

        sum = sum + more

        if part.free > 0 and grows > 0 then
            soonest = min(soonest or grows, grows)
        end
    end

    soonest = soonest or (sum == 0 and ring.w * 1000 or 0)

    if sum > left then
        return left, reset
    end

    if sum == left then
        return left, (reset == 0 or soonest == 0) and 0 or max(reset, soonest)
    end

    return sum, soonest
end


-- A bucket whose slots are still the current ones is changed in place.

local function changed(bucket)
    return bucket.moved or bucket.refitted or bucket.mark ~= 0
end


local function store(bucket)
    local heads = ""

    if changed(bucket) then
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


-- Even a refusal stores rings that were made or dated anew, else they would
-- begin again with each request, and a full one never end. What is shared is
-- "kept" when a reserve is charged: see begin_as().

local function charge(bucket, count, kept)
    for j = 1, #bucket.rings do
        local ring = bucket.rings[j]

        ring.total = ring.total + count
        ring.current = ring.current + count
    end

    if count > 0 or (kept and changed(bucket))
       or (charging and (bucket.redated or (bucket.refitted and bucket.value)))
    then
        store(bucket)
    end
end


if reserved > 0 then
    local own, shared

    split(buckets[ACCOUNT])

    own = pools[RESERVE] and left_of(pools[RESERVE]) or 0
    shared = left_of(pools[SHARED])

    room = min(room, own + shared)
    by_reserve = min(room, own)

    charge(buckets[RESERVE], charging and by_reserve or 0)
    charge(buckets[SHARED], charging and room - by_reserve or 0,
           charging and by_reserve > 0)
end


local admitted = room > 0
local charged = charging and room or 0
local text = ""

for i = CALLS, last do
    local bucket = buckets[i]

    if bucket then
        charge(bucket, charged)

        for j = 1, #bucket.rings do
            local ring = bucket.rings[j]
            local left, reset = (ring == longest and team_left or left_of)(ring)

            text = text .. format(" %s %d %d %d %d", NAMES[i], ring.n, ring.w,
                                  left, reset)
        end
    end
end

return answer(admitted and "0" or "1", version, expires,
              (admitted or reporting) and token, text)
