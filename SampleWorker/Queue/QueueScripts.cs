namespace SampleQueue;

/// <summary>
/// Every change of a task's place is one script, because Redis runs a script whole or not at all: a task is never in
/// two places and never in none, wherever a process dies.
/// </summary>
/// <remarks>
/// <para>Keys, each behind the prefix:</para>
/// <list type="bullet">
/// <item><c>queues</c>: set of the names of all queues.</item>
/// <item><c>queue:NAME</c>: stream of messages (fields id, task, args, attempt, enqueued, trace, tracestate) with the
/// consumer group <c>workers</c>. A message stays in it, pending, until its task has ended, so
/// waiting = length − pending.</item>
/// <item><c>delayed:NAME</c>: sorted set of messages by the time they are due.</item>
/// <item><c>task:ID</c>: hash, what is known of a task, for the monitor. Expires a day after its end.</item>
/// <item><c>running</c>: sorted set of running ids by start; <c>finished</c>: list of the latest finished ids.</item>
/// <item><c>dead</c>: stream of tasks given up. <c>counters:NAME</c>: hash of counts by queue.</item>
/// <item><c>workers</c>: sorted set of workers by heartbeat; <c>worker:NAME</c>: hash.</item>
/// <item><c>schedule</c>: hash, start of the latest slot fired of each periodic task. <c>unique:KEY</c>: id of a unique
/// task.</item>
/// <item>Channels <c>wake</c> (a queue's name: it has something) and <c>events</c> (kind, queue, subject).</item>
/// </list>
/// <para>All times are Redis' own clock in Unix milliseconds, so the clocks of the machines do not matter.
/// Needs Redis 6.2 or later (XPENDING with IDLE).</para>
/// </remarks>
internal static class QueueScripts
{
    public static readonly RedisScript Enqueue = new(Prelude + """
        local q, id, task, args, trace, tracestate, unique, unique_for, delay =
          ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8], tonumber(ARGV[9])
        if unique ~= '' then
          local existing = redis.call('GET', p .. 'unique:' .. unique)
          if existing then return existing end
          redis.call('SET', p .. 'unique:' .. unique, id, 'PX', unique_for)
        end
        enqueue(q, id, task, args, trace, tracestate, delay)
        return id
        """);

    public static readonly RedisScript Take = new(Prelude + """
        local q, consumer, worker, count = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
        local streams = redis.call('XREADGROUP', 'GROUP', 'workers', consumer, 'COUNT', count, 'STREAMS', stream(q), '>')
        local taken = {}
        if streams then
          for _, entry in ipairs(streams[1][2]) do
            begin(q, worker, entry[2])
            taken[#taken + 1] = { entry[1], 1, '', entry[2], ms(now) }
          end
        end
        return taken
        """);

    /// <summary>
    /// Takes over messages that no heartbeat has kept fresh. XAUTOCLAIM in two steps, XPENDING and XCLAIM, because only
    /// XPENDING tells the former owner and the number of deliveries.
    /// </summary>
    public static readonly RedisScript Claim = new(Prelude + """
        local q, consumer, worker, count, min_idle, from = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
        local keep = {}
        for i = 7, #ARGV do keep[ARGV[i]] = true end
        -- Some may be our own and running, late with their heartbeat: look far enough to find others behind them.
        local pending
        if from ~= '' then
          pending = redis.call('XPENDING', stream(q), 'workers', 'IDLE', min_idle, '-', '+', count + #ARGV, from)
        else
          pending = redis.call('XPENDING', stream(q), 'workers', 'IDLE', min_idle, '-', '+', count + #ARGV)
        end
        local taken = {}
        for _, item in ipairs(pending) do
          if #taken < tonumber(count) and not keep[item[1]] then
            local entries = redis.call('XCLAIM', stream(q), 'workers', consumer, min_idle, item[1])
            if entries[1] and entries[1][2] then
              begin(q, worker, entries[1][2])
              count_one(q, 'reclaimed')
              event('reclaimed', q, value_of(entries[1][2], 'id') or '')
              taken[#taken + 1] = { entries[1][1], item[4] + 1, item[2], entries[1][2], ms(now) }
            end
          end
        end
        return taken
        """);

    /// <summary>
    /// Keeps the worker's own messages from being claimed, and tells which of them have been claimed nevertheless.
    /// XCLAIM to oneself with JUSTID sets the idle time to zero and leaves the delivery count alone.
    /// </summary>
    public static readonly RedisScript Heartbeat = new(Prelude + """
        local worker, consumer, state, running = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
        local lost = {}
        for i = 5, #ARGV, 2 do
          local q, entry = ARGV[i], ARGV[i + 1]
          if owned(q, entry, consumer) then
            redis.call('XCLAIM', stream(q), 'workers', consumer, 0, entry, 'JUSTID')
          else
            lost[#lost + 1] = q
            lost[#lost + 1] = entry
          end
        end
        local key = p .. 'worker:' .. worker
        if redis.call('HGET', key, 'state') ~= state then event('worker', '', worker) end
        redis.call('HSET', key, 'heartbeat', ms(now), 'state', state, 'running', running)
        redis.call('PEXPIRE', key, 7200000)
        redis.call('ZADD', p .. 'workers', ms(now), worker)
        return lost
        """);

    public static readonly RedisScript Register = new(Prelude + """
        local worker, concurrency, pid, recycled, dead_after = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
        local key = p .. 'worker:' .. worker
        -- A first executor under a name that was used before (a restarted container, say) begins new counts.
        if recycled == '0' and redis.call('HGET', key, 'state') ~= 'running' then redis.call('DEL', key) end
        redis.call('HSETNX', key, 'started', ms(now))
        redis.call('HSET', key, 'concurrency', concurrency, 'pid', pid, 'recycled', recycled, 'dead_after', dead_after,
          'state', 'running', 'running', 0, 'heartbeat', ms(now))
        redis.call('ZADD', p .. 'workers', ms(now), worker)
        for i = 6, #ARGV do
          redis.call('SADD', p .. 'queues', ARGV[i])
          -- From the beginning, so that what was enqueued before the first worker ever came is not skipped.
          local made = redis.pcall('XGROUP', 'CREATE', stream(ARGV[i]), 'workers', '0', 'MKSTREAM')
          if made.err and not string.find(made.err, 'BUSYGROUP', 1, true) then return made end
        end
        event('worker', '', worker)
        return 1
        """);

    public static readonly RedisScript Succeed = new(Prelude + """
        local q, entry, consumer, worker, id = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
        if not owned(q, entry, consumer) then return 0 end
        drop(q, entry)
        finish(id, 'succeeded')
        count_one(q, 'succeeded')
        redis.call('HINCRBY', p .. 'worker:' .. worker, 'processed', 1)
        event('succeeded', q, id)
        return 1
        """);

    /// <summary>Puts a task aside until its time: after a failed attempt, or deferred without counting one.</summary>
    public static readonly RedisScript Delay = new(Prelude + """
        local q, entry, consumer, worker, id, failure, delay, failed =
          ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], tonumber(ARGV[7]), ARGV[8] == '1'
        if not owned(q, entry, consumer) then return 0 end
        local fields = redis.call('XRANGE', stream(q), entry, entry)[1][2]
        drop(q, entry)
        if failed then
          set_value(fields, 'attempt', ms((tonumber(value_of(fields, 'attempt')) or 1) + 1))
          count_one(q, 'failed')
          count_one(q, 'retried')
          redis.call('HINCRBY', p .. 'worker:' .. worker, 'failed', 1)
        end
        redis.call('ZADD', p .. 'delayed:' .. q, ms(now + delay), cjson.encode(fields))
        redis.call('ZREM', p .. 'running', id)
        redis.call('HSET', p .. 'task:' .. id, 'state', 'delayed', 'error', failure)
        event(failed and 'retried' or 'deferred', q, id)
        return 1
        """);

    public static readonly RedisScript Bury = new(Prelude + """
        local q, entry, consumer, worker, id, failure, attempts =
          ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
        if not owned(q, entry, consumer) then return 0 end
        local fields = redis.call('XRANGE', stream(q), entry, entry)[1][2]
        drop(q, entry)
        redis.call('XADD', p .. 'dead', 'MAXLEN', '~', 10000, '*', 'queue', q, 'worker', worker, 'attempts', attempts,
          'died', ms(now), 'error', failure, 'message', cjson.encode(fields))
        count_one(q, 'failed')
        count_one(q, 'dead')
        redis.call('HINCRBY', p .. 'worker:' .. worker, 'processed', 1)
        redis.call('HINCRBY', p .. 'worker:' .. worker, 'failed', 1)
        if id ~= '' then
          redis.call('HSET', p .. 'task:' .. id, 'error', failure)
          finish(id, 'dead')
        end
        event('dead', q, id)
        return 1
        """);

    /// <summary>Hands a task back unfinished, for any worker to take at once.</summary>
    public static readonly RedisScript Release = new(Prelude + """
        local q, entry, consumer, id = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
        if not owned(q, entry, consumer) then return 0 end
        local fields = redis.call('XRANGE', stream(q), entry, entry)[1][2]
        drop(q, entry)
        push(q, fields)
        redis.call('ZREM', p .. 'running', id)
        redis.call('HSET', p .. 'task:' .. id, 'state', 'queued')
        event('released', q, id)
        return 1
        """);

    public static readonly RedisScript PromoteDelayed = new(Prelude + """
        local promoted = 0
        for _, q in ipairs(redis.call('SMEMBERS', p .. 'queues')) do
          local key = p .. 'delayed:' .. q
          for _, member in ipairs(redis.call('ZRANGEBYSCORE', key, '-inf', ms(now), 'LIMIT', 0, 100)) do
            redis.call('ZREM', key, member)
            local fields = cjson.decode(member)
            push(q, fields)
            redis.call('HSET', p .. 'task:' .. (value_of(fields, 'id') or ''), 'state', 'queued')
            promoted = promoted + 1
          end
        end
        return promoted
        """);

    /// <summary>
    /// Fires the periodic tasks whose slot has begun. Time is cut into slots of the task's interval; the check that a
    /// slot is new, the note that it is fired and the message are one script on one clock. So a slot fires once
    /// however many workers ask, and no crash can note a slot without enqueuing its task, as it could between a
    /// SET NX and an enqueue; and there is no leader whose death would have to be noticed.
    /// </summary>
    public static readonly RedisScript FireSchedule = new(Prelude + """
        local fired = {}
        for i = 1, #ARGV, 5 do
          local q, task, args, every, id = ARGV[i], ARGV[i + 1], ARGV[i + 2], tonumber(ARGV[i + 3]), ARGV[i + 4]
          -- The start of the slot, not its number, which would jump when the interval is changed.
          local slot = now - now % every
          local last = tonumber(redis.call('HGET', p .. 'schedule', task) or '-1')
          if slot > last then
            redis.call('HSET', p .. 'schedule', task, ms(slot))
            enqueue(q, id, task, args, '', '', 0)
            fired[#fired + 1] = task
          end
        end
        return fired
        """);

    /// <summary>Forgets a consumer that owns nothing; one that still owns messages stays until they are claimed.</summary>
    public static readonly RedisScript Leave = new(Prelude + """
        local worker, consumer, state = ARGV[1], ARGV[2], ARGV[3]
        for i = 4, #ARGV do
          if #redis.call('XPENDING', stream(ARGV[i]), 'workers', '-', '+', 1, consumer) == 0 then
            redis.call('XGROUP', 'DELCONSUMER', stream(ARGV[i]), 'workers', consumer)
          end
        end
        redis.call('HSET', p .. 'worker:' .. worker, 'state', state, 'running', 0, 'heartbeat', ms(now))
        redis.call('ZADD', p .. 'workers', ms(now), worker)
        event('worker', '', worker)
        return 1
        """);

    /// <summary>Forgets consumers and workers that nobody has heard of for an hour and that own nothing.</summary>
    public static readonly RedisScript Tidy = new(Prelude + """
        local forgotten = 0
        for _, q in ipairs(redis.call('SMEMBERS', p .. 'queues')) do
          local consumers = redis.pcall('XINFO', 'CONSUMERS', stream(q), 'workers')
          if not consumers.err then
            for _, consumer in ipairs(consumers) do
              local pending, idle = tonumber(value_of(consumer, 'pending')), tonumber(value_of(consumer, 'idle'))
              if pending == 0 and idle > 3600000 then
                redis.call('XGROUP', 'DELCONSUMER', stream(q), 'workers', value_of(consumer, 'name'))
                forgotten = forgotten + 1
              end
            end
          end
        end
        redis.call('ZREMRANGEBYSCORE', p .. 'workers', '-inf', ms(now - 3600000))
        return forgotten
        """);

    public static readonly RedisScript RequeueDead = new(Prelude + """
        local entry = redis.call('XRANGE', p .. 'dead', ARGV[1], ARGV[1])[1]
        if not entry then return 0 end
        local q, fields = value_of(entry[2], 'queue'), cjson.decode(value_of(entry[2], 'message'))
        redis.call('XDEL', p .. 'dead', ARGV[1])
        set_value(fields, 'attempt', '1')
        set_value(fields, 'enqueued', ms(now))
        push(q, fields)
        local id = value_of(fields, 'id')
        if id then
          redis.call('HSET', p .. 'task:' .. id, 'state', 'queued', 'attempt', 1)
          redis.call('PERSIST', p .. 'task:' .. id)
          redis.call('LREM', p .. 'finished', 0, id)
        end
        event('enqueued', q, id or '')
        return 1
        """);

    public static readonly RedisScript ReadQueues = new(Prelude + """
        local all = {}
        for _, q in ipairs(redis.call('SMEMBERS', p .. 'queues')) do
          local pending = redis.pcall('XPENDING', stream(q), 'workers')
          local running = pending.err and 0 or pending[1]
          all[#all + 1] = { q, redis.call('XLEN', stream(q)), running, redis.call('ZCARD', p .. 'delayed:' .. q),
            redis.call('HGETALL', p .. 'counters:' .. q) }
        end
        return all
        """);

    public static readonly RedisScript ReadTasks = new(Prelude + """
        local ids
        if ARGV[1] == 'running' then
          ids = redis.call('ZRANGE', p .. 'running', 0, ARGV[2] - 1)
        elseif ARGV[1] == 'finished' then
          ids = redis.call('LRANGE', p .. 'finished', 0, ARGV[2] - 1)
        else
          ids = { ARGV[2] }
        end
        local all = {}
        for _, id in ipairs(ids) do
          local record = redis.call('HGETALL', p .. 'task:' .. id)
          if #record > 0 then all[#all + 1] = { id, record } end
        end
        return all
        """);

    public static readonly RedisScript ReadWorkers = new(Prelude + """
        local all = { ms(now) }
        for _, name in ipairs(redis.call('ZRANGE', p .. 'workers', 0, -1)) do
          all[#all + 1] = { name, redis.call('HGETALL', p .. 'worker:' .. name) }
        end
        return all
        """);

    private const string Prelude = """
        local p = KEYS[1]
        local clock = redis.call('TIME')
        local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

        local function ms(number) return string.format('%.0f', number) end
        local function stream(q) return p .. 'queue:' .. q end
        local function event(kind, q, subject) redis.call('PUBLISH', p .. 'events', kind .. ' ' .. q .. ' ' .. subject) end
        local function count_one(q, what) redis.call('HINCRBY', p .. 'counters:' .. q, what, 1) end

        local function value_of(fields, name)
          for i = 1, #fields - 1, 2 do
            if fields[i] == name then return fields[i + 1] end
          end
        end

        local function set_value(fields, name, value)
          for i = 1, #fields - 1, 2 do
            if fields[i] == name then fields[i + 1] = value return end
          end
          fields[#fields + 1] = name
          fields[#fields + 1] = value
        end

        local function push(q, fields)
          redis.call('XADD', stream(q), '*', unpack(fields))
          redis.call('PUBLISH', p .. 'wake', q)
        end

        local function enqueue(q, id, task, args, trace, tracestate, delay)
          local fields = { 'id', id, 'task', task, 'args', args, 'attempt', '1', 'enqueued', ms(now) }
          if trace ~= '' then
            fields[#fields + 1] = 'trace'
            fields[#fields + 1] = trace
          end
          if tracestate ~= '' then
            fields[#fields + 1] = 'tracestate'
            fields[#fields + 1] = tracestate
          end
          redis.call('SADD', p .. 'queues', q)
          redis.call('HSET', p .. 'task:' .. id, 'task', task, 'queue', q, 'args', args, 'attempt', 1,
            'enqueued', ms(now), 'state', delay > 0 and 'delayed' or 'queued')
          if delay > 0 then
            redis.call('ZADD', p .. 'delayed:' .. q, ms(now + delay), cjson.encode(fields))
          else
            push(q, fields)
          end
          event('enqueued', q, id)
        end

        local function owned(q, entry, consumer)
          local pending = redis.call('XPENDING', stream(q), 'workers', entry, entry, 1)
          return #pending == 1 and pending[1][2] == consumer
        end

        local function drop(q, entry)
          redis.call('XACK', stream(q), 'workers', entry)
          redis.call('XDEL', stream(q), entry)
        end

        local function begin(q, worker, fields)
          local id = value_of(fields, 'id')
          if not id then return end
          redis.call('HSET', p .. 'task:' .. id, 'state', 'running', 'worker', worker, 'started', ms(now), 'queue', q,
            'task', value_of(fields, 'task') or '', 'args', value_of(fields, 'args') or '',
            'attempt', value_of(fields, 'attempt') or '1', 'enqueued', value_of(fields, 'enqueued') or ms(now))
          redis.call('ZADD', p .. 'running', ms(now), id)
          event('started', q, id)
        end

        local function finish(id, state)
          local key = p .. 'task:' .. id
          redis.call('ZREM', p .. 'running', id)
          redis.call('HSET', key, 'state', state, 'finished', ms(now))
          redis.call('PEXPIRE', key, 86400000)
          redis.call('LPUSH', p .. 'finished', id)
          redis.call('LTRIM', p .. 'finished', 0, 999)
        end


        """;
}
