-- migrate:up

SET LOCAL lock_timeout = '5s';

CREATE TABLE drains (
    kind      text NOT NULL CHECK (kind IN ('gateway', 'worker', 'route')),
    name      text NOT NULL CHECK (name <> ''),
    since     timestamptz NOT NULL DEFAULT now(),
    operator  text NOT NULL,
    PRIMARY KEY (kind, name)
);

COMMENT ON TABLE drains IS 'What operators have taken out of service, until they undo it; the admin process tells routers.';
COMMENT ON COLUMN drains.name IS 'Of a process; of a route, the model''s and the provider''s, with a slash between.';

-- migrate:down

-- The ledger only goes forward.
