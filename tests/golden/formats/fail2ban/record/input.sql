CREATE TABLE bans (jail TEXT NOT NULL, ip TEXT, timeofban INTEGER NOT NULL, bantime INTEGER NOT NULL, bancount INTEGER NOT NULL, data TEXT);
INSERT INTO bans VALUES ('sshd', '192.0.2.1', 1767310000, -1, 1, '{}');
INSERT INTO bans VALUES ('sshd', '192.0.2.1', 1767320000, 600, 2, '{}');
INSERT INTO bans VALUES ('sshd', '192.0.2.2', 1767310000, 600, 1, '{}');
INSERT INTO bans VALUES ('sshd', '192.0.2.2', 1767323000, 600, 2, '{}');
INSERT INTO bans VALUES ('pam', '192.0.2.3', 1700000000, -1, 1, '{}');
