//! Which texts run together, in which plan: plain values, no model.

/// What a plan takes: so many rows of so many tokens each. A run costs about `rows * tokens`, however few of them
/// are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) rows: usize,
    pub(crate) tokens: usize,
}

/// One run of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Run {
    /// The plan's place among the shapes.
    pub(crate) plan: usize,
    /// The texts in its rows, by their places.
    pub(crate) texts: Vec<usize>,
}

/// Spreads texts of these `lengths`, in tokens, over plans of these `shapes`, which go from few tokens to many.
///
/// A text goes to the shortest plan that holds it; one too long for all goes to the last, to be cut. What does
/// not fill a plan of many rows runs text by text in the next plan of one row, where that costs less.
pub(crate) fn arrange(lengths: &[usize], shapes: &[Shape]) -> Vec<Run> {
    let mut buckets = vec![Vec::new(); shapes.len()];
    for (text, &length) in lengths.iter().enumerate() {
        let fits = shapes.iter().position(|shape| length <= shape.tokens);
        if let Some(bucket) = buckets.get_mut(fits.unwrap_or(shapes.len().saturating_sub(1))) {
            bucket.push(text);
        }
    }
    let mut runs = Vec::new();
    for (plan, (shape, bucket)) in shapes.iter().zip(buckets).enumerate() {
        for texts in bucket.chunks(shape.rows) {
            match cheaper_single(plan, texts.len(), shapes) {
                Some(single) => runs.extend(texts.iter().map(|&text| Run { plan: single, texts: vec![text] })),
                None => runs.push(Run { plan, texts: texts.to_vec() }),
            }
        }
    }
    runs
}

/// The plan of one row that runs `texts` texts for less than one run of `plan`.
fn cheaper_single(plan: usize, texts: usize, shapes: &[Shape]) -> Option<usize> {
    let shape = shapes.get(plan)?;
    let is_single = |(_, other): &(usize, &Shape)| other.rows == 1 && other.tokens >= shape.tokens;
    let (single, other) = shapes.iter().enumerate().skip(plan + 1).find(is_single)?;
    (texts * other.tokens < shape.rows * shape.tokens).then_some(single)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SHAPES: [Shape; 4] = [
        Shape { rows: 1, tokens: 16 },
        Shape { rows: 8, tokens: 32 },
        Shape { rows: 1, tokens: 64 },
        Shape { rows: 1, tokens: 128 },
    ];

    fn cost(run: &Run) -> usize {
        SHAPES[run.plan].rows * SHAPES[run.plan].tokens
    }

    proptest! {
        #[test]
        fn every_text_runs_once_in_a_plan_that_holds_it(lengths in prop::collection::vec(1usize..200, 0..60)) {
            let runs = arrange(&lengths, &SHAPES);
            let mut texts: Vec<usize> = runs.iter().flat_map(|run| run.texts.clone()).collect();
            texts.sort_unstable();
            prop_assert_eq!(texts, (0..lengths.len()).collect::<Vec<_>>());
            for run in &runs {
                prop_assert!(!run.texts.is_empty() && run.texts.len() <= SHAPES[run.plan].rows);
                let longest = run.texts.iter().map(|&text| lengths[text]).max().unwrap();
                prop_assert!(longest <= SHAPES[run.plan].tokens || run.plan == SHAPES.len() - 1);
            }
        }

        #[test]
        fn it_never_costs_more_than_one_text_after_the_other(lengths in prop::collection::vec(1usize..=128, 0..60)) {
            let singly = |&length: &usize| SHAPES.iter().filter(|shape| shape.rows == 1 && length <= shape.tokens)
                .map(|shape| shape.tokens).min().unwrap();
            let together: usize = arrange(&lengths, &SHAPES).iter().map(cost).sum();
            prop_assert!(together <= lengths.iter().map(singly).sum());
        }
    }

    #[test]
    fn a_few_texts_left_over_run_singly_and_many_are_padded() {
        assert_eq!(arrange(&[20; 3], &SHAPES).iter().map(|run| run.plan).collect::<Vec<_>>(), [2, 2, 2]);
        assert_eq!(arrange(&[20; 6], &SHAPES), [Run { plan: 1, texts: (0..6).collect() }]);
    }
}
