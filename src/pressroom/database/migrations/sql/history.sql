-- What finds pages of the history, kept by triggers: see ExecutionHour and ExecutionParameter in models/history.py.
-- A change only adds, and may add what is there: whoever reads the entries tests the rows.

CREATE FUNCTION parameters_of(used jsonb) RETURNS TABLE (parameter integer) LANGUAGE sql IMMUTABLE AS $$
    SELECT jsonb_hash_extended(p.value, hashtextextended(p.key, 0))::bit(32)::integer
    FROM jsonb_each(CASE WHEN jsonb_typeof(used) = 'object' THEN used END) AS p
    WHERE jsonb_typeof(p.value) NOT IN ('object', 'array')
$$;

-- Two transactions may add the same hour, since neither waits for the other; that does no harm.
CREATE FUNCTION note_executions() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO execution_hours (hour, block)
    SELECT DISTINCT date_trunc('hour', submitted_at, 'UTC'), id >> 10 FROM added
    EXCEPT SELECT h.hour, h.block FROM added AS a
    JOIN execution_hours AS h ON h.hour = date_trunc('hour', a.submitted_at, 'UTC') AND h.block = a.id >> 10;
    INSERT INTO execution_parameters (parameter, execution_id)
    SELECT p.parameter, added.id FROM added CROSS JOIN parameters_of(added.parameters_used) AS p;
    RETURN NULL;
END $$;

CREATE FUNCTION note_hour() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO execution_hours (hour, block) VALUES (date_trunc('hour', NEW.submitted_at, 'UTC'), NEW.id >> 10);
    RETURN NULL;
END $$;

CREATE FUNCTION note_parameters() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO execution_parameters (parameter, execution_id)
    SELECT p.parameter, NEW.id FROM parameters_of(NEW.parameters_used) AS p;
    RETURN NULL;
END $$;

-- However many rows go, each of their entries is looked up.
CREATE FUNCTION forget_parameters() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        TRUNCATE execution_parameters;
    ELSE
        DELETE FROM execution_parameters AS gone USING removed CROSS JOIN parameters_of(removed.parameters_used) AS p
        WHERE gone.parameter = p.parameter AND gone.execution_id = removed.id;
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER note_executions AFTER INSERT ON notebook_executions
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION note_executions();
CREATE TRIGGER note_hour AFTER UPDATE OF id, submitted_at ON notebook_executions
    FOR EACH ROW WHEN (OLD.id <> NEW.id OR OLD.submitted_at <> NEW.submitted_at) EXECUTE FUNCTION note_hour();
CREATE TRIGGER note_parameters AFTER UPDATE OF id, parameters_used ON notebook_executions
    FOR EACH ROW WHEN (OLD.id <> NEW.id OR OLD.parameters_used IS DISTINCT FROM NEW.parameters_used)
    EXECUTE FUNCTION note_parameters();
CREATE TRIGGER forget_parameters AFTER DELETE ON notebook_executions
    REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION forget_parameters();
CREATE TRIGGER forget_all_parameters AFTER TRUNCATE ON notebook_executions
    FOR EACH STATEMENT EXECUTE FUNCTION forget_parameters();

INSERT INTO execution_hours (hour, block)
SELECT DISTINCT date_trunc('hour', submitted_at, 'UTC'), id >> 10 FROM notebook_executions;
INSERT INTO execution_parameters (parameter, execution_id)
SELECT p.parameter, e.id FROM notebook_executions AS e CROSS JOIN parameters_of(e.parameters_used) AS p;
