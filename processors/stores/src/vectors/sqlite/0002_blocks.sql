-- Vectors as they were written, by the unit's id.
create table text_vectors (
    id integer primary key,
    vector blob not null
);
create table picture_vectors (
    id integer primary key,
    vector blob not null
);

-- The same with a byte a value, which is what a search reads of all of a tenant's. The units with the ids from 64 * block
-- share a row: a bit of `present` for each that is there, the lowest id's first, and the codes of these in that order.
create table text_blocks (
    id integer primary key,
    tenant text not null,
    block integer not null,
    present integer not null,
    codes blob not null,
    unique (tenant, block)
);
create table picture_blocks (
    id integer primary key,
    tenant text not null,
    block integer not null,
    present integer not null,
    codes blob not null,
    unique (tenant, block)
);

insert into text_vectors (id, vector) select id, vector from texts;
insert into text_blocks (tenant, block, present, codes)
    select tenant, id >> 6, sum(1 << (id & 63)),
        cast(group_concat(vec_quantize_int8(vector, 'unit'), '' order by id) as blob)
    from texts group by tenant, id >> 6;
drop table texts;

insert into picture_vectors (id, vector) select id, vector from pictures;
insert into picture_blocks (tenant, block, present, codes)
    select tenant, id >> 6, sum(1 << (id & 63)),
        cast(group_concat(vec_quantize_int8(vector, 'unit'), '' order by id) as blob)
    from pictures group by tenant, id >> 6;
drop table pictures;
