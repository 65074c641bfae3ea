//! What comes in during a run: files of several kinds, changed and deleted while they are on their way, and
//! records that are none. Drawn with the schedule, so that the undisturbed run gets the same.

use std::path::PathBuf;

use fastrand::Rng;
use frameline_tests::content;

/// One thing that somebody does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Input {
    /// Writes these files, and adds them.
    Add(Vec<Content>),
    /// Deletes a file that was added.
    Delete(FileName),
    /// Writes bytes that are no record into a topic.
    Poison { topic: &'static str, number: u32 },
}

/// A file's name, which also says how it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct FileName {
    kind: Kind,
    number: u32,
}

/// A file in one of its contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) file: FileName,
    seed: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Kind {
    Document,
    Screen,
    Picture,
    /// It ends in the middle, and in the dead letters.
    Torn,
    /// It is skipped.
    Empty,
}

impl FileName {
    /// Its name in the folder of files.
    pub(crate) fn path(self) -> PathBuf {
        let Self { kind, number } = self;
        PathBuf::from(match kind {
            Kind::Document => format!("document-{number:04}.md"),
            Kind::Screen => format!("screen-{number:04}.svg"),
            Kind::Picture => format!("picture-{number:04}.png"),
            Kind::Torn => format!("torn-{number:04}.png"),
            Kind::Empty => format!("empty-{number:04}.svg"),
        })
    }
}

impl Content {
    /// Its bytes.
    pub(crate) fn bytes(self) -> anyhow::Result<Vec<u8>> {
        let mut random = Rng::with_seed(self.seed);
        Ok(match self.file.kind {
            Kind::Document => content::document(&mut random, 5, 2, 50).into_bytes(),
            Kind::Screen => content::screen(&mut random, 3).into_bytes(),
            Kind::Picture => content::png(&content::picture(&mut random, 120, 90))?,
            Kind::Torn => {
                let whole = content::png(&content::picture(&mut random, 120, 90))?;
                whole[..whole.len() / 2].to_vec()
            }
            Kind::Empty => Vec::new(),
        })
    }
}

/// Draws inputs, and remembers what there is to change.
#[derive(Debug, Default)]
pub(crate) struct Inputs {
    files: Vec<FileName>,
    count: u32,
}

impl Inputs {
    /// What comes in during a step.
    pub(crate) fn draw(&mut self, random: &mut Rng) -> Vec<Input> {
        match random.u32(..20) {
            0..=11 => {
                let count = random.usize(2..=7);
                vec![Input::Add((0..count).map(|_| self.fresh(random)).collect())]
            }
            // Two revisions back to back.
            12..=14 => {
                let first = self.fresh(random);
                let second = Content { seed: random.u64(..), ..first };
                vec![Input::Add(vec![first]), Input::Add(vec![second])]
            }
            // Deleted while it is on its way.
            15..=16 => {
                let content = self.fresh(random);
                vec![Input::Add(vec![content]), Input::Delete(content.file)]
            }
            17..=18 => match self.files.get(random.usize(..self.files.len().max(1))) {
                Some(&file) => vec![Input::Add(vec![Content { file, seed: random.u64(..) }])],
                None => vec![Input::Add(vec![self.fresh(random)])],
            },
            _ => {
                self.count += 1;
                let topic = ["files", "frames", "thumbnails", "units", "embeddings", "progress"][random.usize(..6)];
                vec![Input::Poison { topic, number: self.count }]
            }
        }
    }

    /// Enough to keep every stage at work for a while, under many keys, some of them with two revisions.
    pub(crate) fn draw_many(&mut self, random: &mut Rng) -> Vec<Input> {
        let kinds = [[Kind::Document; 4], [Kind::Document, Kind::Document, Kind::Screen, Kind::Screen]].concat();
        let first: Vec<Content> = kinds.into_iter().map(|kind| self.fresh_of(kind, random)).collect();
        let second = first.iter().step_by(2).map(|content| Content { seed: random.u64(..), ..*content }).collect();
        vec![Input::Add(first), Input::Add(second)]
    }

    fn fresh(&mut self, random: &mut Rng) -> Content {
        let kind = match random.u32(..20) {
            0..=8 => Kind::Document,
            9..=13 => Kind::Screen,
            14..=16 => Kind::Picture,
            17..=18 => Kind::Torn,
            _ => Kind::Empty,
        };
        self.fresh_of(kind, random)
    }

    fn fresh_of(&mut self, kind: Kind, random: &mut Rng) -> Content {
        self.count += 1;
        let file = FileName { kind, number: self.count };
        // What failed or was skipped is not changed later: whether it had ended by then decides on its revision.
        if matches!(kind, Kind::Document | Kind::Screen | Kind::Picture) {
            self.files.push(file);
        }
        Content { file, seed: random.u64(..) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_content_has_the_same_bytes_and_another_has_others() {
        let mut random = Rng::with_seed(1);
        let mut inputs = Inputs::default();
        for _ in 0..40 {
            let content = inputs.fresh(&mut random);
            let other = Content { seed: content.seed + 1, ..content };
            let bytes = content.bytes().unwrap();
            assert_eq!(bytes, content.bytes().unwrap());
            assert!(content.file.kind == Kind::Empty || bytes != other.bytes().unwrap());
        }
    }

    #[test]
    fn every_kind_of_input_comes() {
        let mut random = Rng::with_seed(2);
        let mut inputs = Inputs::default();
        let drawn: Vec<Vec<Input>> = (0..200).map(|_| inputs.draw(&mut random)).collect();
        let has = |wanted: fn(&[Input]) -> bool| drawn.iter().any(|inputs| wanted(inputs));
        assert!(has(|inputs| matches!(inputs, [Input::Add(files)] if files.len() > 1)));
        assert!(has(|inputs| matches!(inputs, [Input::Add(_), Input::Add(_)])));
        assert!(has(|inputs| matches!(inputs, [Input::Add(_), Input::Delete(_)])));
        assert!(has(|inputs| matches!(inputs, [Input::Poison { .. }])));
    }
}
