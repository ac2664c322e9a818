-- A small CMDB. The tables are the site's; Pointsman knows only the columns that its queries return.

CREATE TABLE asset (
    id INTEGER PRIMARY KEY,
    hostname TEXT NOT NULL,
    uuid TEXT,
    manufacturer TEXT,
    serial TEXT,
    status TEXT NOT NULL,
    owner TEXT
);
CREATE INDEX asset_uuid ON asset (uuid);
CREATE INDEX asset_serial ON asset (serial);

-- A machine has several interfaces, and an adapter may be written down with several machines.
CREATE TABLE interface (mac TEXT NOT NULL, asset INTEGER NOT NULL REFERENCES asset (id));
CREATE INDEX interface_mac ON interface (mac);

CREATE TABLE platform (name TEXT PRIMARY KEY, title TEXT, kernel TEXT, initrd TEXT, cmdline TEXT);

-- state: open, started, done, failed.
CREATE TABLE install_order (
    id INTEGER PRIMARY KEY,
    asset INTEGER NOT NULL REFERENCES asset (id),
    platform TEXT NOT NULL REFERENCES platform (name),
    forced INTEGER NOT NULL,
    not_before TEXT,
    state TEXT NOT NULL,
    session TEXT,
    reason TEXT
);
CREATE INDEX install_order_asset ON install_order (asset);

INSERT INTO asset VALUES (1, 'office-01', '4c4c4544-0057-5810-804a-c3c04f463731', 'Dell', '7XK3N21', 'active', 'ada');
INSERT INTO asset VALUES (2, 'office-02', '4c4c4544-0057-5810-804a-c3c04f463732', 'Dell', '7XK3N22', 'active', 'grace');
INSERT INTO asset VALUES (3, 'office-03', NULL, 'LENOVO', 'PF1ABCDE', 'retired', NULL);
INSERT INTO interface VALUES ('52:54:00:30:00:01', 1);
INSERT INTO interface VALUES ('52:54:00:30:00:02', 2);
INSERT INTO interface VALUES ('52:54:00:30:00:03', 3);
INSERT INTO interface VALUES ('00:e0:4c:68:01:7a', 3);
INSERT INTO platform VALUES (
    'debian', 'Debian 12', 'debian/linux', 'debian/initrd.gz',
    'auto=true url={files_url}/debian/preseed.cfg report={done_url}'
);
INSERT INTO install_order VALUES (1, 1, 'debian', 1, NULL, 'open', NULL, NULL);
