-- Machines, images, groups, and which machine is to boot what. Moments are milliseconds since 1970 UTC; truth values are
-- 0 and 1; names are lower case.
-- Statements of the data definition commit at once here: each can be run again.

CREATE TABLE IF NOT EXISTS machine (
    name         VARCHAR(64)  NOT NULL PRIMARY KEY,
    hostname     VARCHAR(255),
    uuid         VARCHAR(36),           -- canonical, lower case
    manufacturer VARCHAR(255),
    serial       VARCHAR(255),          -- as it was given
    serial_key   VARCHAR(255),          -- as it is compared: lower case, single spaces
    allow        SMALLINT     NOT NULL, -- whether it may boot from the network
    reason       VARCHAR(255),          -- why not
    attributes   MEDIUMTEXT   NOT NULL, -- JSON: whatever else scripts want to know
    created      BIGINT       NOT NULL,
    changed      BIGINT       NOT NULL,
    INDEX machine_uuid (uuid),
    INDEX machine_serial (serial_key)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- One address may be that of several machines: adapters are shared.
CREATE TABLE IF NOT EXISTS machine_mac (
    mac     VARCHAR(48) NOT NULL,       -- lower case, with colons
    machine VARCHAR(64) NOT NULL,
    PRIMARY KEY (mac, machine),
    FOREIGN KEY (machine) REFERENCES machine (name) ON DELETE CASCADE,
    INDEX machine_mac_machine (machine)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS machine_group (
    name    VARCHAR(64) NOT NULL PRIMARY KEY,
    title   VARCHAR(255),
    created BIGINT      NOT NULL
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS group_member (
    group_name VARCHAR(64) NOT NULL,
    machine    VARCHAR(64) NOT NULL,
    PRIMARY KEY (group_name, machine),
    FOREIGN KEY (group_name) REFERENCES machine_group (name) ON DELETE CASCADE,
    FOREIGN KEY (machine) REFERENCES machine (name) ON DELETE CASCADE,
    INDEX group_member_machine (machine)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS image (
    id         VARCHAR(64)  NOT NULL PRIMARY KEY,
    title      VARCHAR(255) NOT NULL,
    kind       VARCHAR(16)  NOT NULL,
    attributes MEDIUMTEXT   NOT NULL,   -- JSON: kernel, initrd, cmdline, ...
    created    BIGINT       NOT NULL,
    changed    BIGINT       NOT NULL
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS assignment (
    id              VARCHAR(16) NOT NULL PRIMARY KEY,
    scope           VARCHAR(8)  NOT NULL, -- machine, group, all, unknown
    machine         VARCHAR(64),
    group_name      VARCHAR(64),
    image           VARCHAR(64) NOT NULL,
    mode            VARCHAR(8)  NOT NULL, -- once, always
    mandatory       SMALLINT    NOT NULL,
    countdown       INTEGER,              -- seconds
    sort_order      INTEGER     NOT NULL,
    spent_by        VARCHAR(8)  NOT NULL, -- script, image, done
    state           VARCHAR(8)  NOT NULL, -- standing; or assigned, offered, started, done, failed, expired
    not_before      BIGINT,
    not_after       BIGINT,
    offered_session VARCHAR(12),          -- the boot that it was last offered to
    started_session VARCHAR(12),          -- the boot that last began it
    offers          INTEGER     NOT NULL, -- boots that it was offered to since window_start
    window_start    BIGINT,
    reason          VARCHAR(255),
    open_key        VARCHAR(160),         -- mode, target and image while it is open: there is one at a time
    created         BIGINT      NOT NULL,
    changed         BIGINT      NOT NULL,
    FOREIGN KEY (machine) REFERENCES machine (name) ON DELETE CASCADE,
    FOREIGN KEY (group_name) REFERENCES machine_group (name) ON DELETE CASCADE,
    UNIQUE INDEX assignment_open (open_key),
    INDEX assignment_machine (machine, image),
    INDEX assignment_group (group_name),
    INDEX assignment_scope (scope),
    INDEX assignment_state (state, not_after),
    INDEX assignment_created (created, id),
    INDEX assignment_session (started_session)
) ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
