-- +goose Up

-- What was noted of the whole bucket, by name.
CREATE TABLE marks (
    name text        PRIMARY KEY,
    at   timestamptz NOT NULL
);
