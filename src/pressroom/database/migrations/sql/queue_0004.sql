-- The functions of queue.sql that have changed since revision 0003. They are what they are here, whole: read these, not
-- those of their names in queue.sql, which stay as they were released.

-- A change of status is an event, whoever makes it, and whoever waits is told of it.
CREATE OR REPLACE FUNCTION tell_status() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO execution_events (execution_id, attempt, kind, data)
    VALUES (NEW.id, NEW.attempt, 'status', jsonb_strip_nulls(jsonb_build_object(
        'status', NEW.status,
        'reason', NEW.failure ->> 'reason',
        'message', left(NEW.error_message, 2000),
        'not_before', CASE WHEN NEW.status = 'pending' THEN to_jsonb(NEW.not_before) END
    )));
    PERFORM pg_notify('pressroom_executions', NEW.id || ' ' || NEW.status);
    IF OLD.status = 'pending' AND NEW.status <> 'running'
        AND (NEW.notebook_limit IS NOT NULL OR NEW.user_limit IS NOT NULL OR NEW.queue_limit IS NOT NULL) THEN
        PERFORM wake_workers(NEW.queue); -- what a limit held back may have held others back behind it
    END IF;
    RETURN NULL;
END $$;

-- The execution that a worker is to run next, claimed for it: its row is running, its attempt begun, its job doing.
--
-- Of the pending executions in the worker's queues, each user's and notebook's first (highest priority, then oldest)
-- stands for the others behind it. Those that would break a limit on what runs at once are left out. Of the rest the
-- highest priority wins, and within it the user whose last start is longest ago: users take turns, however many
-- executions each of them has waiting.
CREATE OR REPLACE FUNCTION claim_execution(of_queues varchar[], by_worker bigint) RETURNS jsonb
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    moment CONSTANT timestamptz := clock_timestamp();
    chosen integer;
    claimed notebook_executions;
BEGIN
    -- One at a time, or two workers would both take the last place under a limit.
    PERFORM pg_advisory_xact_lock(4851201703);
    LOOP
        WITH RECURSIVE waiting (queue, username, notebook) AS (
            (
                SELECT queue, username, hashtextextended(input_path, 0) FROM notebook_executions
                WHERE status = 'pending'
                ORDER BY queue, username, hashtextextended(input_path, 0) LIMIT 1
            )
            UNION ALL
            SELECT following.* FROM waiting CROSS JOIN LATERAL (
                SELECT e.queue, e.username, hashtextextended(e.input_path, 0) FROM notebook_executions AS e
                WHERE e.status = 'pending'
                    AND (e.queue, e.username, hashtextextended(e.input_path, 0))
                        > (waiting.queue, waiting.username, waiting.notebook)
                ORDER BY e.queue, e.username, hashtextextended(e.input_path, 0) LIMIT 1
            ) AS following
        ),
        first AS (
            SELECT head.*, waiting.notebook FROM waiting CROSS JOIN LATERAL (
                SELECT e.id, e.queue, e.username, e.priority, e.notebook_limit, e.user_limit, e.queue_limit
                FROM notebook_executions AS e
                WHERE e.status = 'pending' AND e.queue = waiting.queue AND e.username = waiting.username
                    AND hashtextextended(e.input_path, 0) = waiting.notebook
                    AND (e.not_before IS NULL OR e.not_before <= moment)
                    AND (e.expires_at IS NULL OR e.expires_at > moment)
                ORDER BY e.priority DESC, e.id LIMIT 1
            ) AS head
            -- A queue whose name begins with @ is one command's own, for nobody who does not name it.
            WHERE (of_queues IS NULL AND waiting.queue NOT LIKE '@%') OR waiting.queue = ANY (of_queues)
        )
        SELECT first.id INTO chosen FROM first
        LEFT JOIN execution_turns AS turns USING (queue, username)
        WHERE (first.notebook_limit IS NULL OR first.notebook_limit > (
                SELECT count(*) FROM notebook_executions AS r
                WHERE r.status = 'running' AND hashtextextended(r.input_path, 0) = first.notebook))
            AND (first.user_limit IS NULL OR first.user_limit > (
                SELECT count(*) FROM notebook_executions AS r
                WHERE r.status = 'running' AND r.username = first.username))
            AND (first.queue_limit IS NULL OR first.queue_limit > (
                SELECT count(*) FROM notebook_executions AS r WHERE r.status = 'running' AND r.queue = first.queue))
        ORDER BY first.priority DESC, coalesce(turns.turn, 0), first.id LIMIT 1;
        IF chosen IS NULL THEN
            RETURN NULL;
        END IF;
        UPDATE notebook_executions
        SET status = 'running', attempt = attempt + 1, started_at = clock_timestamp(), not_before = NULL,
            cells_total = NULL, cells_completed = 0, failure = NULL, error_message = NULL
        WHERE id = chosen AND status = 'pending'
        RETURNING * INTO claimed;
        EXIT WHEN FOUND; -- else it was cancelled in the meantime
    END LOOP;
    UPDATE procrastinate_jobs SET status = 'doing', worker_id = by_worker
    WHERE id = claimed.job_id AND status = 'todo';
    IF NOT FOUND THEN
        RAISE 'execution % has no job that waits', claimed.id;
    END IF;
    INSERT INTO execution_attempts (execution_id, number, worker, worker_id, host, process_id)
    SELECT claimed.id, claimed.attempt, w.name, w.id, w.host, w.process_id FROM workers AS w WHERE w.id = by_worker;
    IF NOT FOUND THEN
        RAISE 'worker % is not registered', by_worker;
    END IF;
    -- Who claims is alive. One sign of life in a tenth of a second is enough, or many claims would fill the table.
    UPDATE procrastinate_workers SET last_heartbeat = clock_timestamp()
    WHERE id = by_worker AND last_heartbeat < clock_timestamp() - interval '0.1 s';
    INSERT INTO execution_turns (queue, username, turn)
    VALUES (claimed.queue, claimed.username, nextval('execution_turns_seq'))
    ON CONFLICT (queue, username) DO UPDATE SET turn = excluded.turn;
    RETURN to_jsonb(claimed) || jsonb_build_object(
        'tries', CASE WHEN claimed.attempt = 1 THEN 1 ELSE counted_tries(claimed.id) END
    );
END $$;

-- Ends the current attempt of an execution that runs, and the execution with it, or puts it back into the queue:
-- `next_status` is success, failed, cancelled or pending, and `back_in` how long a pending one is to wait; `events` are
-- those that the attempt has not told yet. Who wants to know of the end is told. Answers false, and changes nothing,
-- where another attempt has begun or the execution has ended.
CREATE OR REPLACE FUNCTION end_attempt(
    of_execution integer, of_attempt integer, next_status varchar, why varchar, sentence text, facts jsonb,
    took double precision, back_in interval, total integer, completed integer, events jsonb
) RETURNS boolean LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    ended notebook_executions;
    terminal CONSTANT boolean := next_status <> 'pending';
    limited varchar[];
BEGIN
    -- In one statement, so that the triggers tell of the end after what the attempt told.
    WITH end_of AS (
        UPDATE notebook_executions
        SET cells_total = coalesce(total, cells_total), cells_completed = coalesce(completed, cells_completed),
            status = next_status, failure = facts, error_message = sentence,
            execution_time_seconds = CASE WHEN terminal THEN round(took) END,
            completed_at = CASE WHEN terminal THEN clock_timestamp() END,
            not_before = CASE WHEN terminal THEN NULL ELSE clock_timestamp() + back_in END
        WHERE id = of_execution AND attempt = of_attempt AND status = 'running' RETURNING *
    ), told AS (
        INSERT INTO execution_events (execution_id, attempt, at, kind, data)
        SELECT end_of.id, of_attempt, clock_timestamp() - make_interval(secs => e.age), e.kind, e.data
        FROM end_of, ROWS FROM (jsonb_to_recordset(events) AS (age float, kind text, data jsonb)) WITH ORDINALITY
            AS e (age, kind, data, place)
        ORDER BY e.place
    )
    SELECT * INTO ended FROM end_of;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    UPDATE execution_attempts
    SET ended_at = clock_timestamp(), reason = why, message = sentence
    WHERE execution_id = of_execution AND number = of_attempt;
    IF terminal THEN
        DELETE FROM procrastinate_jobs WHERE id = ended.job_id;
        PERFORM announce(
            of_execution, ended.notebook_id,
            CASE next_status WHEN 'success' THEN 'execution.succeeded' ELSE 'execution.' || next_status END
        );
    ELSE
        -- Where its job was lost, the sweep finds it another one.
        PERFORM procrastinate_retry_job_v2(id, ended.not_before, NULL, NULL, NULL)
        FROM procrastinate_jobs WHERE id = ended.job_id AND status IN ('doing', 'failed');
        PERFORM wake_workers(ended.queue);
    END IF;
    -- A place under somebody's limit may be free again; the limits of notebooks and of users hold over all queues.
    WITH RECURSIVE held (queue) AS (
        (
            SELECT queue FROM notebook_executions WHERE status = 'pending'
                AND (notebook_limit IS NOT NULL OR user_limit IS NOT NULL OR queue_limit IS NOT NULL)
            ORDER BY queue LIMIT 1
        )
        UNION ALL
        SELECT following.queue FROM held CROSS JOIN LATERAL (
            SELECT e.queue FROM notebook_executions AS e WHERE e.status = 'pending'
                AND (e.notebook_limit IS NOT NULL OR e.user_limit IS NOT NULL OR e.queue_limit IS NOT NULL)
                AND e.queue > held.queue
            ORDER BY e.queue LIMIT 1
        ) AS following
    )
    SELECT array_agg(queue) INTO limited FROM held;
    PERFORM wake_workers(queue) FROM unnest(limited) AS queues (queue);
    RETURN true;
END $$;
