//! Ids are UUIDv5 of what they name, so that doing a thing twice names it the same.

use uuid::Uuid;

use crate::Kind;

/// The namespace of all of them: UUIDv5 of the DNS name `frameline.dev`.
const NAMESPACE: Uuid = Uuid::from_u128(0x3f0c_9f0b_6c1e_5b64_9d0e_6a1f_6b8b_2c11);

/// The id of the file that `tenant` keeps at `path`.
pub fn file_id(tenant: &str, path: &[u8]) -> Uuid {
    let tenant_space = Uuid::new_v5(&NAMESPACE, tenant.as_bytes());
    Uuid::new_v5(&tenant_space, path)
}

/// The id of the job that brings `revision` of a file in.
pub fn job_id(file_id: Uuid, revision: i64) -> Uuid {
    Uuid::new_v5(&file_id, format!("job {revision}").as_bytes())
}

/// The id of a unit: the same in every revision, so that a new one replaces the old one in place.
pub fn unit_id(file_id: Uuid, kind: Kind, ordinal: i32) -> Uuid {
    let kind = match kind {
        Kind::Frame => "frame",
        Kind::Passage => "passage",
    };
    Uuid::new_v5(&file_id, format!("{kind} {ordinal}").as_bytes())
}
