-- +goose Up

-- An index over many jobs takes longer than any statement of a queue may.
SET LOCAL statement_timeout = '50s';
SET LOCAL lock_timeout = '30s';

-- Whether jobs of one ordering key run one at a time; NULL before the first replica that knows of it has said so. It is
-- here that it counts, as replicas hear of a change one after the other.
ALTER TABLE control ADD COLUMN ordered boolean;

-- More than one job of the lane may run: it was made while they did. All of them end before the next one goes.
ALTER TABLE lanes ADD COLUMN crowded boolean NOT NULL DEFAULT false;

-- What List walks for a type.
CREATE INDEX jobs_type ON jobs (type, id) WHERE type <> '';

-- What Sweep walks for attempts that are over. For a job that runs, run_at is when to look at it: not after the end of its
-- lease and its deadline, and not moved by a heartbeat, which so changes no index.
CREATE INDEX jobs_over ON jobs (run_at) WHERE status = 3;
