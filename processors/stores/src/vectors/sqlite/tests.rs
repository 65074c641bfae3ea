//! What is in files of earlier versions.

use sqlx::sqlite::SqlitePoolOptions;

use super::*;
use crate::vectors::TEXT_DIMENSIONS;

fn direction(degrees: f32) -> Vec<f32> {
    let (sine, cosine) = degrees.to_radians().sin_cos();
    let mut values = vec![0.0; TEXT_DIMENSIONS];
    (values[1], values[TEXT_DIMENSIONS - 1]) = (cosine, sine);
    values
}

#[tokio::test]
async fn vectors_of_a_file_of_the_first_version_are_found_as_before() {
    let folder = tempfile::tempdir().unwrap();
    // Makes what is needed for the tables of the first version known to this process.
    SqliteVectors::open(&folder.path().join("other.db")).await.unwrap();
    let path = folder.path().join("vectors.db");
    let file = SqlitePoolOptions::new().connect_with(frameline_sqlite::options(&path)).await.unwrap();
    sqlx::raw_sql(MIGRATIONS[0]).execute(&file).await.unwrap();
    sqlx::raw_sql("pragma user_version = 1").execute(&file).await.unwrap();
    let degrees = |number: i32| (number * 37 % 90) as f32;
    for number in 0..200 {
        let unit = "insert into units (unit_id, tenant, file_id, revision, file_name, kind, ordinal, name, width_px, \
            height_px, text_model, name_key, file_key, stem_key, text)
            values (?, 'default', randomblob(16), 1, 'a.svg', 0, ?, ?, 1, 1, 'model', '', '', '', '') returning id";
        let (id,): (i64,) = sqlx::query_as(unit)
            .bind(Uuid::from_u128(number as u128).as_bytes().as_slice())
            .bind(number)
            .bind(degrees(number).to_string())
            .fetch_one(&file)
            .await
            .unwrap();
        let vector: Vec<u8> = direction(degrees(number)).iter().flat_map(|value| value.to_le_bytes()).collect();
        let insert = "insert into texts (id, tenant, vector) values (?, 'default', ?)";
        sqlx::query(insert).bind(id).bind(vector).execute(&file).await.unwrap();
    }
    file.close().await;
    let vectors = SqliteVectors::open(&path).await.unwrap();
    let found = {
        let text_vector = Some(direction(0.0));
        let query = Query { tenant: "default".to_owned(), text_vector, limit: 20, ..Query::default() };
        vectors.search(&query).await.unwrap()
    };
    let nearest: Vec<f32> = found.iter().map(|hit| hit.frame.parse().unwrap()).collect();
    let mut expected: Vec<f32> = (0..200).map(degrees).collect();
    expected.sort_by(f32::total_cmp);
    assert_eq!(nearest, expected[..20]);
}
