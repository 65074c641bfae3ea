//! Texts to vectors: all-MiniLM-L6-v2, mean pooling, L2-normalised.

use std::sync::OnceLock;
use std::thread;

use frameline_models::{ModelsError, TEXT_MODEL};
use tokenizers::{Encoding, Tokenizer, TruncationParams};

use crate::EmbedError;
use crate::arrange::{Run, Shape, arrange};
use crate::plan::{Folded, Plan, Values};

/// The plans, chosen by measuring on one AVX-512 core. A plan holds its own packed weights, 43 MB, so they are few.
///
/// | rows x tokens | texts/s | tokens/s | for |
/// |---|---|---|---|
/// | 1 x 16 | 120-140 | 1,900-2,200 | queries, names |
/// | 8 x 32 | 84-93 | 2,700-3,000 | short texts in bulk; 1 x 32 makes 50 |
/// | 1 x 64 | 39-44 | 2,500-2,800 | as fast as 4 x 64 |
/// | 1 x 128 | 17-19 | 2,100-2,500 | as fast as 2 x 128 |
const SHAPES: [Shape; 4] = [
    Shape { rows: 1, tokens: 16 },
    Shape { rows: 8, tokens: 32 },
    Shape { rows: 1, tokens: 64 },
    Shape { rows: 1, tokens: LONGEST_TOKENS },
];
/// What the model was trained on; the rest of a longer text is cut off.
const LONGEST_TOKENS: usize = 128;
/// More bytes of a text are not looked at: 32 a token, where words have 5.
const LONGEST_BYTES: usize = 32 * LONGEST_TOKENS;
const DIMENSIONS: usize = 384;

/// The bundled text model.
pub struct TextModel {
    tokenizer: Tokenizer,
    folded: Folded,
    plans: [OnceLock<Result<Plan, EmbedError>>; SHAPES.len()],
}

impl TextModel {
    /// The model's name, as it stands beside its vectors.
    pub const NAME: &'static str = TEXT_MODEL;

    /// The model, with its tokenizer; plans follow on first use.
    pub fn new() -> Result<Self, EmbedError> {
        let mut tokenizer = frameline_models::tokenizer()?;
        let truncation = TruncationParams { max_length: LONGEST_TOKENS, ..TruncationParams::default() };
        tokenizer.with_truncation(Some(truncation)).map_err(untokenized)?;
        Ok(Self { tokenizer, folded: Folded::default(), plans: Default::default() })
    }

    /// Loads all plans, one a core at a time.
    pub fn warm(&self) -> Result<(), EmbedError> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        for plans in (0..SHAPES.len()).collect::<Vec<_>>().chunks(cores) {
            thread::scope(|scope| {
                for &plan in plans {
                    // What it ends with stays in the plan's cell, and comes out below.
                    scope.spawn(move || _ = self.plan(plan));
                }
            });
        }
        (0..SHAPES.len()).try_for_each(|plan| self.plan(plan).map(|_| ()))
    }

    /// One vector of 384 values for each text; an empty text has one too.
    pub fn embed(&self, texts: &[impl AsRef<str>]) -> Result<Vec<Vec<f32>>, EmbedError> {
        let encode = |text: &str| self.tokenizer.encode(head_of(text), true).map_err(untokenized);
        let encodings = texts.iter().map(|text| encode(text.as_ref())).collect::<Result<Vec<_>, _>>()?;
        let lengths: Vec<usize> = encodings.iter().map(Encoding::len).collect();
        let mut vectors = vec![Vec::new(); texts.len()];
        for run in arrange(&lengths, &SHAPES) {
            for (text, vector) in self.run(&run, &encodings)? {
                if let Some(place) = vectors.get_mut(text) {
                    *place = vector;
                }
            }
        }
        Ok(vectors)
    }

    fn run(&self, run: &Run, encodings: &[Encoding]) -> Result<Vec<(usize, Vec<f32>)>, EmbedError> {
        let rows: Vec<&Encoding> = run.texts.iter().filter_map(|&text| encodings.get(text)).collect();
        let Shape { rows: height, tokens } = SHAPES[run.plan];
        let table = |column: fn(&Encoding) -> &[u32]| {
            let mut values = vec![0; height * tokens];
            for (row, encoding) in values.chunks_mut(tokens).zip(&rows) {
                row.iter_mut().zip(column(encoding)).for_each(|(place, &value)| *place = i64::from(value));
            }
            Values::Integers(values)
        };
        let states = self.plan(run.plan)?.run(|input| match input {
            "input_ids" => table(Encoding::get_ids),
            "attention_mask" => table(Encoding::get_attention_mask),
            _ => table(Encoding::get_type_ids),
        })?;
        let texts = run.texts.iter().zip(&rows).zip(states.chunks(tokens * DIMENSIONS));
        Ok(texts.map(|((&text, encoding), states)| (text, pooled(states, encoding.len()))).collect())
    }

    fn plan(&self, plan: usize) -> Result<&Plan, EmbedError> {
        let load = || {
            let Shape { rows, tokens } = SHAPES[plan];
            Plan::of_tokens(TEXT_MODEL, frameline_models::load(TEXT_MODEL)?, rows, tokens, &self.folded)
        };
        self.plans[plan].get_or_init(load).as_ref().map_err(EmbedError::clone)
    }
}

/// The mean of the states of the first `length` tokens, the others being padding, brought to length 1.
fn pooled(states: &[f32], length: usize) -> Vec<f32> {
    let mut sum = vec![0.0f32; DIMENSIONS];
    for state in states.chunks(DIMENSIONS).take(length) {
        sum.iter_mut().zip(state).for_each(|(sum, value)| *sum += value);
    }
    let norm = sum.iter().map(|value| value * value).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
    sum.iter().map(|value| value / norm).collect()
}

fn head_of(text: &str) -> &str {
    text.get(..text.floor_char_boundary(LONGEST_BYTES)).unwrap_or(text)
}

fn untokenized(error: tokenizers::Error) -> EmbedError {
    ModelsError::Tokenizer(error.to_string()).into()
}
