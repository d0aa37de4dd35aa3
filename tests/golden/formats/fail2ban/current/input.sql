CREATE TABLE jails (name TEXT PRIMARY KEY, enabled INTEGER);
CREATE TABLE bans (jail TEXT, ip TEXT, timeofban INTEGER, bantime INTEGER, bancount INTEGER, data TEXT);
CREATE TABLE bips (ip TEXT, jail TEXT, timeofban INTEGER, bantime INTEGER, bancount INTEGER, data TEXT, PRIMARY KEY (ip, jail));
INSERT INTO bans VALUES ('sshd', '203.0.113.99', 1700000000, 600, 1, '{}');
INSERT INTO bips VALUES ('192.0.2.1', 'sshd', 1767323045, 600, 3, '{}');
INSERT INTO bips VALUES ('192.0.2.1', 'postfix', 1767323000, -1, 5, '{}');
INSERT INTO bips VALUES ('198.51.100.0/24', 'recidive', 1767323046, -1, 1, '{}');
INSERT INTO bips VALUES ('2001:db8::1', 'sshd', 1767323047, 600, 1, NULL);
INSERT INTO bips VALUES ('host.example.org', 'sshd', 1767323048, 600, 1, '{}');
