//! One network with its input and output buffers, bound once and reused for every run.

use super::{InferError, Runtime, operators};
use ort::AsPointer;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::session::{IoBinding, Session as OrtSession};
use ort::value::{Outlet, Tensor, TensorElementType, ValueType};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// An input or output that a network must have: `f32`, row-major.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TensorSpec {
    /// Its name in the graph.
    pub name: &'static str,
    /// Its shape; a dimension that the graph leaves open takes the value given here.
    pub shape: &'static [i64],
}

/// A network ready to run on one thread of its own. Write [`Session::input_mut`], [`Session::run`], read
/// [`Session::output`]; indices are those of the specs given at loading.
pub struct Session {
    network: Arc<str>,
    // Declared before the session: a binding must go first.
    binding: IoBinding,
    inputs: Vec<Tensor<f32>>,
    outputs: Vec<(&'static str, Tensor<f32>)>,
    ort: OrtSession,
}

impl Session {
    /// Loads the network in `path`; `threads` is the number of threads that share one run, 1 being best for networks
    /// of a few million multiply-adds.
    ///
    /// # Errors
    /// [`InferError::Network`] where the file is missing or damaged, [`InferError::Unexpected`] where its inputs or
    /// outputs differ from the specs.
    pub fn from_file(
        runtime: &Runtime,
        path: &Path,
        threads: usize,
        inputs: &[TensorSpec],
        outputs: &[TensorSpec],
    ) -> Result<Self, InferError> {
        let network: Arc<str> = path.display().to_string().into();
        let session = one_by_one(|| builder(runtime, threads)?.commit_from_file(path))
            .map_err(|e| InferError::Network { network: network.clone(), reason: e.to_string() })?;
        Self::bind(network, session, inputs, outputs)
    }

    /// Loads a network that is already in memory; `name` is what errors call it.
    ///
    /// # Errors
    /// As [`Session::from_file`].
    pub fn from_bytes(
        runtime: &Runtime,
        name: &str,
        onnx: &[u8],
        threads: usize,
        inputs: &[TensorSpec],
        outputs: &[TensorSpec],
    ) -> Result<Self, InferError> {
        let network: Arc<str> = name.into();
        let session = one_by_one(|| builder(runtime, threads)?.commit_from_memory(onnx))
            .map_err(|e| InferError::Network { network: network.clone(), reason: e.to_string() })?;
        Self::bind(network, session, inputs, outputs)
    }

    fn bind(
        network: Arc<str>,
        session: OrtSession,
        input_specs: &[TensorSpec],
        output_specs: &[TensorSpec],
    ) -> Result<Self, InferError> {
        let unexpected = |what| InferError::Unexpected { network: network.clone(), what };
        if session.inputs().len() != input_specs.len() {
            let names: Vec<_> = session.inputs().iter().map(Outlet::name).collect();
            return Err(unexpected(format!("it has the inputs {names:?}, {} expected", input_specs.len())));
        }
        for spec in input_specs {
            check("input", session.inputs(), spec).map_err(unexpected)?;
        }
        for spec in output_specs {
            check("output", session.outputs(), spec).map_err(unexpected)?;
        }
        let (binding, inputs, outputs) = buffers(&session, input_specs, output_specs)
            .map_err(|e| InferError::Network { network: network.clone(), reason: e.to_string() })?;
        Ok(Self { network, binding, inputs, outputs, ort: session })
    }

    /// The values of an input, to be written before [`Session::run`]. They keep what was last written.
    pub fn input_mut(&mut self, index: usize) -> &mut [f32] {
        self.inputs[index].extract_tensor_mut().1
    }

    /// Runs the network. Allocates nothing outside ONNX Runtime, but for the handles that it gives our own operator.
    ///
    /// # Errors
    /// [`InferError::Run`] where ONNX Runtime fails, [`InferError::NotFinite`] where an output holds NaN or infinity.
    pub fn run(&mut self) -> Result<(), InferError> {
        self.run_bound()
            .map_err(|e| InferError::Run { network: self.network.clone(), reason: e.to_string() })?;
        for (output, tensor) in &self.outputs {
            // Summing instead of testing one by one keeps the loop free of branches: zero times anything finite is zero.
            let (_, values) = tensor.extract_tensor();
            if values.iter().map(|v| v * 0.0).sum::<f32>() != 0.0 {
                return Err(InferError::NotFinite { network: self.network.clone(), output });
            }
        }
        Ok(())
    }

    #[expect(
        unsafe_code,
        reason = "ort's own run_binding allocates descriptions of the bound outputs at every run"
    )]
    fn run_bound(&mut self) -> Result<(), ort::Error> {
        let session = self.ort.ptr().cast_mut();
        // SAFETY: session and binding are alive and belong together, and `&mut self` keeps every other run and every
        // borrow of the bound buffers away. Run options may be null. The status is taken over exactly once.
        unsafe {
            let status = (ort::api().RunWithBinding)(session, std::ptr::null(), self.binding.ptr());
            ort::Error::result_from_status(status)
        }
    }

    /// The values of an output after the last [`Session::run`], to be changed in place.
    pub fn output_mut(&mut self, index: usize) -> &mut [f32] {
        self.outputs[index].1.extract_tensor_mut().1
    }

    /// The values of an output after the last [`Session::run`].
    pub fn output(&self, index: usize) -> &[f32] {
        self.outputs[index].1.extract_tensor().1
    }
}

/// ONNX Runtime keeps the names of operators' domains for the whole process, and two sessions that are made at once with the same
/// one get in each other's way.
fn one_by_one(make: impl FnOnce() -> ort::Result<OrtSession>) -> ort::Result<OrtSession> {
    static MAKING: Mutex<()> = Mutex::new(());
    let _alone = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    make()
}

fn builder(runtime: &Runtime, threads: usize) -> ort::Result<SessionBuilder> {
    // A builder error carries the builder, which is not `Send`; `into` drops it.
    Ok(OrtSession::builder(runtime.environment())?
        .with_intra_threads(threads.max(1))?
        .with_intra_op_spinning(false)?
        .with_inter_op_spinning(false)?
        .with_optimization_level(GraphOptimizationLevel::All)?
        .with_operators(operators::domain()?)?
        .with_log_level(ort::logging::LogLevel::Error)?)
}

fn check(kind: &str, outlets: &[Outlet], spec: &TensorSpec) -> Result<(), String> {
    let Some(outlet) = outlets.iter().find(|o| o.name() == spec.name) else {
        let names: Vec<_> = outlets.iter().map(Outlet::name).collect();
        return Err(format!("it has no {kind} {:?}, but {names:?}", spec.name));
    };
    let ValueType::Tensor { ty: TensorElementType::Float32, shape, .. } = outlet.dtype() else {
        return Err(format!("{kind} {:?} is no tensor of f32", spec.name));
    };
    let agrees = shape.len() == spec.shape.len()
        && shape.iter().zip(spec.shape).all(|(&have, &want)| have == want || have < 0);
    if agrees {
        Ok(())
    } else {
        Err(format!("{kind} {:?} has shape {shape:?}, {:?} expected", spec.name, spec.shape))
    }
}

type Buffers = (IoBinding, Vec<Tensor<f32>>, Vec<(&'static str, Tensor<f32>)>);

fn buffers(session: &OrtSession, inputs: &[TensorSpec], outputs: &[TensorSpec]) -> ort::Result<Buffers> {
    let mut binding = session.create_binding()?;
    let mut input_tensors = Vec::with_capacity(inputs.len());
    for spec in inputs {
        let len = spec.shape.iter().product::<i64>() as usize;
        let tensor = Tensor::from_array((spec.shape, vec![0.0f32; len].into_boxed_slice()))?;
        binding.bind_input(spec.name, &tensor)?;
        input_tensors.push(tensor);
    }
    let mut output_tensors = Vec::with_capacity(outputs.len());
    for spec in outputs {
        let mut tensor = Tensor::<f32>::new(session.allocator(), spec.shape)?;
        tensor.extract_tensor_mut().1.fill(0.0);
        binding.bind_output(spec.name, &mut tensor)?;
        output_tensors.push((spec.name, tensor));
    }
    Ok((binding, input_tensors, output_tensors))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infer::tests::runtime;

    /// `doubled` = 2 `x`, `root` = sqrt(`x`); made by `tests/fixtures/make_networks.py`.
    const ARITHMETIC: &[u8] = include_bytes!("../../tests/fixtures/arithmetic.onnx");
    const X: TensorSpec = TensorSpec { name: "x", shape: &[1, 4] };
    const DOUBLED: TensorSpec = TensorSpec { name: "doubled", shape: &[1, 4] };
    const ROOT: TensorSpec = TensorSpec { name: "root", shape: &[1, 4] };

    fn load(inputs: &[TensorSpec], outputs: &[TensorSpec]) -> Result<Session, InferError> {
        Session::from_bytes(&runtime(), "arithmetic", ARITHMETIC, 1, inputs, outputs)
    }

    #[test]
    fn what_is_written_into_the_bound_input_reaches_every_run() {
        let mut session = load(&[X], &[ROOT, DOUBLED]).unwrap();
        for scale in [1.0, 3.0] {
            for (x, base) in session.input_mut(0).iter_mut().zip([1.0, 4.0, 9.0, 16.0]) {
                *x = base * scale * scale;
            }
            session.run().unwrap();
            assert_eq!(session.output(0), [1.0, 2.0, 3.0, 4.0].map(|v| v * scale));
            assert_eq!(session.output(1)[3..], [32.0 * scale * scale]);
        }
    }

    #[test]
    fn nan_and_infinity_out_of_a_network_are_errors_and_the_next_run_is_clean() {
        let mut session = load(&[X], &[DOUBLED, ROOT]).unwrap();
        session.input_mut(0)[2] = -1.0;
        assert!(matches!(session.run(), Err(InferError::NotFinite { output: "root", .. })));
        session.input_mut(0)[2] = f32::MAX;
        assert!(matches!(session.run(), Err(InferError::NotFinite { output: "doubled", .. })));
        session.input_mut(0)[2] = 1.0;
        assert!(session.run().is_ok());
    }

    #[test]
    fn a_wrong_shape_or_name_is_told_with_both_sides() {
        let wide = TensorSpec { name: "x", shape: &[1, 5] };
        let message = load(&[wide], &[ROOT]).err().unwrap().to_string();
        assert!(message.contains("[1, 4]") && message.contains("[1, 5]"), "{message}");
        let other = TensorSpec { name: "cube", shape: &[1, 4] };
        let message = load(&[X], &[other]).err().unwrap().to_string();
        assert!(message.contains("cube") && message.contains("root"), "{message}");
        assert!(matches!(load(&[], &[ROOT]), Err(InferError::Unexpected { .. })));
    }

    #[test]
    fn a_damaged_or_missing_file_is_told_with_the_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let torn = dir.path().join("torn.onnx");
        std::fs::write(&torn, &ARITHMETIC[..ARITHMETIC.len() / 2]).unwrap();
        let missing = dir.path().join("missing.onnx");
        for path in [&torn, &missing] {
            let error = Session::from_file(&runtime(), path, 1, &[X], &[ROOT]).err().unwrap();
            assert!(matches!(error, InferError::Network { .. }), "{error}");
            assert!(error.to_string().contains("models install"), "{error}");
        }
    }
}
