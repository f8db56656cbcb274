-- +goose NO TRANSACTION
-- +goose Up

-- Indexes are made beside the work of the replicas that there are. It takes longer than any statement of a queue may, and
-- what was broken off leaves an index that is of no use.
SET statement_timeout = '50s';
SET lock_timeout = '50s';

-- What List walks for a type.
DROP INDEX CONCURRENTLY IF EXISTS jobs_type;
CREATE INDEX CONCURRENTLY jobs_type ON jobs (type, id) WHERE type <> '';

-- What Sweep walks for attempts that are over. For a job that runs, run_at is when to look at it: not after the end of its
-- lease and its deadline, and not moved by a heartbeat, which so changes no index.
DROP INDEX CONCURRENTLY IF EXISTS jobs_over;
CREATE INDEX CONCURRENTLY jobs_over ON jobs (run_at) WHERE status = 3;

-- Those of every connection again.
SET statement_timeout = '10s';
SET lock_timeout = '5s';
