-- Texts are compared by their bytes, whatever the database's own order is: which of two facts wins, and where a list
-- goes on, is the same everywhere.
create table files (
    file_id uuid primary key,
    tenant text collate "C" not null,
    path bytea not null,
    name text collate "C" not null,
    revision bigint not null,
    content_uri text collate "C",
    content_hash text collate "C",
    size_bytes bigint not null,
    modified_at_ms bigint not null,
    discovered_at_ms bigint not null,
    is_pending boolean not null,
    is_deleted boolean not null
);

-- A path has up to 4,096 bytes, and what an index holds of it has to fit into a third of a page.
create index files_by_path on files (tenant, substr(path, 1, 1024));

create index files_pending on files (file_id) where is_pending;

create table jobs (
    job_id uuid primary key,
    file_id uuid not null,
    revision bigint not null,
    name text collate "C" not null,
    state text collate "C" not null,
    superseded_by bigint,
    created_at_ms bigint not null,
    updated_at_ms bigint not null,
    frames bigint,
    passages bigint
);

create index jobs_of_file on jobs (file_id, revision);

create index jobs_newest on jobs (created_at_ms, job_id);

-- A fact without a unit has an empty unit_id. Of two with one key the one with the greater (outcome, turn, at_ms,
-- reason_code, reason) wins; outcome is 0 for failed, 1 for skipped, 2 for done. The turn of a failure is twice how
-- often its record had been put back from the dead letters; one less, and so odd, where that takes the failure back.
create table facts (
    job_id uuid not null,
    stage text collate "C" not null,
    step text collate "C" not null,
    unit_id bytea not null,
    outcome bigint not null,
    turn bigint not null,
    at_ms bigint not null,
    reason_code text collate "C" not null,
    reason text collate "C" not null,
    primary key (job_id, stage, step, unit_id)
);
