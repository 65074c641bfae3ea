-- The lowest revision of each file that is kept: what is below it was removed, and never comes back.
create table floors (
    file_id blob primary key,
    revision integer not null
) without rowid;

-- Ids are never given twice, so that a reader in between two statements never takes one unit for another.
create table units (
    id integer primary key autoincrement,
    unit_id blob not null unique,
    tenant text not null,
    file_id blob not null,
    revision integer not null,
    file_name text not null,
    kind integer not null,
    ordinal integer not null,
    page integer,
    name text not null,
    width_px integer not null,
    height_px integer not null,
    thumbnail_uri text,
    thumbnail_hash text,
    thumbnail_width_px integer,
    thumbnail_height_px integer,
    text_model text,
    image_model text,
    name_key text not null,
    file_key text not null,
    stem_key text not null,
    text_uri text,
    text text not null
);
create index units_of_file on units (file_id, revision, kind);
create index units_by_name on units (tenant, name_key);
create index units_by_file_name on units (tenant, file_key);
create index units_by_file_stem on units (tenant, stem_key);

-- Tokens in normal form, with spaces between: the tokenizer has nothing left to do but to cut there.
create virtual table words using fts5(
    name, file, text,
    content = '', contentless_delete = 1, tokenize = 'ascii', prefix = '2 3'
);
create virtual table vocabulary using fts5vocab(words, row);

create virtual table texts using vec0(
    id integer primary key,
    tenant text partition key,
    vector float[384] distance_metric = cosine
);
create virtual table pictures using vec0(
    id integer primary key,
    tenant text partition key,
    vector float[1280] distance_metric = cosine
);
