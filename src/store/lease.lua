-- Leases: units that a gateway takes beforehand, and may spend while it can't
-- reach Redis. They are charged to the credential and the account from then on,
-- spent or not, until W after the last moment at which they may be spent.
--
-- KEYS  1 credential's record, 2 its bucket of all calls, 3 of writes, 4 the
--       account's, 5 what the account's teams share, 6 what is leased of all
--       calls, 7 of writes, 8 of the account, 9 the lease
-- ARGV  1 "hold": takes units, or renews those that it holds
--         "return": gives them back, when the gateway reaches Redis again: what
--         it spent counts from when it spent it, what it did not is free
--       2 the account's limits, as records hold them
--       3 the sum of the account's reserves, 0: none
--       4 to hold: how many units it wants, with those that it holds
--         to return: what it spent, "TIME COUNT" and so on; empty: nothing.
--         TIME in ms of Redis's time: NOW of the last answer that it had, and
--         the time since it sent that question, so rather later than earlier
--       5 to hold: deadline in ms of Redis's time. From then on nothing is
--         done, and before it the gateway spends none that it has no answer for
--
-- Reply: two integers. To hold: how many units it holds now, all to be spent
-- within LEASE_S of when it sent the question, by its own monotonic clock; and
-- NOW in ms of Redis's time. 0 units: it got none, and nothing was changed:
-- what it held may be spent as before. Holding never makes a lease smaller, so
-- it does no harm when the answer is lost.
-- To return: how many units the lease had. 0: it was returned before, or aged
-- out; and NOW.
--
-- A lease's name is of the gateway's life (as long as it remembers what it
-- spent), the account, and a number that grows with each return: a lease that
-- was returned is never held again. Nobody returns those of a gateway that
-- died: they age out.
--
-- All units of a credential are at most a tenth of each of its limits, N / 10
-- rounded down, and never so many that a limit would be exceeded.

local CALLS, ACCOUNT, SHARED, LEASED, LEASE = 2, 4, 5, 6, 9

local now = clock()
local now_ms = floor(now / 1000)
local holding = ARGV[1] == "hold"
local reserved = tonumber(ARGV[3])
local wanted, deadline, spent = 1, 0, {}

if holding then
    wanted, deadline = tonumber(ARGV[4]), tonumber(ARGV[5])

else
    for at, count in string.gmatch(ARGV[4] or "x", "(%d+) (%d+)") do
        spent[#spent + 1] = { at = at * 1000, count = tonumber(count) }
    end
end

if #KEYS ~= LEASE or not (holding or ARGV[1] == "return")
   or not reserved or not wanted or wanted < 1 or wanted % 1 ~= 0
   or not deadline or not find(ARGV[4] or "x", "^[%d ]*$")
then
    fail("bad arguments for", KEYS[#KEYS])
end

local record = redis.call("HMGET", KEYS[1], "format", "limits_all", "limits")
local limits = { nil, record[2], record[3], ARGV[2] }
local lease = redis.call("GET", KEYS[LEASE])
local held, held_at = 0, 0

if lease then
    local _, _, units, at = find(lease, "^(%d+) (%d+)$")

    if not units then
        fail("corrupt lease", KEYS[LEASE])
    end

    held, held_at = tonumber(units), tonumber(at)
end

if holding and (now_ms >= deadline or record[1] ~= "1")
   or not holding and held == 0
then
    return { 0, now_ms }
end


-- Counts "count" at slot number "slot", where that counts still; what is not
-- yet, after the clock was set back, counts from now.

local function put(ring, slot, count)
    local age = max(ring.slot - slot, 0)
    local from = (KEPT_SLOTS - age) * 3
    local body = body_of(ring)

    if age > KEPT_SLOTS or count == 0 then
        return
    end

    ring.total = ring.total + count

    if age == 0 then
        ring.current = ring.current + count
        return
    end

    ring.body = sub(body, 1, from)
                .. pack("<I3", unpack("<I3", body, from + 1) + count)
                .. sub(body, from + 4)
    ring.age = max(ring.age, age)
end


local function store(bucket)
    local life = max(life_of(bucket), bucket.mark - now_ms)

    redis.call("SET", bucket.key, value_of(bucket), "PX",
               format("%.0f", life))

    return life
end


-- A bucket, and what is leased of it without this lease. A ring that does not
-- hold the units where they were charged keeps them, until they age out.

local function open(i)
    local key = KEYS[LEASED + i - CALLS]
    local bucket = read_bucket(KEYS[i], redis.call("GET", KEYS[i]))
    local leased = read_bucket(key, redis.call("GET", key))

    fit(bucket, limits[i], now)
    fit(leased, limits[i], now, LEASE_S)

    for _, ring in ipairs(held_at > leased.unsure * 1000 and leased.rings or {})
    do
        take(ring, floor(held_at / (ring.w * SLOT_US)), held)
    end

    lease_out(bucket, leased)

    return bucket, leased
end


local buckets, leased = {}, {}

for i = CALLS, ACCOUNT do
    if limits[i] and limits[i] ~= "" then
        buckets[i], leased[i] = open(i)
    end
end

if buckets[ACCOUNT] and reserved > 0 then
    local longest = longest_of(buckets[ACCOUNT])
    local shared = read_bucket(KEYS[SHARED], redis.call("GET", KEYS[SHARED]))

    if not shared.value then
        begin_as(shared, longest)
    end

    -- No team's reserve is leased.
    fit(shared, format("%d/%d", max(longest.n - reserved, 0), longest.w), now)
    shared.rings[1].free = shared.rings[1].n - (longest.n - longest.free)
    buckets[SHARED] = shared
end


if not holding then
    for _, bucket in pairs(buckets) do
        for _, ring in ipairs(bucket.rings) do
            for _, one in ipairs(spent) do
                put(ring, floor(one.at / (ring.w * SLOT_US)), one.count)
            end
        end

        if #spent > 0 then
            store(bucket)
        end
    end

    for _, bucket in pairs(leased) do
        store(bucket)
    end

    redis.call("DEL", KEYS[LEASE])

    return { held, now_ms }
end


local units = min(max(wanted, held), MAX_N)
local life = 2000 * LEASE_S

for i, bucket in pairs(buckets) do
    if bucket.mark > now_ms and bucket.mark <= now_ms + MOVE_MS then
        return { 0, now_ms }
    end

    for _, ring in ipairs(bucket.rings) do
        units = min(units, ring.free - ring.total)

        if i < ACCOUNT then
            units = min(units, floor(ring.n / 10) - (ring.n - ring.free))
        end
    end
end

if units < max(held, 1) then
    return { 0, now_ms }
end

for _, bucket in pairs(leased) do
    for _, ring in ipairs(bucket.rings) do
        put(ring, ring.slot, units)
    end

    life = max(life, store(bucket))
end

redis.call("SET", KEYS[LEASE], format("%d %.0f", units, now), "PX",
           format("%.0f", life))

return { units, now_ms }
