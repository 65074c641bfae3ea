//! The drawn file: a screen that looks like no other and says a word that no other file says.

use uuid::Uuid;

/// A word that nobody has ever written.
pub(super) fn new_word() -> String {
    let mut word = format!("canary{}", Uuid::new_v4().simple());
    word.truncate(22);
    word
}

/// The file that says it.
pub(super) fn svg(word: &str) -> String {
    let hash = blend(word);
    let (x, y, colour) = (40 + hash % 120, 150 + hash / 7 % 80, 0x10_10_10 | (hash % 0xe0_e0_e0));
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="400" height="300">
  <rect width="400" height="300" fill="#f4f1ea"/><rect x="40" y="40" width="320" height="60" rx="8" fill="#2f5d50"/>
  <circle cx="{x}" cy="{y}" r="40" fill="#{colour:06x}"/><rect x="190" y="{y}" width="170" height="60" fill="#3d405b"/>
  <text x="60" y="80" font-size="20" fill="white">{word}</text></svg>"##
    )
}

fn blend(word: &str) -> u32 {
    word.bytes().fold(0, |hash, byte| hash.wrapping_mul(31).wrapping_add(u32::from(byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_drawing_says_and_shows_something_new() {
        let (one, other) = (new_word(), new_word());
        assert_ne!(one, other);
        assert_eq!((one.len(), one.bytes().all(|byte| byte.is_ascii_alphanumeric())), (22, true), "{one}");
        assert_ne!(svg(&one).replace(&one, ""), svg(&other).replace(&other, ""));
        assert!(svg(&one).contains(&one));
    }
}
