-- +goose Up

-- status: 0 pending, 1 uploaded, 2 expired, 3 deleted. Those below 2 count for quotas.
CREATE TABLE files (
    id           uuid        PRIMARY KEY,
    key          text        COLLATE "C" NOT NULL,
    status       smallint    NOT NULL,
    owner        text        COLLATE "C" NOT NULL,
    filename     text        NOT NULL,
    content_type text        NOT NULL,
    size         bigint      NOT NULL,
    algorithm    text        NOT NULL DEFAULT '',
    checksum     text        NOT NULL DEFAULT '',
    metadata     jsonb       NOT NULL DEFAULT '{}',
    etag         text        NOT NULL DEFAULT '',
    version_id   text        NOT NULL DEFAULT '',
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    uploaded_at  timestamptz,
    ended_at     timestamptz,
    reason       text        NOT NULL DEFAULT '',
    revision     bigint      NOT NULL DEFAULT 1,
    multipart    boolean     NOT NULL DEFAULT false,
    part_size    bigint      NOT NULL DEFAULT 0,
    upload_id    text        NOT NULL DEFAULT '',
    moving_to    text        COLLATE "C" NOT NULL DEFAULT '',
    traceparent  text        NOT NULL DEFAULT ''
);

CREATE INDEX files_owner ON files (owner, id);
CREATE INDEX files_status ON files (status, id);
CREATE INDEX files_key ON files (key);
CREATE INDEX files_metadata ON files USING gin (metadata jsonb_path_ops);

-- Every key of which there may be an object. role: 0 the file's, 1 the one that it is being copied to, 2 to be removed.
-- due is when something is to be done about it; whoever does it moves it on first.
CREATE TABLE keys (
    key      text        COLLATE "C" PRIMARY KEY,
    file     uuid        NOT NULL,
    role     smallint    NOT NULL DEFAULT 0,
    due      timestamptz,
    attempts int         NOT NULL DEFAULT 0
);

CREATE INDEX keys_due ON keys (due) WHERE due IS NOT NULL;

CREATE TABLE idempotency (
    key    text  COLLATE "C" PRIMARY KEY,
    file   uuid  NOT NULL,
    digest bytea NOT NULL
);

-- What an owner has, and how many uploads were begun since began.
CREATE TABLE owners (
    owner text        COLLATE "C" PRIMARY KEY,
    bytes bigint      NOT NULL DEFAULT 0,
    began timestamptz NOT NULL,
    begun int         NOT NULL DEFAULT 0
);

-- What there is by status, in shards, so that uploads do not wait for each other.
CREATE TABLE totals (
    shard  smallint NOT NULL,
    status smallint NOT NULL,
    files  bigint   NOT NULL,
    bytes  bigint   NOT NULL,
    PRIMARY KEY (shard, status)
);

CREATE TABLE outbox (
    sink     text        COLLATE "C" NOT NULL,
    seq      bigint      GENERATED ALWAYS AS IDENTITY,
    file     uuid        NOT NULL,
    type     text        NOT NULL,
    at       timestamptz NOT NULL,
    leased   timestamptz NOT NULL DEFAULT '-infinity',
    snapshot jsonb       NOT NULL,
    PRIMARY KEY (sink, seq)
);

CREATE INDEX outbox_file ON outbox (sink, file, seq);
