-- Site servers that ask this one, and what upstreams last decided.
-- Statements of the data definition commit at once here: each can be run again.

CREATE TABLE IF NOT EXISTS site (
    name        VARCHAR(64) NOT NULL PRIMARY KEY,
    token       VARCHAR(64),        -- SHA-256 of the enrollment token, in hexadecimal digits
    token_until BIGINT,             -- when it is over
    token_used  BIGINT,             -- when it was used
    fingerprint VARCHAR(64),        -- SHA-256 of the certificate (DER), in hexadecimal digits
    bearer      VARCHAR(64),        -- SHA-256 of the bearer token, in hexadecimal digits
    added       BIGINT      NOT NULL,
    enrolled    BIGINT,             -- when it got the certificate
    revoked     BIGINT,
    last_seen   BIGINT,
    UNIQUE (token),
    UNIQUE (fingerprint),
    UNIQUE (bearer)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- An answer is in pieces, each as long as a text that is read from a database may be.
CREATE TABLE IF NOT EXISTS last_known (
    handler  VARCHAR(128) NOT NULL,
    machine  VARCHAR(128) NOT NULL,
    question VARCHAR(16) NOT NULL,  -- allow_boot, boot_images
    answer   MEDIUMTEXT NOT NULL,       -- JSON
    answer_2 MEDIUMTEXT,
    answer_3 MEDIUMTEXT,
    answer_4 MEDIUMTEXT,
    answer_5 MEDIUMTEXT,
    decided  BIGINT       NOT NULL,
    PRIMARY KEY (handler, machine, question),
    INDEX last_known_decided (decided)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
