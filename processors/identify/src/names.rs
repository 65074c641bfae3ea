//! What a file is called, for people.

/// The file's name without folders and ending, in words: `green-teapot_02.svg` is `green teapot 02`.
pub(crate) fn title_of(file_name: &str) -> String {
    let base = file_name.rsplit(['/', '\\']).next().unwrap_or(file_name);
    let stem = match base.rsplit_once('.') {
        Some((stem, _)) if !stem.is_empty() => stem,
        _ => base,
    };
    let mut title = String::with_capacity(stem.len() + 8);
    let mut previous = ' ';
    for letter in stem.chars() {
        if previous.is_lowercase() && letter.is_uppercase() {
            title.push(' ');
        }
        title.push(if matches!(letter, '-' | '_' | '+' | '.') { ' ' } else { letter });
        previous = letter;
    }
    let title = one_line(&title);
    if title.is_empty() { base.to_owned() } else { title }
}

/// The longest name, in characters: enough for a person, and small in a record.
const NAME_CHARACTERS: usize = 200;

/// A name of bearable length.
pub(crate) fn short(name: &str) -> String {
    if name.chars().count() <= NAME_CHARACTERS {
        return name.to_owned();
    }
    let start: String = name.chars().take(NAME_CHARACTERS - 1).collect();
    format!("{start}…")
}

/// The words of a text with single spaces between them.
pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The ending of a file's name in lower case; empty where it has none.
pub(crate) fn ending_of(file_name: &str) -> String {
    let base = file_name.rsplit(['/', '\\']).next().unwrap_or(file_name);
    base.rsplit_once('.').map_or_else(String::new, |(_, ending)| ending.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_the_stem_in_words() {
        assert_eq!(title_of("exports/green-teapot_02.svg"), "green teapot 02");
        assert_eq!(title_of("UserAccounts.svg"), "User Accounts");
        assert_eq!(title_of("apps__geary__list.v2.svg"), "apps geary list v2");
        assert_eq!(title_of(".gitignore"), "gitignore");
        assert_eq!(title_of("übersicht.md"), "übersicht");
        assert_eq!(title_of("---.png"), "---.png");
    }

    #[test]
    fn a_name_without_end_is_cut() {
        assert_eq!(short("Größe"), "Größe");
        assert_eq!(short(&"ü".repeat(201)), format!("{}…", "ü".repeat(199)));
    }
}
