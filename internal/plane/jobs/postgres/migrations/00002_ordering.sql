-- +goose Up

-- Whether jobs of one ordering key run one at a time; NULL before the first replica that knows of it has said so. It is
-- here that it counts, as replicas hear of a change one after the other.
ALTER TABLE control ADD COLUMN ordered boolean;

-- More than one job of the lane may run: it was made while they did. All of them end before the next one goes.
ALTER TABLE lanes ADD COLUMN crowded boolean NOT NULL DEFAULT false;
