//! Gathering a document's text under its headings.

/// Between the headings of a path.
const STEP: &str = " › ";

/// Text under one heading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Section {
    /// The headings above the text, from the widest to the nearest; `None` before the first one.
    pub(crate) name: Option<String>,
    /// The nearest headings and what follows them.
    pub(crate) text: String,
    /// Its number, from 1, where the document has headings.
    pub(crate) number: Option<i32>,
}

/// Gathers text and headings in their order.
#[derive(Debug, Default)]
pub(super) struct Outline {
    title: Option<String>,
    path: Vec<(u8, String)>,
    text: String,
    has_body: bool,
    sections: Vec<Section>,
}

impl Outline {
    /// The document's title: the name of what stands before the first heading.
    pub(super) fn set_title(&mut self, title: String) {
        self.title.get_or_insert(title);
    }

    /// A heading of a level, 1 for the widest. It opens a section, unless only headings came since the last one
    /// was opened: then they stay together, so that no section is a heading alone.
    pub(super) fn heading(&mut self, level: u8, heading: String) {
        if self.has_body {
            self.close();
        }
        self.path.retain(|(above, _)| *above < level);
        self.text.push_str(&heading);
        self.text.push_str("\n\n");
        self.path.push((level, heading));
    }

    /// Text of the section.
    pub(super) fn text(&mut self, text: &str) {
        let text = if self.has_body { text } else { text.trim_start() };
        self.has_body |= !text.is_empty();
        self.text.push_str(text);
    }

    /// The sections, numbered where there are headings.
    pub(super) fn finish(mut self) -> Vec<Section> {
        self.close();
        if self.path.is_empty() && self.sections.len() == 1 {
            self.sections.iter_mut().for_each(|section| section.number = None);
        }
        self.sections
    }

    fn close(&mut self) {
        let text = std::mem::take(&mut self.text);
        self.has_body = false;
        if text.trim().is_empty() {
            return;
        }
        let headings: Vec<&str> = self.path.iter().map(|(_, heading)| heading.as_str()).collect();
        let name = if headings.is_empty() { self.title.clone() } else { Some(headings.join(STEP)) };
        let number = i32::try_from(self.sections.len() + 1).ok();
        self.sections.push(Section { name, text: text.trim().to_owned(), number });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_named_by_the_path_of_their_headings() {
        let mut outline = Outline::default();
        outline.set_title("Handbook".to_owned());
        outline.text("Before.");
        for (level, heading, text) in
            [(1, "One", ""), (2, "Two", "a"), (2, "Three", "b"), (1, "Four", "c"), (3, "Five", "d")]
        {
            outline.heading(level, heading.to_owned());
            outline.text(text);
        }
        let sections = outline.finish();
        let names: Vec<_> = sections.iter().map(|section| section.name.as_deref().unwrap()).collect();
        assert_eq!(names, ["Handbook", "One › Two", "One › Three", "Four", "Four › Five"]);
        assert_eq!(sections[1].text, "One\n\nTwo\n\na", "a heading without text stays with the next one");
        assert_eq!(sections[4].number, Some(5));
    }

    #[test]
    fn a_document_without_headings_has_no_numbers() {
        let mut outline = Outline::default();
        outline.text("words");
        assert_eq!(outline.finish(), [Section { name: None, text: "words".to_owned(), number: None }]);
    }
}
