//! What a search finds, and in which order.

use frameline_schemas::{Embedding, Kind};
use frameline_stores::vectors::{Floor, Hit, Query, Vectors, Why};

use crate::vectors::points::{at_revision, by_meaning, by_picture, by_words, frame, with_picture, with_text};

async fn hits(vectors: &dyn Vectors, query: &Query) -> Vec<Hit> {
    vectors.search(query).await.unwrap()
}

async fn names(vectors: &dyn Vectors, words: &str) -> Vec<String> {
    hits(vectors, &by_words(words)).await.into_iter().map(|hit| hit.frame).collect()
}

pub(crate) async fn an_exact_name_comes_first(vectors: &dyn Vectors) {
    let points = [
        frame("a.svg", 0, "Profile settings", "Settings Settings Settings of the profile"),
        frame("b.svg", 0, "Settings", "Language Theme"),
        with_text(frame("c.svg", 0, "Preferences", "Everything about settings"), 2.0),
    ];
    vectors.upsert(&points).await.unwrap();
    let found = hits(vectors, &by_meaning("  sEttings ")).await;
    assert_eq!(found.iter().map(|hit| hit.frame.as_str()).next(), Some("Settings"));
    assert_eq!(found.len(), 3);
}

pub(crate) async fn an_exact_file_name_comes_first_with_and_without_its_ending(vectors: &dyn Vectors) {
    let points = [
        frame("designs/other.svg", 0, "Check", "check out checkout-flow svg checkout flow"),
        frame("designs/Checkout-Flow.svg", 0, "Step 1", "Address"),
    ];
    vectors.upsert(&points).await.unwrap();
    for words in ["checkout flow", "Checkout-Flow.svg"] {
        assert_eq!(names(vectors, words).await.first().map(String::as_str), Some("Step 1"), "{words}");
    }
}

pub(crate) async fn words_are_found_whatever_their_case_and_accents(vectors: &dyn Vectors) {
    vectors.upsert(&[frame("a.svg", 0, "Übersicht", "Straße CAFÉ naïve")]).await.unwrap();
    for words in ["übersicht", "UBERSICHT", "strasse", "cafe", "NAÏVE"] {
        assert_eq!(names(vectors, words).await, ["Übersicht"], "{words}");
    }
}

pub(crate) async fn the_last_word_may_be_a_beginning(vectors: &dyn Vectors) {
    vectors.upsert(&[frame("a.svg", 0, "Rechnungsbetrag", "overdue invoices")]).await.unwrap();
    assert_eq!(names(vectors, "rechnung").await, ["Rechnungsbetrag"]);
    assert_eq!(names(vectors, "overdue invo").await, ["Rechnungsbetrag"]);
}

pub(crate) async fn scripts_without_spaces_and_emoji_are_found_by_one_or_two_characters(vectors: &dyn Vectors) {
    let points = [
        frame("a.svg", 0, "ログイン画面", "メールアドレスとパスワードを入力"),
        frame("b.svg", 0, "设置", "账户和隐私"),
        frame("c.svg", 0, "로그인", "비밀번호를 잊으셨나요"),
        frame("d.svg", 0, "شاشة التسجيل", "أدخل كلمة المرور"),
        frame("e.svg", 0, "Reactions", "👍 party 🎉 👩‍💻 🫠"),
        frame("f.svg", 0, "เข้าสู่ระบบ", "ลืมรหัสผ่าน"),
    ];
    vectors.upsert(&points).await.unwrap();
    for (words, name) in [
        ("画面", "ログイン画面"),
        ("画", "ログイン画面"),
        ("パスワード", "ログイン画面"),
        ("隐私", "设置"),
        ("设", "设置"),
        ("비밀", "로그인"),
        ("인", "로그인"),
        ("تسجيل", "شاشة التسجيل"),
        ("كلمة", "شاشة التسجيل"),
        ("🎉", "Reactions"),
        ("👍🏽", "Reactions"),
        ("👩‍💻", "Reactions"),
        ("🫠", "Reactions"),
        ("รหัส", "เข้าสู่ระบบ"),
    ] {
        assert_eq!(names(vectors, words).await.first().map(String::as_str), Some(name), "{words}");
    }
}

pub(crate) async fn nothing_that_is_typed_is_an_operator(vectors: &dyn Vectors) {
    vectors.upsert(&[frame("a.svg", 0, "Cart", "near and not or"), frame("b.svg", 0, "Map", "zoom")]).await.unwrap();
    for words in [
        "cart AND",
        "\"cart",
        "cart*",
        "name:cart",
        "cart NOT zzz",
        "(cart",
        "cart)",
        "{cart",
        "-cart",
        "cart; drop table units",
        "NEAR(cart",
    ] {
        assert_eq!(names(vectors, words).await.first().map(String::as_str), Some("Cart"), "{words}");
    }
    for words in ["", "  ", "\"", "*", "()", "'", "\0", "^:", "%", "_"] {
        assert_eq!(names(vectors, words).await, [""; 0], "{words:?}");
    }
}

pub(crate) async fn a_tenant_finds_its_own_alone(vectors: &dyn Vectors) {
    let own = with_picture(with_text(frame("a.svg", 0, "Cart", ""), 1.0), 1.0);
    let mut foreign = with_picture(with_text(frame("b.svg", 0, "Cart", ""), 0.0), 0.0);
    foreign.head.tenant = "somebody else".to_owned();
    vectors.upsert(&[own.clone(), foreign]).await.unwrap();
    for query in [by_words("cart"), by_meaning("cart"), by_meaning("basket"), by_picture()] {
        let found = hits(vectors, &query).await;
        assert_eq!(found.iter().map(|hit| hit.unit_id).collect::<Vec<_>>(), [own.unit_id], "{query:?}");
    }
}

pub(crate) async fn meaning_is_found_without_a_common_word(vectors: &dyn Vectors) {
    let far = with_text(frame("a.svg", 0, "Map", "Zoom"), 88.0);
    let near = with_text(frame("b.svg", 0, "Sign in", "Password"), 45.0);
    let nearer = with_text(frame("c.svg", 0, "Log in", "Password"), 30.0);
    vectors.upsert(&[far, near, nearer]).await.unwrap();
    let found = hits(vectors, &by_meaning("authentication")).await;
    assert_eq!(found.iter().map(|hit| hit.frame.as_str()).collect::<Vec<_>>(), ["Log in", "Sign in"]);
    assert!(found.iter().all(|hit| hit.why == [Why::Text]));
}

pub(crate) async fn a_picture_finds_pictures_that_look_alike(vectors: &dyn Vectors) {
    let points: Vec<Embedding> = [(0, 60.0), (1, 5.0), (2, 30.0), (3, 89.0)]
        .map(|(ordinal, degrees)| with_picture(frame("a.svg", ordinal, &degrees.to_string(), ""), degrees))
        .into();
    vectors.upsert(&points).await.unwrap();
    let found = hits(vectors, &by_picture()).await;
    assert_eq!(found.iter().map(|hit| hit.frame.as_str()).collect::<Vec<_>>(), ["5", "30", "60"]);
    assert!(found.iter().all(|hit| hit.why == [Why::Picture]));
}

pub(crate) async fn nonsense_finds_nothing(vectors: &dyn Vectors) {
    let point = |ordinal: i32| {
        let text = if ordinal % 2 == 0 { "the price of the goods" } else { "the rest of the list" };
        with_text(frame("a.svg", ordinal, "Cart", text), 80.0)
    };
    vectors.upsert(&(0..20).map(point).collect::<Vec<_>>()).await.unwrap();
    assert_eq!(hits(vectors, &by_meaning("the zxqwv blorft of gnarp")).await, []);
    assert_eq!(hits(vectors, &by_meaning("the price of gnarp")).await.len(), 10);
}

pub(crate) async fn what_was_replaced_or_removed_is_not_found(vectors: &dyn Vectors) {
    let old = with_text(frame("a.svg", 0, "Basket", "Pay"), 0.0);
    let gone = with_picture(with_text(frame("a.svg", 1, "Voucher", "Redeem"), 0.0), 0.0);
    vectors.upsert(&[old, gone]).await.unwrap();
    let new = at_revision(with_text(frame("a.svg", 0, "Cart", "Order"), 90.0), 2);
    vectors.upsert(std::slice::from_ref(&new)).await.unwrap();
    vectors.finish(&[(new.head.file_id, Floor::after(2, false))]).await.unwrap();
    for words in ["basket", "pay", "voucher", "redeem"] {
        assert_eq!(hits(vectors, &by_meaning(words)).await, [], "{words}");
    }
    assert_eq!(hits(vectors, &by_picture()).await, []);
    assert_eq!(names(vectors, "cart").await, ["Cart"]);
}

pub(crate) async fn a_hit_says_where_why_and_shows_the_words(vectors: &dyn Vectors) {
    let mut point = with_text(frame("handbook.md", 3, "Travel", ""), 10.0);
    point.content.kind = Kind::Passage;
    point.content.page = Some(7);
    point.content.text = format!("{}\nBook the train\nearly. {}", "filler ".repeat(80), "more ".repeat(80));
    vectors.upsert(std::slice::from_ref(&point)).await.unwrap();
    let found = hits(vectors, &by_meaning("train")).await;
    let [hit] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((hit.file_id, hit.unit_id), (point.head.file_id, point.unit_id));
    assert_eq!(
        (hit.file.as_str(), hit.frame.as_str(), hit.kind, hit.page),
        ("handbook.md", "Travel", Kind::Passage, Some(7))
    );
    assert_eq!(hit.thumbnail.as_deref(), Some("blob:handbook.md/3"));
    assert_eq!(hit.why, [Why::Lexical, Why::Text]);
    assert!(hit.snippet.contains("Book the train early. more"), "{}", hit.snippet);
    assert!(hit.score > 0.5 && hit.score <= 1.0, "{}", hit.score);
}

pub(crate) async fn no_more_hits_than_asked_for_and_the_best_first(vectors: &dyn Vectors) {
    let points: Vec<Embedding> =
        (0..200).map(|ordinal| with_text(frame("a.svg", ordinal, "Card", "x"), ordinal as f32 / 5.0)).collect();
    vectors.upsert(&points).await.unwrap();
    for limit in [0, 1, 7, 150] {
        let found = hits(vectors, &Query { limit, ..by_meaning("card") }).await;
        assert_eq!(found.len(), limit);
        assert!(found.windows(2).all(|pair| pair[0].score >= pair[1].score));
        let is_best = |hit: &Hit| hit.unit_id == points[0].unit_id;
        assert!(found.first().is_none_or(is_best));
    }
}
