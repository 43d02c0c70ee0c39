//! What `run` verifies about tensors before any kernel sees them.

use crate::abi::{Model, Port, Symbol, Tensor};
use crate::message::{Failed, Message};

/// Element types by their ONNX code: name and bits per element (0: not a type of tensors).
const DTYPES: [(&str, i64); 27] = [
    ("undefined", 0),
    ("f32", 32),
    ("u8", 8),
    ("i8", 8),
    ("u16", 16),
    ("i16", 16),
    ("i32", 32),
    ("i64", 64),
    ("string", 8 * size_of::<*const u8>() as i64),
    ("bool", 8),
    ("f16", 16),
    ("f64", 64),
    ("u32", 32),
    ("u64", 64),
    ("c64", 64),
    ("c128", 128),
    ("bf16", 16),
    ("f8e4m3fn", 8),
    ("f8e4m3fnuz", 8),
    ("f8e5m2", 8),
    ("f8e5m2fnuz", 8),
    ("u4", 4),
    ("i4", 4),
    ("f4e2m1", 4),
    ("f8e8m0", 8),
    ("u2", 2),
    ("i2", 2),
];

fn dtype(code: i64) -> (&'static str, i64) {
    usize::try_from(code).ok().and_then(|code| DTYPES.get(code)).copied().unwrap_or(DTYPES[0])
}

/// The value of an extent. `values` holds the slots that it may name.
///
/// # Safety
/// The slot, if any, is below the length of the table.
pub unsafe fn extent(extent: i64, values: *const i64) -> i64 {
    // SAFETY: as the caller promises.
    if extent >= 0 { extent } else { unsafe { *values.add((-1 - extent) as usize) } }
}

/// The symbol that an extent is, or `None` for constants and derived values.
fn symbol(model: &Model, extent: i64) -> Option<usize> {
    (extent < 0 && -1 - extent < model.n_symbols).then_some((-1 - extent) as usize)
}

/// Which side of the model a message is about.
#[derive(Clone, Copy)]
pub enum Side {
    Input,
    Output,
}

impl Side {
    #[cold]
    #[inline(never)]
    unsafe fn put<'m>(self, port: &Port, error: &'m mut Message) -> &'m mut Message {
        let side = match self {
            Side::Input => "input ",
            Side::Output => "output ",
        };
        // SAFETY: names are C strings.
        unsafe { error.clear().text(side).quoted(port.name) }
    }
}

/// Every symbol is bound by an input; otherwise the library could not run.
///
/// # Safety
/// `model` is a descriptor; the same holds for all functions below.
pub unsafe fn symbols_are_bound(model: &Model, error: &mut Message) -> Result<(), Failed> {
    // SAFETY: the descriptor's tables are as long as it says.
    unsafe {
        for index in 0..model.n_symbols as usize {
            if first_use(model, index).is_none() {
                let name = (*model.symbols.add(index)).name;
                return error.clear().text("no input has a dim that is ").quoted(name).text(" alone, so its size is unknown").fail();
            }
        }
    }
    Ok(())
}

/// The input and dim that bind a symbol.
unsafe fn first_use(model: &Model, index: usize) -> Option<(&Port, usize)> {
    // SAFETY: as above.
    unsafe {
        for input in 0..model.n_inputs as usize {
            let port = &*model.inputs.add(input);
            for dim in 0..port.rank as usize {
                if symbol(model, *port.dims.add(dim)) == Some(index) {
                    return Some((port, dim));
                }
            }
        }
    }
    None
}

/// Checks all inputs and fills `symbols`, which has `n_symbols` entries.
pub unsafe fn bind(model: &Model, inputs: *const Tensor, symbols: *mut i64, error: &mut Message) -> Result<(), Failed> {
    // SAFETY: tables are as long as the descriptor says, and `inputs` has `n_inputs` tensors.
    unsafe {
        if inputs.is_null() && model.n_inputs > 0 {
            return error.clear().text("no inputs: the model has ").int(model.n_inputs).fail();
        }
        for index in 0..model.n_symbols as usize {
            *symbols.add(index) = -1;
        }
        for input in 0..model.n_inputs as usize {
            let (port, tensor) = (&*model.inputs.add(input), &*inputs.add(input));
            type_and_rank(Side::Input, port, tensor, error)?;
            for dim in 0..port.rank as usize {
                let (expected, size) = (*port.dims.add(dim), *tensor.dims.add(dim));
                if size < 0 {
                    return wrong_dim(Side::Input, port, dim, size, error).text(": sizes are not negative").fail();
                }
                match symbol(model, expected) {
                    None if expected >= 0 && size != expected => {
                        return wrong_dim(Side::Input, port, dim, size, error).text(", expected ").int(expected).fail();
                    }
                    None => {}
                    Some(index) => {
                        let bound = symbols.add(index);
                        if *bound < 0 {
                            *bound = size;
                            in_range(&*model.symbols.add(index), port, dim, size, error)?;
                        } else if *bound != size {
                            return disagree(model, index, port, dim, size, *bound, error);
                        }
                    }
                }
            }
        }
    }
    Ok(())
}

/// Dims of inputs that are derived from symbols, once the value table is complete; and that non-empty inputs have data.
pub unsafe fn derived(model: &Model, inputs: *const Tensor, values: *const i64, error: &mut Message) -> Result<(), Failed> {
    // SAFETY: `bind` has seen the inputs.
    unsafe {
        for input in 0..model.n_inputs as usize {
            let (port, tensor) = (&*model.inputs.add(input), &*inputs.add(input));
            for dim in 0..port.rank as usize {
                let (expected, size) = (*port.dims.add(dim), *tensor.dims.add(dim));
                if expected < 0 && symbol(model, expected).is_none() {
                    let expected = extent(expected, values);
                    if size != expected {
                        return wrong_dim(Side::Input, port, dim, size, error).text(", expected ").int(expected).fail();
                    }
                }
            }
        }
    }
    Ok(())
}

/// The caller's buffer fits the result, whose dims are `dims`.
pub unsafe fn output(port: &Port, tensor: &Tensor, dims: *const i64, error: &mut Message) -> Result<(), Failed> {
    // SAFETY: `dims` has `rank` entries, and so has the tensor once its rank is known.
    unsafe {
        type_and_rank(Side::Output, port, tensor, error)?;
        for dim in 0..port.rank as usize {
            let (expected, size) = (*dims.add(dim), *tensor.dims.add(dim));
            if size != expected {
                return wrong_dim(Side::Output, port, dim, size, error).text(", but the result has ").int(expected).fail();
            }
        }
    }
    Ok(())
}

/// Bytes of a tensor, rounded up to whole ones; an error where no memory could hold it.
pub unsafe fn bytes(side: Side, port: &Port, dims: *const i64, error: &mut Message) -> Result<usize, Failed> {
    // SAFETY: `dims` has `rank` entries.
    unsafe {
        // Any size of 0 makes the tensor empty, even beside a size that alone would overflow.
        let mut bits = Some(dtype(port.dtype).1);
        let mut empty = false;
        for dim in 0..port.rank as usize {
            let size = *dims.add(dim);
            empty |= size == 0;
            bits = bits.and_then(|bits| bits.checked_mul(size));
        }
        match bits {
            _ if empty => Ok(0),
            Some(bits) if bits >= 0 => Ok((bits as u64).div_ceil(8) as usize),
            _ => side.put(port, error).text(" is too large").fail(),
        }
    }
}

unsafe fn type_and_rank(side: Side, port: &Port, tensor: &Tensor, error: &mut Message) -> Result<(), Failed> {
    // SAFETY: names are C strings.
    unsafe {
        if i64::from(tensor.dtype) != port.dtype {
            let (found, expected) = (dtype(i64::from(tensor.dtype)).0, dtype(port.dtype).0);
            side.put(port, error).text(" has dtype ").int(i64::from(tensor.dtype)).text(" (").text(found);
            return error.text("), expected ").int(port.dtype).text(" (").text(expected).text(")").fail();
        }
        if i64::from(tensor.rank) != port.rank {
            return side.put(port, error).text(" has rank ").int(i64::from(tensor.rank)).text(", expected ").int(port.rank).fail();
        }
        if port.rank > 0 && tensor.dims.is_null() {
            return side.put(port, error).text(" has no dims").fail();
        }
    }
    Ok(())
}

#[cold]
#[inline(never)]
unsafe fn wrong_dim<'m>(side: Side, port: &Port, dim: usize, size: i64, error: &'m mut Message) -> &'m mut Message {
    // SAFETY: names are C strings.
    unsafe { side.put(port, error).text(" has size ").int(size).text(" in dim ").int(dim as i64) }
}

unsafe fn in_range(symbol: &Symbol, port: &Port, dim: usize, size: i64, error: &mut Message) -> Result<(), Failed> {
    if symbol.lo <= size && size <= symbol.hi {
        return Ok(());
    }
    // SAFETY: names are C strings.
    unsafe {
        wrong_dim(Side::Input, port, dim, size, error).text(", but ").quoted(symbol.name);
        error.text(if symbol.hi == i64::MAX { " is at least " } else { " is from " }).int(symbol.lo);
        if symbol.hi != i64::MAX {
            error.text(" to ").int(symbol.hi);
        }
        error.fail()
    }
}

#[cold]
#[inline(never)]
unsafe fn disagree(model: &Model, index: usize, port: &Port, dim: usize, size: i64, bound: i64, error: &mut Message) -> Result<(), Failed> {
    // SAFETY: the symbol exists, names are C strings.
    unsafe {
        wrong_dim(Side::Input, port, dim, size, error).text(", but ");
        error.quoted((*model.symbols.add(index)).name).text(" is ").int(bound);
        if let Some((first, first_dim)) = first_use(model, index) {
            error.text(" by dim ").int(first_dim as i64).text(" of input ").quoted(first.name);
        }
        error.fail()
    }
}
