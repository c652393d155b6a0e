//! Operators of our own for ONNX Runtime, in the domain `facetrackd`: what our face network does between its layers, for which a
//! runtime has no quick operator or dozens of small ones.
//!
//! In the file each is a function of standard operators besides (`training/face/operators.py`), which any runtime falls back on.

mod head_frame;
mod sample;
mod soft_argmax;

use crate::alloc::exempt;
use ort::operator::{
    ComputeContext, KernelContext, Operator, OperatorDomain, OperatorInput, OperatorOutput,
    ShapeInferenceContext,
};
use ort::value::{Shape, SymbolicDimensions, TensorElementType, ValueRef, ValueRefMut, ValueType};

/// All of them, for a session's builder.
pub(super) fn domain() -> ort::Result<OperatorDomain> {
    OperatorDomain::new("facetrackd")?
        .add(Own(sample::Sample))?
        .add(Own(soft_argmax::SoftArgmax))?
        .add(Own(head_frame::HeadFrame))
}

/// An operator from so many tensors of `f32` to so many of three dimensions each.
trait Function<const IN: usize, const OUT: usize>: Send + Sync {
    const NAME: &'static str;
    /// What it takes, for whoever gives something else.
    const TAKES: &'static str;

    /// The shapes of what it gives; none where it cannot take these.
    fn shapes(takes: [&[i64]; IN]) -> Option<[[i64; 3]; OUT]>;

    /// Fills `gives`, whose shapes are those that [`Function::shapes`] told.
    fn compute(takes: [Taken; IN], gives: [&mut [f32]; OUT]);
}

/// A tensor that an operator takes: its shape and its values.
#[derive(Clone, Copy)]
struct Taken<'a> {
    shape: &'a [i64],
    values: &'a [f32],
}

impl Taken<'_> {
    /// The length of a dimension.
    fn len(&self, dimension: usize) -> usize {
        self.shape[dimension] as usize
    }
}

struct Own<F, const IN: usize, const OUT: usize>(F);

impl<F: Function<IN, OUT> + 'static, const IN: usize, const OUT: usize> Operator for Own<F, IN, OUT> {
    type Kernel<'attr> = fn(&ComputeContext) -> ort::Result<()>;

    fn name(&self) -> &'static str {
        F::NAME
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        [const { OperatorInput::required(TensorElementType::Float32) }; IN]
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [const { OperatorOutput::required(TensorElementType::Float32) }; OUT]
    }

    fn create_kernel<'attr>(&self, _: &KernelContext<'attr>) -> ort::Result<Self::Kernel<'attr>> {
        // Handles of the engine's are made on the way.
        Ok(|context| exempt(|| compute::<F, IN, OUT>(context)))
    }

    fn infer_shape(&self, context: &mut ShapeInferenceContext) -> ort::Result<()> {
        let inputs = context.inputs();
        let mut takes: [&[i64]; IN] = [&[]; IN];
        for (i, taken) in takes.iter_mut().enumerate() {
            *taken = inputs.get(i).and_then(ValueType::tensor_shape).ok_or_else(misfit::<F, IN, OUT>)?;
        }
        for (i, shape) in F::shapes(takes).ok_or_else(misfit::<F, IN, OUT>)?.into_iter().enumerate() {
            let shape = Shape::from(shape);
            let dimension_symbols = SymbolicDimensions::empty(shape.len());
            let output = ValueType::Tensor { ty: TensorElementType::Float32, shape, dimension_symbols };
            context.set_output(i, &output)?;
        }
        Ok(())
    }
}

fn misfit<F: Function<IN, OUT>, const IN: usize, const OUT: usize>() -> ort::Error {
    ort::Error::new(format!("facetrackd::{} wants {}", F::NAME, F::TAKES))
}

fn compute<F: Function<IN, OUT>, const IN: usize, const OUT: usize>(
    context: &ComputeContext,
) -> ort::Result<()> {
    let mut values: [Option<ValueRef>; IN] = [const { None }; IN];
    let mut takes = [Taken { shape: &[], values: &[] }; IN];
    for (i, (value, taken)) in values.iter_mut().zip(&mut takes).enumerate() {
        let value = value.insert(context.input(i)?.ok_or_else(misfit::<F, IN, OUT>)?);
        let (shape, values) = value.try_extract_tensor::<f32>()?;
        *taken = Taken { shape, values };
    }
    let shapes = F::shapes(takes.map(|t| t.shape)).ok_or_else(misfit::<F, IN, OUT>)?;
    let mut values: [Option<ValueRefMut>; OUT] = [const { None }; OUT];
    let mut gives: [&mut [f32]; OUT] = std::array::from_fn(|_| &mut [][..]);
    for (i, (value, given)) in values.iter_mut().zip(&mut gives).enumerate() {
        let value = value.insert(context.output(i, shapes[i])?.ok_or_else(misfit::<F, IN, OUT>)?);
        *given = value.try_extract_tensor_mut::<f32>()?.1;
    }
    F::compute(takes, gives);
    Ok(())
}
