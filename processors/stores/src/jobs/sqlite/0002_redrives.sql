-- Of a failure: twice how often its record had been put back from the dead letters; one less, and so odd, where that
-- takes the failure back. Of two facts with one key the one with the greater (outcome, turn, at_ms, reason_code,
-- reason) wins.
alter table facts add column turn bigint not null default 0;
