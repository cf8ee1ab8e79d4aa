-- Copyright (C) the ngx_pinaud_module authors
--
-- Buckets: what all scripts share. embed.sh puts this file before each.
--
-- A bucket is one string that holds a ring for each of its limits. A ring
-- counts the requests of the last W seconds, by Redis's own clock, in slots
-- of W/80. A request counts until 82 whole slots have passed after its own,
-- so at least W + W/40: in any window of W at most N are admitted, and still
-- are when they reach Pinterest up to W/40 later than they were admitted. A
-- full ring gives each slot back after 83, so that 80/83 of N can be used.
--
--     1 byte   format, 1
--     6 bytes  the bucket is being moved until then, in ms; 0: it is not
--     6 bytes  charges up to then, in ms, cannot be given back: the clock was
--              set back since, and what is counted when is not sure any more
--     a ring's head, for each:
--         3 bytes  W in seconds, which is the ring's name
--         6 bytes  number of the current slot: time / (W/80)
--         1 byte   slots since the oldest slot that holds a count
--         3 bytes  total of all slots
--         3 bytes  count of the current slot
--     a ring's body, for each: counts of the 82 slots before, oldest first,
--         3 bytes each
--
-- All integers are little endian. As long as the slot stays the same, only
-- heads are read and written. A value of another form is an error and never
-- an empty bucket, which would let everything through.

local FORMAT = 1
local WINDOW_SLOTS = 80
local KEPT_SLOTS = 82
local SLOT_US = 1000000 / WINDOW_SLOTS  -- for each second of W
local MAX_LIMITS = 4
local MAX_N = 1000000
local MAX_WINDOW = 86400

-- How long units that a gateway took beforehand may be spent, in seconds: they
-- are counted by rings of W + LEASE_S, which is W after the last may be.
local LEASE_S = 60

local START_FORM, START_SIZE = "<BI6I6", 13
local HEADS_AT = "13"  -- text: Lua prints numbers slowly
local HEAD_FORM, HEAD_SIZE = "<I3I6BI3I3", 16
local BODY_SIZE = KEPT_SLOTS * 3
local EMPTY_BODY = string.rep("\0", BODY_SIZE)

-- How long a bucket that is being moved admits nothing. More than twice as
-- long as a gateway keeps an account's policy.
local MOVE_MS = 10000

-- How long a cooldown lasts at most, but with the tier "trial": that is of a
-- limit by the day.
local COOLDOWN_MS = 120000
local MINUTE_MS = 60000
local DAY_MS = 86400000

local pack, unpack = struct.pack, struct.unpack
local ceil, floor = math.ceil, math.floor
local max, min = math.max, math.min
local format, sub, find = string.format, string.sub, string.find


local function fail(what, key)
    error({ err = "PINAUD " .. what .. " " .. key })
end


-- Redis's time in microseconds, an exact integer as Lua's numbers go.

local function clock()
    local time = redis.call("TIME")

    return time[1] * 1000000 + time[2]
end


local function next_multiple(ms, of)
    return (floor(ms / of) + 1) * of
end


-- Until when a cooldown can be that was made by now.

local function latest_cooldown(tier, now_ms)
    return tier == "trial" and next_multiple(now_ms, DAY_MS)
           or now_ms + COOLDOWN_MS
end


-- Until when a cooldown is in force, by its field; else 0. One that ends later
-- than any can is of a clock that was set back since.

local function cooldown_of(value, now_ms, latest, key)
    local ends = tonumber(value or 0)

    if not ends or ends % 1 ~= 0 then
        fail("corrupt cooldown", key)
    end

    return ends > now_ms and ends <= latest and ends or 0
end


-- Where the first counter that is not zero begins, from the counter at "at".

local function next_used(body, at)
    at = find(body, "[^%z]", at)

    return at and at - (at - 1) % 3
end


-- A ring's body, which is cut out of the bucket's value only when needed.

local function body_of(ring)
    local body = ring.body

    if not body then
        body = sub(ring.value, ring.at, ring.at + BODY_SIZE - 1)
        ring.body = body
    end

    return body
end


-- Brings a ring to a later slot.

local function advance(ring, slot)
    local steps, body, at = slot - ring.slot

    ring.slot = slot

    if ring.total == 0 then
        return
    end

    if steps > KEPT_SLOTS then
        ring.age, ring.total, ring.current = 0, 0, 0
        ring.body = EMPTY_BODY
        return
    end

    body = body_of(ring) .. pack("<I3", ring.current)
           .. sub(EMPTY_BODY, 1, (steps - 1) * 3)

    ring.current = 0
    ring.age = ring.age + steps

    if ring.age > KEPT_SLOTS then
        at = next_used(body, 1)

        while at and at <= steps * 3 do
            ring.total = ring.total - unpack("<I3", body, at)
            at = next_used(body, at + 3)
        end

        ring.age = at and KEPT_SLOTS + steps - (at - 1) / 3 or 0
    end

    ring.body = sub(body, steps * 3 + 1)
end


-- Reads a bucket's value as it stands: its rings and until when it is being
-- moved. No value is a bucket without rings.

local function read_bucket(key, value)
    local bucket = {
        key = key, value = value, rings = {}, mark = 0, unsure = 0
    }
    local form, count, head, body

    if not value then
        return bucket
    end

    count = (#value - START_SIZE) / (HEAD_SIZE + BODY_SIZE)

    if count % 1 ~= 0 or count < 0 or count > MAX_LIMITS then
        fail("corrupt bucket", key)
    end

    form, bucket.mark, bucket.unsure = unpack(START_FORM, value)

    if form ~= FORMAT then
        fail("corrupt bucket", key)
    end

    head = START_SIZE + 1
    body = head + count * HEAD_SIZE

    for i = 1, count do
        local w, slot, age, total, current = unpack(HEAD_FORM, value, head)

        if w < 1 or w > MAX_WINDOW + LEASE_S or age > KEPT_SLOTS
            or current > total
        then
            fail("corrupt bucket", key)
        end

        bucket.rings[i] = {
            w = w, slot = slot, age = age, total = total, current = current,
            value = value, at = body
        }

        head = head + HEAD_SIZE
        body = body + BODY_SIZE
    end

    return bucket
end


-- Dates a ring anew, because the clock was set back: it keeps all that it
-- counted, so nothing extra is admitted and it is not stuck until the clock
-- is again where it was. How far the current slot had gone is not known: what
-- was counted one slot ago may have been a moment ago, and so on, so each slot
-- becomes one younger.

local function redate(ring, slot)
    local body = body_of(ring)

    ring.slot = slot
    ring.age = max(ring.age - 1, 0)
    ring.current = ring.current + unpack("<I3", body, BODY_SIZE - 2)
    ring.body = "\0\0\0" .. sub(body, 1, BODY_SIZE - 3)
end


-- Brings a bucket's rings to the time "now".

local function bring(bucket, now)
    local rings = bucket.rings

    for i = 1, #rings do
        local ring = rings[i]
        local slot = floor(now / (ring.w * SLOT_US))

        if slot > ring.slot then
            bucket.moved = true
            advance(ring, slot)

            if ring.total < 0 then
                fail("corrupt bucket", bucket.key)
            end

        elseif slot < ring.slot then
            bucket.moved = true
            bucket.redated = true
            bucket.unsure = max(bucket.unsure,
                                (ring.slot + 1) * ring.w * SLOT_US / 1000)
            redate(ring, slot)
        end
    end
end


-- Takes up to "count" from slot number "slot", and returns how many. A ring
-- that was begun or dated anew since does not hold the slot: then the charge
-- stays, which lets nothing extra through.

local function take(ring, slot, count)
    local age = ring.slot - slot
    local from = (KEPT_SLOTS - age) * 3
    local there

    if age == 0 then
        there = ring.current

    elseif age > 0 and age <= KEPT_SLOTS then
        there = unpack("<I3", body_of(ring), from + 1)

    else
        return 0
    end

    count = min(count, there)

    if count == 0 then
        return 0
    end

    ring.total = ring.total - count

    if age == 0 then
        ring.current = there - count
        return count
    end

    ring.body = sub(ring.body, 1, from) .. pack("<I3", there - count)
                .. sub(ring.body, from + 4)

    if count == there and age == ring.age then
        from = next_used(ring.body, from + 1)
        ring.age = from and KEPT_SLOTS - (from - 1) / 3 or 0
    end

    return count
end


-- Gives a bucket rings of other windows than it has. A limit of a new window
-- starts with the most that any ring counted, as if it were of now: changing
-- a window is no way to a new quota.

local function refit(bucket, limits, now, ahead)
    local rings, by_window, most = {}, {}, 0

    for _, ring in ipairs(bucket.rings) do
        by_window[ring.w] = ring
        ring.n = nil
        most = max(most, ring.total)
    end

    for n, w in string.gmatch(limits, "(%d+)/(%d+)") do
        local ring

        w = w + ahead
        ring = by_window[w]

        if not ring then
            ring = {
                w = w, slot = floor(now / (w * SLOT_US)), age = 0,
                total = most, current = most, body = EMPTY_BODY
            }
            by_window[w] = ring

        elseif ring.n then
            fail("two limits of one window for", bucket.key)
        end

        ring.n = tonumber(n)
        ring.free = ring.n
        rings[#rings + 1] = ring
    end

    bucket.rings = rings
    bucket.refitted = true
end


-- Brings a bucket to the time "now" and gives its rings, in their order, the
-- limits, which have the form of records: "400/60 100/1". The windows are
-- longer by "ahead" seconds, if it is told. "free" is what of N is not leased.

local function fit(bucket, limits, now, ahead)
    local rings, count, at, fits = bucket.rings, 0, 1, true

    ahead = ahead or 0

    bring(bucket, now)

    while at <= #limits do
        local _, last, n, w = find(limits, "^(%d+)/(%d+) ?", at)
        local ring

        if not last then
            fail("bad limits for", bucket.key)
        end

        at, n, w, count = last + 1, n + 0, w + 0, count + 1
        ring = rings[count]

        if n > MAX_N or w < 1 or w > MAX_WINDOW or count > MAX_LIMITS then
            fail("bad limits for", bucket.key)
        end

        if ring and ring.w == w + ahead then
            ring.n = n
            ring.free = n

        else
            fits = false
        end
    end

    if not fits or count ~= #rings then
        refit(bucket, limits, now, ahead)
    end
end


-- The ring of an account's longest limit, which reserves split.

local function longest_of(bucket)
    local longest

    for _, ring in ipairs(bucket.rings) do
        if not longest or ring.w > longest.w then
            longest = ring
        end
    end

    return longest
end


-- What all teams share begins as the account's own ring. It is stored with
-- each charge of a reserve, too: so where it is not there, no reserve counted
-- for a whole window, and all that the account used was used from it.

local function begin_as(bucket, ring)
    bucket.refitted = true
    bucket.rings = { {
        w = ring.w, slot = ring.slot, age = ring.age, total = ring.total,
        current = ring.current, body = body_of(ring)
    } }
end


-- What is leased of a bucket's limits is not free. Units are renewed as long as
-- their gateway lives: so when they may end is no time to wait for.

local function lease_out(bucket, leased)
    for i, ring in ipairs(bucket.rings) do
        ring.free = ring.free - leased.rings[i].total
    end
end


local function head_of(ring)
    return pack(HEAD_FORM, ring.w, ring.slot, ring.age, ring.total,
                ring.current)
end


local function value_of(bucket)
    local heads, bodies = {}, {}

    for i, ring in ipairs(bucket.rings) do
        heads[i] = head_of(ring)
        bodies[i] = body_of(ring)
    end

    return pack(START_FORM, FORMAT, bucket.mark, bucket.unsure)
           .. table.concat(heads) .. table.concat(bodies)
end


-- How long a bucket must be kept, in ms: a slot longer than anything in it
-- counts.

local function life_of(bucket)
    local longest = 1

    for _, ring in ipairs(bucket.rings) do
        longest = max(longest, ring.w)
    end

    return longest * SLOT_US * (KEPT_SLOTS + 2) / 1000
end


-- Milliseconds until a ring, brought to "now", lets one more through than it
-- would now; 0 when it counts nothing. A limit of 0 never does, nor one that is
-- all leased: W.

local function reset_ms(ring, now)
    local n, age = ring.free, ring.age
    local left, at

    if n <= 0 then
        return ring.w * 1000
    end

    if ring.total == 0 then
        return 0
    end

    if ring.total > n then
        -- N was lowered: more than the oldest slot has to go.
        left = ring.total
        at = next_used(body_of(ring), 1)

        while at do
            age = KEPT_SLOTS - (at - 1) / 3
            left = left - unpack("<I3", ring.body, at)

            if left < n then
                break
            end

            at = next_used(ring.body, at + 3)
        end

        if left >= n then
            age = 0
        end
    end

    return ceil(((ring.slot - age + KEPT_SLOTS + 1) * ring.w * SLOT_US - now)
                / 1000)
end
