//! What collections are called: `ALIAS-TEXTMODEL-384-IMAGEMODEL-1280-GENERATION`. A plain value.

use super::Models;
use crate::vectors::{IMAGE_DIMENSIONS, TEXT_DIMENSIONS};

/// The names of the collections by some models behind an alias.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Names {
    alias: String,
    /// All of a name but its generation.
    stem: String,
}

impl Names {
    pub(super) fn new(alias: &str, models: &Models) -> Self {
        let (text, image) = (plain(&models.text), plain(&models.image));
        let stem = format!("{alias}-{text}-{TEXT_DIMENSIONS}-{image}-{IMAGE_DIMENSIONS}-");
        Self { alias: alias.to_owned(), stem }
    }

    pub(super) fn alias(&self) -> &str {
        &self.alias
    }

    /// The collection of a generation; a rebuild makes the next one.
    pub(super) fn collection(&self, generation: u32) -> String {
        format!("{}{generation}", self.stem)
    }

    /// Whether a collection is one that was made for this alias, by whichever models.
    pub(super) fn is_of_alias(&self, collection: &str) -> bool {
        collection.strip_prefix(&self.alias).is_some_and(|rest| rest.starts_with('-'))
    }

    /// The generation of a collection; `None` where it is not by these models, or not ours at all.
    pub(super) fn generation(&self, collection: &str) -> Option<u32> {
        collection.strip_prefix(&self.stem)?.parse().ok()
    }
}

/// A model's name as it can stand in a path.
fn plain(model: &str) -> String {
    let plain = |character: char| if character.is_ascii_alphanumeric() || character == '.' { character } else { '_' };
    model.chars().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Names {
        Names::new("designs", &Models { text: text.to_owned(), image: "vendor/lite:0".to_owned() })
    }

    #[test]
    fn a_collection_is_named_by_alias_models_and_dimensions() {
        assert_eq!(names("mini-LM.v2").collection(3), "designs-mini_LM.v2-384-vendor_lite_0-1280-3");
    }

    #[test]
    fn the_generation_is_read_back_and_other_models_have_none() {
        let ours = names("a");
        assert_eq!(ours.generation(&ours.collection(12)), Some(12));
        assert_eq!(ours.generation(&names("b").collection(12)), None);
        assert_eq!(ours.generation("designs"), None);
        assert!(ours.is_of_alias(&names("b").collection(12)) && !ours.is_of_alias("designs2-b-384-lite-1280-1"));
    }
}
