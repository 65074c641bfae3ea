//! Running a model on tract: a plan for each fixed shape.
//!
//! Fixed shapes, as a symbolic batch costs up to 30 % and far more on convolutions. tract keeps large constants
//! as they are in the file, so the int8 embedding table would be turned into floats again in every run: it is
//! folded once at load, and the plans of a model share the folded table.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use tract_onnx::prelude::*;

use crate::EmbedError;

/// A constant of more elements than this is left to the runs by tract, and folded here.
const LARGE_ELEMENTS: i64 = 1_000_000;

/// Constants that were folded for one plan of a model and are shared with its others, by node name.
#[derive(Default)]
pub(crate) struct Folded(Mutex<HashMap<String, Arc<Tensor>>>);

/// What goes into a model, row after row.
pub(crate) enum Values {
    /// Token ids, masks.
    Integers(Vec<i64>),
    /// Pixels.
    Floats(Vec<f32>),
}

/// A model, optimised for one shape.
pub(crate) struct Plan {
    model: &'static str,
    runnable: Arc<TypedRunnableModel>,
    inputs: Vec<String>,
    shape: Vec<usize>,
    /// One state a worker: taken for a run and put back after it.
    idle: Mutex<Vec<TypedSimpleState>>,
}

impl Plan {
    /// A plan for `rows` rows of `tokens` tokens.
    pub(crate) fn of_tokens(
        name: &'static str,
        onnx: &[u8],
        rows: usize,
        tokens: usize,
        folded: &Folded,
    ) -> Result<Self, EmbedError> {
        let shape = [rows, tokens];
        let build = || -> TractResult<Self> {
            // The file's own notes on the shapes in between contradict a fixed batch.
            let mut model = tract_onnx::onnx().with_ignore_value_info(true).model_for_read(&mut &*onnx)?;
            for input in 0..model.inputs.len() {
                model.set_input_fact(input, InferenceFact::dt_shape(i64::datum_type(), shape))?;
            }
            let mut model = model.into_typed()?;
            fold(&mut model, folded)?;
            Self::new(name, model, &shape)
        };
        build().map_err(|error| failed(name, &error))
    }

    /// A plan for one picture, of which only the output `output` is worked out.
    pub(crate) fn of_picture(
        name: &'static str,
        onnx: &[u8],
        side_px: usize,
        output: &str,
    ) -> Result<Self, EmbedError> {
        let shape = [1, 3, side_px, side_px];
        let build = || -> TractResult<Self> {
            let mut model = tract_onnx::onnx().model_for_read(&mut &*onnx)?;
            model.select_outputs_by_name([output])?;
            model.set_input_fact(0, InferenceFact::dt_shape(f32::datum_type(), shape))?;
            Self::new(name, model.into_typed()?, &shape)
        };
        build().map_err(|error| failed(name, &error))
    }

    fn new(name: &'static str, model: TypedModel, shape: &[usize]) -> TractResult<Self> {
        let runnable = model.into_optimized()?.into_runnable()?;
        let model = runnable.model();
        let inputs = model.inputs.iter().map(|outlet| model.node(outlet.node).name.clone()).collect();
        Ok(Self { model: name, runnable, inputs, shape: shape.to_vec(), idle: Mutex::default() })
    }

    /// Runs it on what `values` gives for each of the inputs' names, and returns the first output.
    pub(crate) fn run(&self, values: impl Fn(&str) -> Values) -> Result<Vec<f32>, EmbedError> {
        let run = || -> TractResult<Vec<f32>> {
            let tensor = |name: &String| match values(name) {
                Values::Integers(values) => Tensor::from_shape(&self.shape, &values),
                Values::Floats(values) => Tensor::from_shape(&self.shape, &values),
            };
            let inputs =
                self.inputs.iter().map(|name| tensor(name).map(Tensor::into_tvalue)).collect::<TractResult<_>>()?;
            let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let mut state = idle.map_or_else(|| self.runnable.spawn(), Ok)?;
            let outputs = state.run(inputs)?;
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(state);
            let output = outputs.first().context("the model has no output")?;
            Ok(output.try_as_plain_ram()?.as_slice::<f32>()?.to_vec())
        };
        run().map_err(|error| failed(self.model, &error))
    }
}

/// Replaces large nodes over constants by what they come to: the last of a chain of such nodes, so that what
/// comes between is not kept.
fn fold(model: &mut TypedModel, folded: &Folded) -> TractResult<()> {
    let mut folded = folded.0.lock().unwrap_or_else(PoisonError::into_inner);
    for id in model.eval_order()?.into_iter().rev() {
        let node = model.node(id);
        let [output] = node.outputs.as_slice() else { continue };
        if node.inputs.is_empty() || output.successors.is_empty() || !is_large(&output.fact) {
            continue;
        }
        let name = node.name.clone();
        let known = folded.get(&name).cloned();
        let Some(constant) = known.map_or_else(|| constant_of(model, OutletId::new(id, 0)), |known| Ok(Some(known)))?
        else {
            continue;
        };
        let mut patch = TypedModelPatch::default();
        let wire = patch.add_const(format!("{name}.folded"), constant.clone())?;
        patch.shunt_outside(model, OutletId::new(id, 0), wire)?;
        patch.apply(model)?;
        folded.insert(name, constant);
    }
    Ok(())
}

/// What an outlet always holds: a constant, or what large nodes make of constants.
fn constant_of(model: &TypedModel, outlet: OutletId) -> TractResult<Option<Arc<Tensor>>> {
    let fact = model.outlet_fact(outlet)?;
    let node = model.node(outlet.node);
    if fact.konst.is_some() || !is_large(fact) || node.inputs.is_empty() {
        return Ok(fact.konst.clone());
    }
    let mut inputs = TVec::new();
    for &input in &node.inputs {
        let Some(constant) = constant_of(model, input)? else { return Ok(None) };
        inputs.push(constant.into_tvalue());
    }
    let outputs = node.op.eval_out_of_plan(inputs)?;
    Ok(outputs.and_then(|outputs| outputs.into_iter().nth(outlet.slot)).map(TValue::into_arc_tensor))
}

fn is_large(fact: &TypedFact) -> bool {
    fact.shape.volume().to_i64().is_ok_and(|elements| elements >= LARGE_ELEMENTS)
}

fn failed(model: &'static str, error: &TractError) -> EmbedError {
    EmbedError::Inference { model, reason: format!("{error:#}") }
}
