-- Takes a wish for a newer token away, if it is still the same.
--
-- KEYS  1 the wishes
-- ARGV  1 the credential, 2 the wish
--
-- Reply: 1, or 0 where it is another now, or none.

if redis.call("HGET", KEYS[1], ARGV[1]) ~= ARGV[2] then
    return 0
end

return redis.call("HDEL", KEYS[1], ARGV[1])
