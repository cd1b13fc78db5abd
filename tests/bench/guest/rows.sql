-- Inserts @rows rows in one transaction, indexes and questions them.
PRAGMA synchronous = off;
DROP TABLE IF EXISTS person;
BEGIN;
CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT, town INTEGER, score REAL);
WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < @rows)
INSERT INTO person SELECT n, 'name ' || (n * 7919 % 100003), n * 31 % 997, (n * 37 % 1009) / 8.0 FROM number;
COMMIT;
CREATE INDEX person_name ON person (name);
CREATE INDEX person_town ON person (town, score);
SELECT count(*), sum(score), max(name) FROM person;
SELECT town, count(*), round(avg(score), 3), max(length(name)) FROM person GROUP BY town ORDER BY 3 DESC, town LIMIT 3;
SELECT count(*) FROM person a JOIN person b ON b.town = a.town AND b.score = a.score WHERE a.id <= @rows / 10;
SELECT count(*) FROM person WHERE name LIKE '%77%' OR name GLOB '*1[23]5';
SELECT name, score FROM person ORDER BY score * 31 % 17, name LIMIT 3 OFFSET 1000;
UPDATE person SET score = score + 1 WHERE town % 3 = 0;
DELETE FROM person WHERE id % 5 = 0;
SELECT count(*), sum(score) FROM person;
