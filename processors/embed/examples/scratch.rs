use frameline_embed::*;
use frameline_schemas::*;
use frameline_stores::vectors::{Vectors, SqliteVectors, Query, Hit};
use std::time::Instant;
use std::collections::HashMap;
fn head(file: &str) -> Head { let f = file_id("default", file.as_bytes()); Head { tenant: "default".into(), file_id: f, revision: 1, job_id: job_id(f, 1), file_name: file.into() } }
fn rank(hits: &[Hit], file: &str) -> usize { hits.iter().position(|h| h.file == file).map_or(99, |p| p + 1) }
#[tokio::main]
async fn main() {
    let text = TextModel::new().unwrap();
    text.warm().unwrap();
    let dir = std::path::PathBuf::from("/tmp/team/vecm");
    let path = dir.join("v.db");
    for s in ["", "-wal", "-shm"] { let _ = std::fs::remove_file(format!("{}{s}", path.display())); }
    let v = SqliteVectors::open(&path).await.unwrap();
    let rows: Vec<Vec<String>> = std::fs::read_to_string(dir.join("corpus.tsv")).unwrap().lines().map(|l| l.split('\t').map(str::to_owned).collect()).collect();
    let cache = dir.join("vectors.bin");
    let texts: Vec<String> = rows.iter().map(|r| format!("{}\n{}", r[2], r[3]).trim().to_owned()).collect();
    let vectors: Vec<Vec<f32>> = if let Ok(b) = std::fs::read(&cache) { b.chunks(384 * 4).map(|c| c.chunks(4).map(|x| f32::from_le_bytes(x.try_into().unwrap())).collect()).collect() } else {
        let t = Instant::now();
        let v = text.embed(&texts).unwrap();
        println!("embedded {} in {:?}", v.len(), t.elapsed());
        std::fs::write(&cache, v.iter().flatten().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>()).unwrap(); v };
    let mut ord: HashMap<String, i32> = HashMap::new();
    let points: Vec<Embedding> = rows.iter().zip(&vectors).map(|(r, vec)| {
        let o = ord.entry(r[0].clone()).or_default(); *o += 1;
        let kind = if r[1] == "frame" { Kind::Frame } else { Kind::Passage };
        let head = head(&r[0]);
        Embedding { unit_id: unit_id(head.file_id, kind, *o), head, content: Content { kind, ordinal: *o, page: None, name: r[2].clone(), text: r[3].clone(), text_uri: None, width_px: 0, height_px: 0 }, thumbnail: None, text_vector: Some(Vector { model: "m".into(), values: vec.clone() }), image_vector: None }
    }).collect();
    let t = Instant::now();
    for c in points.chunks(32) { v.upsert(c).await.unwrap(); }
    println!("upserted {} in {:?}", points.len(), t.elapsed());
    let mut sums: HashMap<&str, (f64, usize, usize, usize)> = HashMap::new();
    for line in std::fs::read_to_string(dir.join("q.tsv")).unwrap().lines() {
        let (q, file) = line.split_once('\t').unwrap();
        let qv = text.embed(&[q]).unwrap().remove(0);
        let base = Query { tenant: "default".into(), words: Some(q.into()), text_vector: Some(qv), image_vector: None, limit: 60 };
        let ours = v.search(&base).await.unwrap();
        let lex = v.search(&Query { text_vector: None, ..base.clone() }).await.unwrap();
        let vec = v.search(&Query { words: None, ..base.clone() }).await.unwrap();
        let mut rrf: HashMap<_, (f32, Hit)> = HashMap::new();
        for l in [&lex, &vec] { for (i, h) in l.iter().enumerate() { rrf.entry(h.unit_id).or_insert((0.0, h.clone())).0 += 1.0 / (60.0 + i as f32); } }
        let mut rrf: Vec<_> = rrf.into_values().collect(); rrf.sort_by(|a, b| b.0.total_cmp(&a.0)); let rrf: Vec<Hit> = rrf.into_iter().map(|x| x.1).collect();
        let mut mm: HashMap<_, (f32, Hit)> = HashMap::new();
        for l in [&lex, &vec] { let (lo, hi) = (l.last().map_or(0., |h| h.score), l.first().map_or(1., |h| h.score)); for h in l.iter() { mm.entry(h.unit_id).or_insert((0.0, h.clone())).0 += (h.score - lo) / (hi - lo).max(1e-6); } }
        let mut mm: Vec<_> = mm.into_values().collect(); mm.sort_by(|a, b| b.0.total_cmp(&a.0)); let mm: Vec<Hit> = mm.into_iter().map(|x| x.1).collect();
        for (n, l) in [("ours", &ours), ("rrf", &rrf), ("minmax", &mm), ("lexical", &lex), ("vector", &vec)] {
            let r = rank(l, file); let s = sums.entry(n).or_default();
            if file != "*" { s.0 += 1.0 / r as f64; s.1 += (r == 1) as usize; s.2 += (r <= 3) as usize; s.3 += 1; }
        }
        println!("{q:45} {file:25} ours {:2} rrf {:2} mm {:2} lex {:2} vec {:2} | {}", rank(&ours, file), rank(&rrf, file), rank(&mm, file), rank(&lex, file), rank(&vec, file), ours.iter().take(3).map(|h| format!("{:.2} {}/{} {:?}", h.score, h.file, h.frame.chars().take(20).collect::<String>(), h.why)).collect::<Vec<_>>().join(" · "));
    }
    for (n, s) in &sums { println!("{n:8} mrr {:.3} top1 {} top3 {} of {}", s.0 / s.3 as f64, s.1, s.2, s.3); }
    for q in std::fs::read_to_string(dir.join("nonsense.txt")).unwrap().lines() {
        let qv = text.embed(&[q]).unwrap().remove(0);
        let h = v.search(&Query { tenant: "default".into(), words: Some(q.into()), text_vector: Some(qv), image_vector: None, limit: 5 }).await.unwrap();
        println!("NONSENSE {q}: {}", h.iter().map(|h| format!("{:.2} {} {:?}", h.score, h.frame, h.why)).collect::<Vec<_>>().join(" · "));
    }
    // 10,000 units
    let path = dir.join("big.db");
    if !path.exists() {
        let v = SqliteVectors::open(&path).await.unwrap();
        let t = Instant::now();
        let mut seed = 1u64; let mut rnd = || { seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407); (seed >> 33) as f32 / (1u64 << 31) as f32 - 0.5 };
        let norm = |mut x: Vec<f32>| { let n = x.iter().map(|a| a * a).sum::<f32>().sqrt(); x.iter_mut().for_each(|a| *a /= n); x };
        let mut buf = vec![];
        for i in 0..10_000i32 {
            let mut p = points[i as usize % points.len()].clone();
            let name = format!("file{}.svg", i / 10);
            p.head = head(&name); p.unit_id = unit_id(p.head.file_id, p.content.kind, i);
            p.content.text = format!("{} number {i} {}", p.content.text, i * 7919 % 10_007);
            let tv = p.text_vector.as_mut().unwrap(); tv.values = norm(tv.values.iter().map(|a| a + 0.02 * rnd()).collect());
            if p.content.kind == Kind::Frame || i % 2 == 0 { p.image_vector = Some(Vector { model: "i".into(), values: norm((0..1280).map(|_| rnd().max(0.0)).collect()) }); }
            buf.push(p);
            if buf.len() == 32 { v.upsert(&buf).await.unwrap(); buf.clear(); }
        }
        v.upsert(&buf).await.unwrap();
        println!("10,000 units in {:?}", t.elapsed());
        v.close().await;
    }
    let t = Instant::now();
    let v = SqliteVectors::open(&path).await.unwrap();
    println!("open {:?}; {:?}; {} MB", t.elapsed(), v.counts().await.unwrap(), std::fs::metadata(&path).unwrap().len() >> 20);
    let qs: Vec<String> = std::fs::read_to_string(dir.join("q.tsv")).unwrap().lines().map(|l| l.split('\t').next().unwrap().to_owned()).collect();
    for round in 0..3 {
        let (mut all, mut emb, mut lexi, mut vect) = (vec![], vec![], vec![], vec![]);
        for q in &qs {
            let t = Instant::now();
            let qv = text.embed(&[q]).unwrap().remove(0);
            emb.push(t.elapsed().as_secs_f64() * 1e3);
            let base = Query { tenant: "default".into(), words: Some(q.clone()), text_vector: Some(qv), image_vector: None, limit: 10 };
            v.search(&base).await.unwrap();
            all.push(t.elapsed().as_secs_f64() * 1e3);
            let t = Instant::now(); v.search(&Query { text_vector: None, ..base.clone() }).await.unwrap(); lexi.push(t.elapsed().as_secs_f64() * 1e3);
            let t = Instant::now(); v.search(&Query { words: None, ..base.clone() }).await.unwrap(); vect.push(t.elapsed().as_secs_f64() * 1e3);
        }
        let p = |v: &mut Vec<f64>| { v.sort_by(f64::total_cmp); format!("p50 {:.1} p95 {:.1}", v[v.len() / 2], v[v.len() * 95 / 100]) };
        let mut pic = vec![];
        for i in 0..10 { let q = Query { tenant: "default".into(), words: None, text_vector: None, image_vector: Some((0..1280).map(|j| if j == i { 1.0 } else { 0.001 }).collect()), limit: 10 }; let t = Instant::now(); v.search(&q).await.unwrap(); pic.push(t.elapsed().as_secs_f64() * 1e3); }
        println!("round {round}: all {} | embed {} | lexical {} | vector {} | picture {}", p(&mut all), p(&mut emb), p(&mut lexi), p(&mut vect), p(&mut pic));
    }
    let s = std::fs::read_to_string("/proc/self/status").unwrap(); println!("{}", s.lines().filter(|l| l.starts_with("VmRSS") || l.starts_with("RssAnon")).collect::<Vec<_>>().join(" "));
}
