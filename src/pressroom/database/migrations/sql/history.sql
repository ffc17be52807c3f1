-- Which ids were submitted in which hour: see ExecutionHour in models.py.

-- Two transactions may add the same entry, since neither waits for the other; that does no harm.
CREATE FUNCTION note_hours() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO execution_hours (hour, block)
    SELECT DISTINCT date_trunc('hour', submitted_at, 'UTC'), id >> 10 FROM added
    EXCEPT SELECT h.hour, h.block FROM added AS a
    JOIN execution_hours AS h ON h.hour = date_trunc('hour', a.submitted_at, 'UTC') AND h.block = a.id >> 10;
    RETURN NULL;
END $$;

CREATE FUNCTION note_hour() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO execution_hours (hour, block) VALUES (date_trunc('hour', NEW.submitted_at, 'UTC'), NEW.id >> 10);
    RETURN NULL;
END $$;

CREATE TRIGGER note_hours AFTER INSERT ON notebook_executions
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION note_hours();
CREATE TRIGGER note_hour AFTER UPDATE OF id, submitted_at ON notebook_executions
    FOR EACH ROW WHEN (OLD.id <> NEW.id OR OLD.submitted_at <> NEW.submitted_at) EXECUTE FUNCTION note_hour();

INSERT INTO execution_hours (hour, block)
SELECT DISTINCT date_trunc('hour', submitted_at, 'UTC'), id >> 10 FROM notebook_executions;
