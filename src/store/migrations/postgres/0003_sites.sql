-- Site servers that ask this one, and what upstreams last decided.

CREATE TABLE site (
    name        VARCHAR(64) COLLATE "C" NOT NULL PRIMARY KEY,
    token       VARCHAR(64) COLLATE "C",        -- SHA-256 of the enrollment token, in hexadecimal digits
    token_until BIGINT,             -- when it is over
    token_used  BIGINT,             -- when it was used
    fingerprint VARCHAR(64) COLLATE "C",        -- SHA-256 of the certificate (DER), in hexadecimal digits
    bearer      VARCHAR(64) COLLATE "C",        -- SHA-256 of the bearer token, in hexadecimal digits
    added       BIGINT      NOT NULL,
    enrolled    BIGINT,             -- when it got the certificate
    revoked     BIGINT,
    last_seen   BIGINT,
    UNIQUE (token),
    UNIQUE (fingerprint),
    UNIQUE (bearer)
);

-- An answer is in pieces, each as long as a text that is read from a database may be.
CREATE TABLE last_known (
    handler  VARCHAR(128) COLLATE "C" NOT NULL,
    machine  VARCHAR(128) COLLATE "C" NOT NULL,
    question VARCHAR(16) COLLATE "C" NOT NULL,  -- allow_boot, boot_images
    answer   TEXT NOT NULL,       -- JSON
    answer_2 TEXT,
    answer_3 TEXT,
    answer_4 TEXT,
    answer_5 TEXT,
    decided  BIGINT       NOT NULL,
    PRIMARY KEY (handler, machine, question)
);
CREATE INDEX last_known_decided ON last_known (decided);
