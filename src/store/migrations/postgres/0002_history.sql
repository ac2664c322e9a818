-- What happened: one row for each boot, and what was told of it afterwards.

CREATE TABLE boot (
    session    VARCHAR(12) COLLATE "C" NOT NULL PRIMARY KEY,
    started    BIGINT       NOT NULL,
    last_event BIGINT       NOT NULL,
    mac        VARCHAR(48) COLLATE "C",
    uuid       VARCHAR(36) COLLATE "C",
    arch       VARCHAR(32) COLLATE "C",
    machine    VARCHAR(64) COLLATE "C",             -- its name at that time
    verdict    VARCHAR(8) COLLATE "C",              -- allow, deny, ignore
    reason     VARCHAR(255) COLLATE "C",
    handler    VARCHAR(64) COLLATE "C",             -- who decided
    images     VARCHAR(1000) COLLATE "C",           -- ids, separated by spaces
    result     VARCHAR(16) COLLATE "C",             -- the last thing that is known of it
    facts      TEXT,                    -- JSON: what the machine said of itself
    trail      TEXT                     -- JSON: how the decision came about
);
CREATE INDEX boot_started ON boot (started);
CREATE INDEX boot_machine ON boot (machine, started);
CREATE INDEX boot_mac ON boot (mac, started);

CREATE TABLE boot_event (
    session  VARCHAR(12) COLLATE "C" NOT NULL,
    id       BIGINT      NOT NULL,      -- random: a batch that is written twice is there once
    happened BIGINT      NOT NULL,
    name     VARCHAR(16) COLLATE "C" NOT NULL,
    detail   VARCHAR(1000) COLLATE "C",
    PRIMARY KEY (session, id),
    FOREIGN KEY (session) REFERENCES boot (session) ON DELETE CASCADE
);
