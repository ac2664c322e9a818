-- What happened: one row for each boot, and what was told of it afterwards.

CREATE TABLE IF NOT EXISTS boot (
    session    VARCHAR(12)  NOT NULL PRIMARY KEY,
    started    BIGINT       NOT NULL,
    last_event BIGINT       NOT NULL,
    mac        VARCHAR(48),
    uuid       VARCHAR(36),
    arch       VARCHAR(32),
    machine    VARCHAR(64),             -- its name at that time
    verdict    VARCHAR(8),              -- allow, deny, ignore
    reason     VARCHAR(255),
    handler    VARCHAR(64),             -- who decided
    images     VARCHAR(1000),           -- ids, separated by spaces
    result     VARCHAR(16),             -- the last thing that is known of it
    facts      MEDIUMTEXT,              -- JSON: what the machine said of itself
    trail      MEDIUMTEXT,              -- JSON: how the decision came about
    INDEX boot_started (started),
    INDEX boot_machine (machine, started),
    INDEX boot_mac (mac, started)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS boot_event (
    session  VARCHAR(12) NOT NULL,
    id       BIGINT      NOT NULL,      -- random: a batch that is written twice is there once
    happened BIGINT      NOT NULL,
    name     VARCHAR(16) NOT NULL,
    detail   VARCHAR(1000),
    PRIMARY KEY (session, id),
    FOREIGN KEY (session) REFERENCES boot (session) ON DELETE CASCADE
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
