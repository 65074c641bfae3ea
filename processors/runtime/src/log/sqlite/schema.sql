pragma application_id = 0x46524c47;
pragma user_version = 1;

create table topics (
    id                    integer primary key,
    name                  text    not null unique,
    partitions            integer not null,
    retention_ms          integer,
    compacted             integer not null,
    largest_message_bytes integer not null
) strict;

create table partitions (
    topic_id    integer not null references topics (id),
    partition   integer not null,
    low         integer not null,
    next_offset integer not null,
    primary key (topic_id, partition)
) strict, without rowid;

create table records (
    topic_id     integer not null,
    partition    integer not null,
    offset       integer not null,
    timestamp_ms integer not null,
    key          blob,
    value        blob,
    headers      blob    not null,
    primary key (topic_id, partition, offset)
) strict, without rowid;

create table positions (
    group_name text    not null,
    topic_id   integer not null references topics (id),
    partition  integer not null,
    offset     integer not null,
    metadata   text    not null,
    primary key (group_name, topic_id, partition)
) strict, without rowid;

-- The generation grows with every change of members and holdings, so that members notice.
create table groups (
    name       text    primary key,
    generation integer not null
) strict, without rowid;

-- An id is never used again: whoever acts under the id of a row that is gone has been fenced.
create table members (
    id         integer primary key autoincrement,
    group_name text    not null,
    instance   text    not null,
    topics     text    not null,
    seen_at_ms integer not null,
    timeout_ms integer not null,
    unique (group_name, instance)
) strict;

create table ownership (
    group_name   text    not null,
    topic_id     integer not null references topics (id),
    partition    integer not null,
    member_id    integer not null references members (id) on delete cascade,
    revoke_by_ms integer,
    primary key (group_name, topic_id, partition)
) strict, without rowid;
