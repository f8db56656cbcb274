-- +goose Up

-- The order of acceptance.
CREATE SEQUENCE accepted CACHE 1;

-- status: 0 scheduled, 1 queued, 2 retrying, 3 running, 4 succeeded, 5 dead, 6 cancelled. Those below 3 wait,
-- those above are at their end.
CREATE TABLE jobs (
    id            uuid        PRIMARY KEY,
    seq           bigint      NOT NULL,
    accepted_at   timestamptz NOT NULL,
    run_at        timestamptz NOT NULL,
    started_at    timestamptz,
    finished_at   timestamptz,
    expires_at    timestamptz,
    deadline_at   timestamptz,
    progress_at   timestamptz,
    percent       float8      NOT NULL DEFAULT 0,
    timeout_ns    bigint      NOT NULL,
    token         bigint      NOT NULL DEFAULT 0,
    revision      bigint      NOT NULL DEFAULT 1,
    attempt       int         NOT NULL DEFAULT 0,
    max_attempts  int         NOT NULL,
    status        smallint    NOT NULL,
    -- laned jobs run one at a time per ordering key, and all but the head of their lane are blocked.
    laned         boolean     NOT NULL DEFAULT false,
    blocked       boolean     NOT NULL DEFAULT false,
    cancel        boolean     NOT NULL DEFAULT false,
    priority      text        NOT NULL,
    type          text        NOT NULL,
    ordering_key  text        NOT NULL,
    idempotency   text        NOT NULL,
    traceparent   text        NOT NULL,
    worker        text        NOT NULL DEFAULT '',
    message       text        NOT NULL DEFAULT '',
    error         text        NOT NULL DEFAULT '',
    payload_type  text        NOT NULL,
    result_type   text        NOT NULL DEFAULT '',
    metadata      jsonb,
    payload       bytea,
    result        bytea
) WITH (
    -- A heartbeat changes no index, so it needs a little room on its page and nothing else.
    fillfactor = 90,
    -- A payload of some size lies beside the row, where the updates of a job's life do not copy it.
    toast_tuple_target = 512,
    autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_insert_scale_factor = 0.1, autovacuum_analyze_scale_factor = 0.1,
    autovacuum_vacuum_cost_delay = 1
);

-- What Lease walks, from its beginning: what may run, by priority and time.
CREATE INDEX jobs_due ON jobs (priority, run_at, seq) WHERE status < 3 AND NOT blocked;
CREATE INDEX jobs_due_type ON jobs (type, priority, run_at, seq) WHERE status < 3 AND NOT blocked AND type <> '';
-- What comes due later.
CREATE INDEX jobs_scheduled ON jobs (run_at) WHERE status = 0;
CREATE INDEX jobs_retrying ON jobs (run_at) WHERE status = 2;
CREATE INDEX jobs_status ON jobs (status, id) WHERE status <> 4;
CREATE INDEX jobs_succeeded ON jobs (finished_at) WHERE status = 4;
CREATE INDEX jobs_buried ON jobs (finished_at) WHERE status > 4;
CREATE INDEX jobs_lane ON jobs (ordering_key, seq) WHERE laned AND status <= 3;

-- A lane is the ordering key of jobs that are not at their end. Its row is locked before any job of it enters or
-- ends, and always before the jobs' rows.
CREATE TABLE lanes (
    key  text PRIMARY KEY,
    head uuid NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 1000);

CREATE TABLE idempotency (
    key    text  PRIMARY KEY,
    job    uuid  NOT NULL,
    digest bytea NOT NULL
);

CREATE TABLE labels (
    key   text NOT NULL,
    value text NOT NULL,
    job   uuid NOT NULL,
    PRIMARY KEY (key, value, job)
);

-- Attempts that ended otherwise than by success, and how. One under way, or that succeeded, is in its job's row.
CREATE TABLE attempts (
    job        uuid        NOT NULL,
    token      bigint      NOT NULL,
    number     int         NOT NULL,
    worker     text        NOT NULL,
    started_at timestamptz NOT NULL,
    ended_at   timestamptz NOT NULL,
    outcome    text        NOT NULL,
    error      text        NOT NULL,
    -- reported by its worker, who may ask again.
    reported   boolean     NOT NULL,
    PRIMARY KEY (job, token)
);

-- How many jobs there are, as differences that are added up now and then: a row that every change updates would
-- have them wait for each other.
CREATE TABLE tally (
    priority  text   NOT NULL,
    scheduled bigint NOT NULL,
    queued    bigint NOT NULL,
    retrying  bigint NOT NULL,
    running   bigint NOT NULL,
    succeeded bigint NOT NULL,
    dead      bigint NOT NULL,
    cancelled bigint NOT NULL,
    -- Ever, for the rates.
    accepted  bigint NOT NULL,
    completed bigint NOT NULL,
    failed    bigint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);

CREATE TABLE marks (
    at        timestamptz PRIMARY KEY,
    accepted  bigint NOT NULL,
    completed bigint NOT NULL,
    failed    bigint NOT NULL
);

-- One row.
CREATE TABLE control (
    one       boolean     PRIMARY KEY DEFAULT true CHECK (one),
    paused    boolean     NOT NULL DEFAULT false,
    -- The bucket of the rate of starts.
    tokens    float8,
    filled_at timestamptz
) WITH (fillfactor = 50);
INSERT INTO control DEFAULT VALUES;

CREATE TABLE outbox (
    seq         bigint      GENERATED ALWAYS AS IDENTITY,
    sink        text        NOT NULL,
    job         uuid        NOT NULL,
    type        text        NOT NULL,
    at          timestamptz NOT NULL,
    leased      timestamptz NOT NULL DEFAULT '-infinity',
    traceparent text        NOT NULL,
    snapshot    jsonb       NOT NULL,
    PRIMARY KEY (sink, seq)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000);
CREATE INDEX outbox_job ON outbox (sink, job, seq);

CREATE TABLE schedules (
    name  text PRIMARY KEY,
    fired timestamptz NOT NULL,
    job   text NOT NULL DEFAULT ''
);
