CREATE TABLE bans (jail TEXT NOT NULL, ip TEXT, timeofban REAL NOT NULL, data TEXT);
INSERT INTO bans VALUES ('sshd', '192.0.2.1', 1767323045.25, '{}');
INSERT INTO bans VALUES ('sshd', '192.0.2.1', 1767326645.75, '{}');
INSERT INTO bans VALUES ('sshd', '192.0.2.2', 1767323046.5, '{}');
