-- Machines, images, groups, and which machine is to boot what. Moments are milliseconds since 1970 UTC; truth values are
-- 0 and 1; names are lower case.

CREATE TABLE machine (
    name         VARCHAR(64)  NOT NULL PRIMARY KEY,
    hostname     VARCHAR(255),
    uuid         VARCHAR(36),           -- canonical, lower case
    manufacturer VARCHAR(255),
    serial       VARCHAR(255),          -- as it was given
    serial_key   VARCHAR(255),          -- as it is compared: lower case, single spaces
    allow        SMALLINT     NOT NULL, -- whether it may boot from the network
    reason       VARCHAR(255),          -- why not
    attributes   TEXT         NOT NULL, -- JSON: whatever else scripts want to know
    created      BIGINT       NOT NULL,
    changed      BIGINT       NOT NULL
);
CREATE INDEX machine_uuid ON machine (uuid);
CREATE INDEX machine_serial ON machine (serial_key);

-- One address may be that of several machines: adapters are shared.
CREATE TABLE machine_mac (
    mac     VARCHAR(48) NOT NULL,       -- lower case, with colons
    machine VARCHAR(64) NOT NULL,
    PRIMARY KEY (mac, machine),
    FOREIGN KEY (machine) REFERENCES machine (name) ON DELETE CASCADE
);
CREATE INDEX machine_mac_machine ON machine_mac (machine);

CREATE TABLE machine_group (
    name    VARCHAR(64) NOT NULL PRIMARY KEY,
    title   VARCHAR(255),
    created BIGINT      NOT NULL
);

CREATE TABLE group_member (
    group_name VARCHAR(64) NOT NULL,
    machine    VARCHAR(64) NOT NULL,
    PRIMARY KEY (group_name, machine),
    FOREIGN KEY (group_name) REFERENCES machine_group (name) ON DELETE CASCADE,
    FOREIGN KEY (machine) REFERENCES machine (name) ON DELETE CASCADE
);
CREATE INDEX group_member_machine ON group_member (machine);

CREATE TABLE image (
    id         VARCHAR(64)  NOT NULL PRIMARY KEY,
    title      VARCHAR(255) NOT NULL,
    kind       VARCHAR(16)  NOT NULL,
    attributes TEXT         NOT NULL,   -- JSON: kernel, initrd, cmdline, ...
    created    BIGINT       NOT NULL,
    changed    BIGINT       NOT NULL
);

CREATE TABLE assignment (
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
    FOREIGN KEY (group_name) REFERENCES machine_group (name) ON DELETE CASCADE
);
CREATE UNIQUE INDEX assignment_open ON assignment (open_key);
CREATE INDEX assignment_machine ON assignment (machine, image);
CREATE INDEX assignment_group ON assignment (group_name);
CREATE INDEX assignment_scope ON assignment (scope);
CREATE INDEX assignment_state ON assignment (state, not_after);
CREATE INDEX assignment_created ON assignment (created, id);
CREATE INDEX assignment_session ON assignment (started_session);
