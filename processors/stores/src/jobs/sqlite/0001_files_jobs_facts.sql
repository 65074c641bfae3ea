create table files (
    file_id text primary key,
    tenant text not null,
    path blob not null,
    name text not null,
    revision bigint not null,
    content_uri text,
    content_hash text,
    size_bytes bigint not null,
    modified_at_ms bigint not null,
    discovered_at_ms bigint not null,
    is_pending boolean not null,
    is_deleted boolean not null,
    unique (tenant, path)
);

create index files_pending on files (file_id) where is_pending;

create table jobs (
    job_id text primary key,
    file_id text not null,
    revision bigint not null,
    name text not null,
    state text not null,
    superseded_by bigint,
    created_at_ms bigint not null,
    updated_at_ms bigint not null,
    frames integer,
    passages integer
);

create index jobs_of_file on jobs (file_id, revision);

create index jobs_newest on jobs (created_at_ms, job_id);

-- A fact without a unit has the empty unit_id. Of two with one key the one with the greater
-- (outcome, at_ms, reason_code, reason) wins; outcome is 0 for failed, 1 for skipped, 2 for done.
create table facts (
    job_id text not null,
    stage text not null,
    step text not null,
    unit_id text not null,
    outcome bigint not null,
    at_ms bigint not null,
    reason_code text not null,
    reason text not null,
    primary key (job_id, stage, step, unit_id)
) without rowid;
