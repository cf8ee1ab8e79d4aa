-- Changes in one slot of a cluster, all or none: where each guarded key still
-- holds what its fingerprint says, the commands are done.
--
-- KEYS: those guarded, then those of the commands
-- ARGV: how many are guarded; their fingerprints; of each command how many
-- words it has, and these
-- Reply: 1 done, 0 somebody was faster

local guards = tonumber(ARGV[1])

for i = 1, guards do
    if redis.sha1hex(redis.call("DUMP", KEYS[i]) or "") ~= ARGV[i + 1] then
        return 0
    end
end

local at = guards + 2

while at <= #ARGV do
    local words = tonumber(ARGV[at])

    redis.call(unpack(ARGV, at + 1, at + words))
    at = at + words + 1
end

return 1
