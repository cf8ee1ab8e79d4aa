-- What a key holds, as a fingerprint: the same as long as it is the same.

return redis.sha1hex(redis.call("DUMP", KEYS[1]) or "")
