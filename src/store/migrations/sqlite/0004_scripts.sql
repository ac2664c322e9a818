-- What scripts were asked, what they noted, who may go on at a machine, and who failed to say so.

CREATE TABLE question (
    session       VARCHAR(12)  NOT NULL,
    id            BIGINT       NOT NULL, -- random: a batch that is written twice is there once
    asked         BIGINT       NOT NULL,
    question      VARCHAR(16)  NOT NULL, -- allow_boot, boot_images
    stage         VARCHAR(16)  NOT NULL,
    request       TEXT, -- JSON: everything that was known; null when it is too long
    decision      TEXT, -- JSON: the answer, and how it came about
    PRIMARY KEY (session, id),
    FOREIGN KEY (session) REFERENCES boot (session) ON DELETE CASCADE
);
CREATE INDEX question_asked ON question (asked);

-- What scripts keep of a machine: state.set.
CREATE TABLE note (
    machine       VARCHAR(128) NOT NULL,
    name          VARCHAR(64)  NOT NULL,
    value         TEXT, -- JSON; null for a number
    number        BIGINT,
    changed       BIGINT       NOT NULL,
    PRIMARY KEY (machine, name)
);
CREATE INDEX note_changed ON note (changed);

-- Boots that wait for somebody to agree.
CREATE TABLE approval (
    id            VARCHAR(16)  NOT NULL PRIMARY KEY,
    session       VARCHAR(12)  NOT NULL,
    mac           VARCHAR(48)  NOT NULL,
    image         VARCHAR(64)  NOT NULL, -- the image that was chosen; empty for the boot as a whole
    title         VARCHAR(255) NOT NULL, -- what is asked for
    asked         BIGINT       NOT NULL,
    last_asked    BIGINT       NOT NULL, -- when the machine last came for the answer
    state         VARCHAR(8)   NOT NULL, -- pending, approved, denied
    decided       BIGINT,
    decided_by    VARCHAR(255),
    person_groups VARCHAR(4000), -- groups that the approval gives: a JSON array
    reason        VARCHAR(255), -- why not
    UNIQUE (session, image)
);
CREATE INDEX approval_state ON approval (state, asked);

-- Wrong PINs and passwords, until one was right or the time is over.
CREATE TABLE failure (
    subject       VARCHAR(160) NOT NULL PRIMARY KEY, -- who or what failed: a machine, a user name
    failures      INTEGER      NOT NULL,
    last_failure  BIGINT       NOT NULL
);
CREATE INDEX failure_last ON failure (last_failure);
