-- The functions of queue_0004.sql that have changed since, with batches. They are what they are here, whole: read these,
-- not those of their names in earlier files, which stay as they were released.

-- Has what is left of a batch cancelled that is being stopped, by a chore: see pressroom/batches/tasks.py. It may be asked
-- for more than once.
CREATE FUNCTION clear_batch(of_batch integer) RETURNS void LANGUAGE sql SET search_path FROM CURRENT AS $$
    SELECT procrastinate_defer_jobs_v1(ARRAY[CAST(ROW(
        'pressroom:chores', 'pressroom.clear_batch', 0, NULL, NULL, jsonb_build_object('batch_id', of_batch), NULL
    ) AS procrastinate_job_to_defer_v1)])
$$;

-- Those who watch a batch are told of a change of status of one of its executions.
CREATE FUNCTION tell_batch(of_batch integer, new_status varchar) RETURNS void
LANGUAGE sql SET search_path FROM CURRENT AS $$
    SELECT pg_notify('pressroom_executions', 'batch-' || of_batch || ' ' || new_status)
$$;

-- What an execution that does not run any more means for its batch: with the last one it has ended; when as many have
-- failed as it was to bear, it is stopped; and what was put back into the queue of one that is being stopped is cancelled.
--
-- All of that depends on what others do at the same time, so the batch's row is locked first: the later of two changes
-- sees the other.
CREATE FUNCTION settle_batch(of_batch integer, new_status varchar) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    batch batches;
BEGIN
    SELECT * INTO batch FROM batches WHERE id = of_batch AND ended_at IS NULL FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF new_status = 'failed' AND batch.stop_after_failures IS NOT NULL THEN
        batch.failures := batch.failures + 1;
        UPDATE batches SET failures = batch.failures WHERE id = of_batch;
    END IF;
    IF NOT EXISTS (SELECT FROM notebook_executions WHERE batch_id = of_batch AND status = 'pending')
        AND NOT EXISTS (SELECT FROM notebook_executions WHERE batch_id = of_batch AND status = 'running')
    THEN
        UPDATE batches SET ended_at = clock_timestamp(), counts = (
            SELECT coalesce(jsonb_object_agg(status, number), '{}') FROM (
                SELECT status, count(*) AS number FROM notebook_executions WHERE batch_id = of_batch GROUP BY status
            ) AS counted
        ) WHERE id = of_batch;
        PERFORM pg_notify('pressroom_executions', 'batch-' || of_batch);
    ELSIF batch.stopping_at IS NULL AND batch.failures >= batch.stop_after_failures THEN
        UPDATE batches SET stopping_at = clock_timestamp(), stop_reason = 'failures' WHERE id = of_batch;
        PERFORM clear_batch(of_batch);
    ELSIF batch.stopping_at IS NOT NULL AND new_status = 'pending' THEN
        PERFORM clear_batch(of_batch);
    END IF;
END $$;

CREATE FUNCTION settle_batch() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM settle_batch(NEW.batch_id, NEW.status);
    RETURN NULL;
END $$;

-- When the transaction commits, since who locks executions must not hold a batch already: others hold one of those, and
-- wait for the batch. So a batch is locked for as long as a commit takes, too.
CREATE CONSTRAINT TRIGGER settle_batch AFTER UPDATE OF status ON notebook_executions
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (NEW.batch_id IS NOT NULL AND NEW.status <> OLD.status AND NEW.status <> 'running')
    EXECUTE FUNCTION settle_batch();

-- The advisory lock of a batch, which who stops it holds.
CREATE FUNCTION batch_lock(of_batch integer) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT hashtextextended('batch ' || of_batch, 4851201706)
$$;

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
    IF NEW.batch_id IS NOT NULL THEN
        PERFORM tell_batch(NEW.batch_id, NEW.status);
    END IF;
    IF OLD.status = 'pending' AND NEW.status <> 'running' AND (
        NEW.notebook_limit IS NOT NULL OR NEW.user_limit IS NOT NULL OR NEW.queue_limit IS NOT NULL
        OR NEW.batch_limit IS NOT NULL OR NEW.in_order
    ) THEN
        PERFORM wake_workers(NEW.queue); -- what a limit held back may have held others back behind it
    END IF;
    RETURN NULL;
END $$;

-- What parts the pending executions of a user in a queue: the notebook, and the batch where it has a limit or an order of
-- its own. Batches that have none are not parted, or each of them would cost every claim of everybody something.
CREATE FUNCTION claim_group(input_path varchar, batch_id integer, batch_limit integer, in_order boolean)
RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT hashtextextended(
        input_path, coalesce(CASE WHEN batch_limit IS NOT NULL OR in_order THEN batch_id END, 0)
    )
$$;

-- The execution that a worker is to run next, claimed for it: its row is running, its attempt begun, its job doing.
--
-- Of the pending executions in the worker's queues, each user's and notebook's first (highest priority, then oldest)
-- stands for the others behind it; a batch with a limit or an order of its own has its own first, and what belongs to
-- one that is being stopped is passed by. Those that would break a limit on what runs at once are left out, and those of
-- a batch in order that something of it comes before. Of the rest the highest priority wins, and within it the user whose
-- last start is longest ago: users take turns, however many executions each of them has waiting.
--
-- Each group, see claim_group(), costs one step along the index, and so does each batch that is being stopped, however
-- many executions they have: what stands between the first and the last of such a batch waits until its chore has
-- cancelled them. Who stops a batch holds batch_lock() until that is committed: what was chosen of it before is not
-- taken, and waits for nobody.
CREATE OR REPLACE FUNCTION claim_execution(of_queues varchar[], by_worker bigint) RETURNS jsonb
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    moment CONSTANT timestamptz := clock_timestamp();
    chosen integer;
    its_batch integer;
    held integer[] := '{}';
    claimed notebook_executions;
BEGIN
    -- One at a time, or two workers would both take the last place under a limit.
    PERFORM pg_advisory_xact_lock(4851201703);
    LOOP
        WITH RECURSIVE walk (
            queue, username, kind, next_rank, next_id, passed, id, batch_id, priority, notebook, notebook_limit,
            user_limit, queue_limit, batch_limit, in_order
        ) AS (
            SELECT CAST('' AS varchar), CAST('' AS varchar), CAST(0 AS bigint), 0, 0, true, 0, 0, 0, CAST(0 AS bigint),
                0, 0, 0, 0, false -- before all of them
            UNION ALL
            SELECT step.queue, step.username, step.kind,
                CASE WHEN step.passed THEN -step.priority ELSE 2147483647 END,
                CASE WHEN step.passed THEN (
                    SELECT max(r.id) FROM notebook_executions AS r
                    WHERE r.batch_id = step.batch_id AND r.status = 'pending'
                ) ELSE 2147483647 END,
                step.passed, step.id, step.batch_id, step.priority, step.notebook, step.notebook_limit,
                step.user_limit, step.queue_limit, step.batch_limit, step.in_order
            FROM walk CROSS JOIN LATERAL (
                SELECT CAST(e.queue AS varchar) AS queue, CAST(e.username AS varchar) AS username,
                    claim_group(e.input_path, e.batch_id, e.batch_limit, e.in_order) AS kind,
                    coalesce(e.batch_id = ANY (held) OR (
                        SELECT b.stopping_at IS NOT NULL FROM batches AS b WHERE b.id = e.batch_id
                    ), false) AS passed,
                    e.id, e.batch_id, e.priority, hashtextextended(e.input_path, 0) AS notebook, e.notebook_limit,
                    e.user_limit, e.queue_limit, e.batch_limit, e.in_order
                FROM notebook_executions AS e
                WHERE e.status = 'pending' AND (
                    e.queue, e.username, claim_group(e.input_path, e.batch_id, e.batch_limit, e.in_order), -e.priority,
                    e.id
                ) > (walk.queue, walk.username, walk.kind, walk.next_rank, walk.next_id)
                    AND (
                        (e.not_before IS NULL OR e.not_before <= moment) AND (e.expires_at IS NULL OR e.expires_at > moment)
                        OR (of_queues IS NULL AND e.queue LIKE '@%') OR e.queue <> ALL (of_queues)
                    )
                ORDER BY e.queue, e.username, claim_group(e.input_path, e.batch_id, e.batch_limit, e.in_order),
                    -e.priority, e.id
                LIMIT 1
            ) AS step
        ),
        first AS (
            -- A queue whose name begins with @ is one command's own, for nobody who does not name it.
            SELECT * FROM walk
            WHERE NOT passed AND ((of_queues IS NULL AND queue NOT LIKE '@%') OR queue = ANY (of_queues))
        )
        SELECT first.id, first.batch_id INTO chosen, its_batch FROM first
        LEFT JOIN execution_turns AS turns USING (queue, username)
        WHERE (first.notebook_limit IS NULL OR first.notebook_limit > (
                SELECT count(*) FROM notebook_executions AS r
                WHERE r.status = 'running' AND hashtextextended(r.input_path, 0) = first.notebook))
            AND (first.user_limit IS NULL OR first.user_limit > (
                SELECT count(*) FROM notebook_executions AS r
                WHERE r.status = 'running' AND r.username = first.username))
            AND (first.queue_limit IS NULL OR first.queue_limit > (
                SELECT count(*) FROM notebook_executions AS r WHERE r.status = 'running' AND r.queue = first.queue))
            AND (first.batch_limit IS NULL OR first.batch_limit > (
                SELECT count(*) FROM notebook_executions AS r
                WHERE r.status = 'running' AND r.batch_id = first.batch_id))
            AND NOT (first.in_order AND EXISTS (
                SELECT FROM notebook_executions AS r
                WHERE r.batch_id = first.batch_id AND r.status IN ('pending', 'running') AND r.id < first.id))
        ORDER BY first.priority DESC, coalesce(turns.turn, 0), first.id LIMIT 1;
        IF chosen IS NULL THEN
            RETURN NULL;
        END IF;
        IF its_batch IS NOT NULL AND NOT pg_try_advisory_xact_lock_shared(batch_lock(its_batch)) THEN
            held := held || its_batch;
            CONTINUE;
        END IF;
        UPDATE notebook_executions
        SET status = 'running', attempt = attempt + 1, started_at = clock_timestamp(), not_before = NULL,
            cells_total = NULL, cells_completed = 0, failure = NULL, error_message = NULL, results = NULL
        WHERE id = chosen AND status = 'pending'
            AND NOT EXISTS (SELECT FROM batches AS b WHERE b.id = its_batch AND b.stopping_at IS NOT NULL)
        RETURNING * INTO claimed;
        EXIT WHEN FOUND; -- else it was cancelled in the meantime, or its batch was
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
    -- A place under somebody's limit may be free again, or the next of a batch be next; the limits of notebooks and of
    -- users hold over all queues.
    WITH RECURSIVE held (queue) AS (
        (
            SELECT queue FROM notebook_executions WHERE status = 'pending'
                AND (notebook_limit IS NOT NULL OR user_limit IS NOT NULL OR queue_limit IS NOT NULL
                    OR batch_limit IS NOT NULL OR in_order)
            ORDER BY queue LIMIT 1
        )
        UNION ALL
        SELECT following.queue FROM held CROSS JOIN LATERAL (
            SELECT e.queue FROM notebook_executions AS e WHERE e.status = 'pending'
                AND (e.notebook_limit IS NOT NULL OR e.user_limit IS NOT NULL OR e.queue_limit IS NOT NULL
                    OR e.batch_limit IS NOT NULL OR e.in_order)
                AND e.queue > held.queue
            ORDER BY e.queue LIMIT 1
        ) AS following
    )
    SELECT array_agg(queue) INTO limited FROM held;
    PERFORM wake_workers(queue) FROM unnest(limited) AS queues (queue);
    RETURN true;
END $$;
