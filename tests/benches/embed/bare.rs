//! all-MiniLM-L6-v2 on tract as its best use is known: one plan of a fixed shape, the embedding table folded at
//! load, one state a thread.

use std::sync::Arc;

use anyhow::{Context, anyhow};
use frameline_models::TEXT_MODEL;
use tokenizers::{Encoding, PaddingParams, PaddingStrategy, Tokenizer};
use tract_onnx::prelude::*;

pub(super) const ROWS: usize = 8;
const TOKENS: usize = 32;
/// A constant of more elements is turned from int8 into floats again in every run, unless it is folded.
const LARGE_ELEMENTS: i64 = 1_000_000;

pub(super) struct Bare {
    runnable: Arc<TypedRunnableModel>,
}

impl Bare {
    pub(super) fn new() -> anyhow::Result<Self> {
        let onnx = frameline_models::load(TEXT_MODEL)?;
        let mut model = tract_onnx::onnx().with_ignore_value_info(true).model_for_read(&mut &*onnx)?;
        for input in 0..model.inputs.len() {
            model.set_input_fact(input, InferenceFact::dt_shape(i64::datum_type(), [ROWS, TOKENS]))?;
        }
        let mut model = model.into_typed()?;
        while fold_one(&mut model)? {}
        Ok(Self { runnable: model.into_optimized()?.into_runnable()? })
    }

    pub(super) fn worker(&self) -> anyhow::Result<Worker> {
        let mut tokenizer = frameline_models::tokenizer()?;
        let strategy = PaddingStrategy::Fixed(TOKENS);
        tokenizer.with_padding(Some(PaddingParams { strategy, ..PaddingParams::default() }));
        let model = self.runnable.model();
        let inputs = model.inputs.iter().map(|outlet| model.node(outlet.node).name.clone()).collect();
        Ok(Worker { tokenizer, inputs, state: self.runnable.spawn()? })
    }
}

/// What a thread has for itself.
pub(super) struct Worker {
    tokenizer: Tokenizer,
    inputs: Vec<String>,
    state: TypedSimpleState,
}

impl Worker {
    /// The vectors of [`ROWS`] texts of at most 32 tokens each.
    pub(super) fn embed(&mut self, texts: &[String]) -> anyhow::Result<Vec<Vec<f32>>> {
        let encode = |text: &String| self.tokenizer.encode_fast(text.as_str(), true).map_err(|error| anyhow!(error));
        let encodings = texts.iter().map(encode).collect::<anyhow::Result<Vec<_>>>()?;
        let table = |name: &String| {
            let column = match name.as_str() {
                "input_ids" => Encoding::get_ids,
                "attention_mask" => Encoding::get_attention_mask,
                _ => Encoding::get_type_ids,
            };
            let values: Vec<i64> = encodings.iter().flat_map(|row| column(row).iter().map(|&id| id.into())).collect();
            Tensor::from_shape(&[ROWS, TOKENS], &values).map(Tensor::into_tvalue)
        };
        let inputs = self.inputs.iter().map(table).collect::<TractResult<_>>()?;
        let outputs = self.state.run(inputs)?;
        let states = outputs.first().context("the model has no output")?.try_as_plain_ram()?.as_slice::<f32>()?;
        let rows = states.chunks(states.len() / ROWS).zip(&encodings);
        Ok(rows.map(|(states, row)| pooled(states, row.get_attention_mask())).collect())
    }
}

/// The mean of the states that the mask leaves, brought to length 1.
fn pooled(states: &[f32], mask: &[u32]) -> Vec<f32> {
    let width = states.len() / TOKENS;
    let mut sum = vec![0.0; width];
    for (state, _) in states.chunks(width).zip(mask).filter(|(_, shown)| **shown == 1) {
        sum.iter_mut().zip(state).for_each(|(sum, value)| *sum += value);
    }
    let norm = sum.iter().map(|value| value * value).sum::<f32>().sqrt();
    sum.iter().map(|value| value / norm).collect()
}

/// Replaces a node by the large constant that it always comes to; whether there was one.
fn fold_one(model: &mut TypedModel) -> anyhow::Result<bool> {
    for id in model.eval_order()? {
        let [output] = model.node(id).outputs.as_slice() else { continue };
        let is_large = output.fact.shape.volume().to_i64().is_ok_and(|elements| elements >= LARGE_ELEMENTS);
        let constants = model.node_input_facts(id)?.into_iter().map(|fact| Some(fact.konst.clone()?.into_tvalue()));
        let inputs: Option<TVec<TValue>> = constants.collect();
        let Some(inputs) = inputs.filter(|inputs| is_large && !inputs.is_empty()) else { continue };
        let Some(outputs) = model.node(id).op.eval_out_of_plan(inputs)? else { continue };
        let constant = outputs.into_iter().next().context("a node without output")?.into_arc_tensor();
        let mut patch = TypedModelPatch::default();
        let wire = patch.add_const(format!("{}.folded", model.node(id).name), constant)?;
        patch.shunt_outside(model, OutletId::new(id, 0), wire)?;
        patch.apply(model)?;
        return Ok(true);
    }
    Ok(false)
}
