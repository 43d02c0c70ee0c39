//! A thin builder over inkwell's module in which scalars and vectors are the same kind of value.
//!
//! inkwell tells scalar from vector, and integer from float, in Rust's types; everything that is emitted here exists for a scalar and for
//! vectors of several widths, and would be written twice or more. So instructions are built through the C interface that inkwell
//! re-exports, by this file alone. Values live as long as the context, which outlives every [`Ir`].

use inkwell::context::Context;
use inkwell::llvm_sys::core::*;
use inkwell::llvm_sys::prelude::*;
use inkwell::llvm_sys::{LLVMLinkage, LLVMUnnamedAddr, LLVMVisibility};
use inkwell::module::Module;
use lapidary_kernel::Cpu;
use std::cell::Cell;
use std::ffi::CString;

/// A value of the module.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct V(pub LLVMValueRef);

/// A type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct T(pub LLVMTypeRef);

/// A basic block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Block(LLVMBasicBlockRef);

/// Where instructions go.
#[derive(Clone, Copy)]
pub struct Place(Block, Option<V>);

pub use inkwell::llvm_sys::LLVMIntPredicate as IntCmp;
pub use inkwell::llvm_sys::LLVMRealPredicate as FloatCmp;

/// One module under construction, and the place where the next instruction goes.
pub struct Ir<'c> {
    pub module: Module<'c>,
    context: LLVMContextRef,
    builder: LLVMBuilderRef,
    invariant: u32,
    empty_node: LLVMValueRef,
    /// The version that functions being emitted belong to, for functions that these need.
    pub cpu: Cell<Option<Cpu>>,
    pub sanitize: Cell<bool>,
    /// The instruction before which code goes, where that is not the end of a block.
    cursor: Cell<Option<V>>,
}

impl Drop for Ir<'_> {
    fn drop(&mut self) {
        // SAFETY: made by `new`, not used again.
        unsafe { LLVMDisposeBuilder(self.builder) }
    }
}

const NO_NAME: *const std::ffi::c_char = c"".as_ptr();

// SAFETY of every block below: pointers come from this context, and are alive as long as it; the C functions read and write LLVM's own
// structures only. Operand types are the callers' business, checked by the verifier before code is generated.
macro_rules! binary {
    ($($name:ident $f:ident),*) => {$(
        pub fn $name(&self, a: V, b: V) -> V {
            let (a, b) = self.widen(a, b);
            // SAFETY: see above.
            V(unsafe { $f(self.builder, a.0, b.0, NO_NAME) })
        }
    )*};
}
macro_rules! convert {
    ($($name:ident $f:ident),*) => {$(
        /// `to` is the element type; a vector stays one.
        pub fn $name(&self, a: V, to: T) -> V {
            let to = self.like(to, a);
            if self.ty(a) == to {
                return a;
            }
            // SAFETY: see above.
            V(unsafe { $f(self.builder, a.0, to.0, NO_NAME) })
        }
    )*};
}

impl<'c> Ir<'c> {
    pub fn new(context: &'c Context, name: &str) -> Ir<'c> {
        let module = context.create_module(name);
        let raw = context.raw();
        // SAFETY: see above.
        unsafe {
            LLVMContextSetDiscardValueNames(raw, 1);
            let builder = LLVMCreateBuilderInContext(raw);
            let invariant = LLVMGetMDKindIDInContext(raw, c"invariant.load".as_ptr(), 14);
            let empty_node = LLVMMetadataAsValue(raw, LLVMMDNodeInContext2(raw, std::ptr::null_mut(), 0));
            Ir { module, context: raw, builder, invariant, empty_node, cpu: Cell::new(None), sanitize: Cell::new(false), cursor: Cell::new(None) }
        }
    }

    // ---- types

    pub fn int(&self, bits: u32) -> T {
        // SAFETY: see above.
        T(unsafe { LLVMIntTypeInContext(self.context, bits) })
    }
    pub fn i64(&self) -> T {
        self.int(64)
    }
    pub fn f32(&self) -> T {
        // SAFETY: see above.
        T(unsafe { LLVMFloatTypeInContext(self.context) })
    }
    pub fn f64(&self) -> T {
        // SAFETY: see above.
        T(unsafe { LLVMDoubleTypeInContext(self.context) })
    }
    pub fn half(&self) -> T {
        // SAFETY: see above.
        T(unsafe { LLVMHalfTypeInContext(self.context) })
    }
    pub fn bfloat(&self) -> T {
        // SAFETY: see above.
        T(unsafe { LLVMBFloatTypeInContext(self.context) })
    }
    pub fn ptr(&self) -> T {
        // SAFETY: see above.
        T(unsafe { LLVMPointerTypeInContext(self.context, 0) })
    }
    pub fn void(&self) -> T {
        // SAFETY: see above.
        T(unsafe { LLVMVoidTypeInContext(self.context) })
    }
    /// A vector, or the element type itself for one lane.
    pub fn vec(&self, t: T, lanes: u32) -> T {
        // SAFETY: see above.
        if lanes == 1 { t } else { T(unsafe { LLVMVectorType(t.0, lanes) }) }
    }
    pub fn array(&self, t: T, n: u64) -> T {
        // SAFETY: see above.
        T(unsafe { LLVMArrayType2(t.0, n) })
    }
    pub fn function_type(&self, result: T, args: &[T]) -> T {
        let mut args: Vec<LLVMTypeRef> = args.iter().map(|t| t.0).collect();
        // SAFETY: see above.
        T(unsafe { LLVMFunctionType(result.0, args.as_mut_ptr(), args.len() as u32, 0) })
    }
    pub fn ty(&self, v: V) -> T {
        // SAFETY: see above.
        T(unsafe { LLVMTypeOf(v.0) })
    }
    pub fn is_vec(&self, v: V) -> bool {
        self.lanes(v) > 1
    }
    pub fn lanes(&self, v: V) -> u32 {
        self.lanes_of(self.ty(v))
    }
    pub fn lanes_of(&self, t: T) -> u32 {
        use inkwell::llvm_sys::LLVMTypeKind::*;
        // SAFETY: see above.
        unsafe { if LLVMGetTypeKind(t.0) == LLVMVectorTypeKind { LLVMGetVectorSize(t.0) } else { 1 } }
    }
    /// The type of an element of a vector, or the type itself.
    pub fn element(&self, t: T) -> T {
        // SAFETY: see above.
        if self.lanes_of(t) == 1 { t } else { T(unsafe { LLVMGetElementType(t.0) }) }
    }
    /// A type with element `t` and as many lanes as `v`.
    pub fn like(&self, t: T, v: V) -> T {
        self.vec(self.element(t), self.lanes(v))
    }

    // ---- constants

    /// An integer constant of type `t`, in every lane.
    pub fn cint(&self, t: T, v: i64) -> V {
        let (e, n) = (self.element(t), self.lanes_of(t));
        // SAFETY: see above.
        let one = V(unsafe { LLVMConstInt(e.0, v as u64, 1) });
        if n == 1 { one } else { self.cvec(&vec![one; n as usize]) }
    }
    pub fn c64(&self, v: i64) -> V {
        self.cint(self.i64(), v)
    }
    pub fn c1(&self, v: bool) -> V {
        self.cint(self.int(1), v as i64)
    }
    /// A floating constant of type `t`, in every lane.
    pub fn cfloat(&self, t: T, v: f64) -> V {
        let (e, n) = (self.element(t), self.lanes_of(t));
        // SAFETY: see above.
        let one = V(unsafe { LLVMConstReal(e.0, v) });
        if n == 1 { one } else { self.cvec(&vec![one; n as usize]) }
    }
    pub fn cvec(&self, each: &[V]) -> V {
        let mut each: Vec<LLVMValueRef> = each.iter().map(|v| v.0).collect();
        // SAFETY: see above.
        V(unsafe { LLVMConstVector(each.as_mut_ptr(), each.len() as u32) })
    }
    pub fn zero(&self, t: T) -> V {
        // SAFETY: see above.
        V(unsafe { LLVMConstNull(t.0) })
    }
    pub fn poison(&self, t: T) -> V {
        // SAFETY: see above.
        V(unsafe { LLVMGetPoison(t.0) })
    }
    /// 0, 1, 2, … as i64.
    pub fn iota(&self, lanes: u32) -> V {
        if lanes == 1 {
            return self.c64(0);
        }
        self.cvec(&(0..lanes).map(|i| self.c64(i as i64)).collect::<Vec<_>>())
    }
    pub fn as_const_int(&self, v: V) -> Option<i64> {
        // SAFETY: see above.
        unsafe { if LLVMIsAConstantInt(v.0).is_null() { None } else { Some(LLVMConstIntGetSExtValue(v.0)) } }
    }

    /// Whether a value is a constant that is not NaN, in any lane.
    pub fn is_number(&self, v: V) -> bool {
        // SAFETY: see above.
        let number = |v: LLVMValueRef| unsafe {
            let mut lost = 0;
            !v.is_null() && !LLVMIsAConstantFP(v).is_null() && !LLVMConstRealGetDouble(v, &mut lost).is_nan()
        };
        // SAFETY: see above; only constants have elements.
        let elements = |v: V| unsafe { LLVMIsConstant(v.0) != 0 && (0..self.lanes(v)).all(|lane| number(LLVMGetAggregateElement(v.0, lane))) };
        if self.is_vec(v) { elements(v) } else { number(v.0) }
    }

    // ---- arithmetic

    /// Makes a scalar as wide as the other operand.
    pub fn widen(&self, a: V, b: V) -> (V, V) {
        match (self.lanes(a), self.lanes(b)) {
            (1, n) if n > 1 => (self.splat(a, n), b),
            (n, 1) if n > 1 => (a, self.splat(b, n)),
            _ => (a, b),
        }
    }
    binary! {
        add LLVMBuildAdd, sub LLVMBuildSub, mul LLVMBuildMul, sdiv LLVMBuildSDiv, udiv LLVMBuildUDiv, srem LLVMBuildSRem, urem LLVMBuildURem,
        and LLVMBuildAnd, or LLVMBuildOr, xor LLVMBuildXor, shl LLVMBuildShl, lshr LLVMBuildLShr, ashr LLVMBuildAShr,
        fadd LLVMBuildFAdd, fsub LLVMBuildFSub, fmul LLVMBuildFMul, fdiv LLVMBuildFDiv
    }
    convert! {
        trunc LLVMBuildTrunc, zext LLVMBuildZExt, sext LLVMBuildSExt, fptrunc LLVMBuildFPTrunc, fpext LLVMBuildFPExt,
        fp_to_si LLVMBuildFPToSI, si_to_fp LLVMBuildSIToFP, ui_to_fp LLVMBuildUIToFP, bits_as LLVMBuildBitCast
    }
    /// The same bits as a type of the same size, of other elements perhaps.
    pub fn bitcast(&self, a: V, to: T) -> V {
        // SAFETY: see above.
        V(unsafe { LLVMBuildBitCast(self.builder, a.0, to.0, NO_NAME) })
    }
    pub fn fneg(&self, a: V) -> V {
        // SAFETY: see above.
        V(unsafe { LLVMBuildFNeg(self.builder, a.0, NO_NAME) })
    }
    pub fn neg(&self, a: V) -> V {
        self.sub(self.zero(self.ty(a)), a)
    }
    pub fn not(&self, a: V) -> V {
        self.xor(a, self.cint(self.ty(a), -1))
    }
    pub fn icmp(&self, p: IntCmp, a: V, b: V) -> V {
        let (a, b) = self.widen(a, b);
        // SAFETY: see above.
        V(unsafe { LLVMBuildICmp(self.builder, p, a.0, b.0, NO_NAME) })
    }
    pub fn fcmp(&self, p: FloatCmp, a: V, b: V) -> V {
        let (a, b) = self.widen(a, b);
        // SAFETY: see above.
        V(unsafe { LLVMBuildFCmp(self.builder, p, a.0, b.0, NO_NAME) })
    }
    /// A scalar condition may choose between vectors.
    pub fn select(&self, c: V, a: V, b: V) -> V {
        let (mut a, mut b) = self.widen(a, b);
        let n = self.lanes(c);
        if n > 1 && self.lanes(a) == 1 {
            (a, b) = (self.splat(a, n), self.splat(b, n));
        }
        // SAFETY: see above.
        V(unsafe { LLVMBuildSelect(self.builder, c.0, a.0, b.0, NO_NAME) })
    }
    pub fn splat(&self, a: V, lanes: u32) -> V {
        if lanes == 1 || self.lanes(a) > 1 {
            return a;
        }
        let t = self.vec(self.ty(a), lanes);
        let first = self.insert(self.poison(t), a, 0);
        self.shuffle(first, first, &vec![0; lanes as usize])
    }
    pub fn insert(&self, v: V, x: V, at: u32) -> V {
        // SAFETY: see above.
        V(unsafe { LLVMBuildInsertElement(self.builder, v.0, x.0, self.cint(self.int(32), at as i64).0, NO_NAME) })
    }
    pub fn extract(&self, v: V, at: u32) -> V {
        // SAFETY: see above.
        V(unsafe { LLVMBuildExtractElement(self.builder, v.0, self.cint(self.int(32), at as i64).0, NO_NAME) })
    }
    pub fn shuffle(&self, a: V, b: V, lanes: &[u32]) -> V {
        let lanes: Vec<V> = lanes.iter().map(|i| self.cint(self.int(32), *i as i64)).collect();
        // SAFETY: see above.
        V(unsafe { LLVMBuildShuffleVector(self.builder, a.0, b.0, self.cvec(&lanes).0, NO_NAME) })
    }
    /// `lanes` elements from `start`.
    pub fn part(&self, a: V, start: u32, lanes: u32) -> V {
        if lanes == 1 {
            return self.extract(a, start);
        }
        self.shuffle(a, a, &(start..start + lanes).collect::<Vec<_>>())
    }
    /// A field of a structure that a call gives.
    pub fn field(&self, v: V, at: u32) -> V {
        // SAFETY: see above.
        V(unsafe { LLVMBuildExtractValue(self.builder, v.0, at, NO_NAME) })
    }
    /// Calls an intrinsic, declared for the types in `overloads`.
    pub fn intrinsic(&self, name: &str, overloads: &[T], args: &[V]) -> V {
        let mut types: Vec<LLVMTypeRef> = overloads.iter().map(|t| t.0).collect();
        // SAFETY: see above; an unknown name is a mistake of this crate that its tests meet at once.
        unsafe {
            let id = LLVMLookupIntrinsicID(name.as_ptr().cast(), name.len());
            debug_assert!(id != 0, "{name}");
            let f = LLVMGetIntrinsicDeclaration(self.module.as_mut_ptr(), id, types.as_mut_ptr(), types.len());
            self.call(T(LLVMGlobalGetValueType(f)), V(f), args)
        }
    }
    /// `a * b + c`, rounded once.
    pub fn fma(&self, a: V, b: V, c: V) -> V {
        let (a, b) = self.widen(a, b);
        let (a, c) = self.widen(a, c);
        let (a, b) = self.widen(a, b);
        self.intrinsic("llvm.fma", &[self.ty(a)], &[a, b, c])
    }
    pub fn call(&self, function_type: T, f: V, args: &[V]) -> V {
        let mut args: Vec<LLVMValueRef> = args.iter().map(|v| v.0).collect();
        // SAFETY: see above.
        V(unsafe { LLVMBuildCall2(self.builder, function_type.0, f.0, args.as_mut_ptr(), args.len() as u32, NO_NAME) })
    }

    /// Whether `v` is a vector of 32-bit elements that fills a register of AVX-512, whose instructions may be called by name.
    pub fn fills_v4(&self, v: V) -> bool {
        self.cpu.get() == Some(Cpu::X86V4) && self.lanes(v) == 16
    }
    /// For each lane that element of `row` that the low four bits of `index` say; where [`Ir::fills_v4`].
    pub fn look_up(&self, row: &[f64; 16], index: V) -> V {
        let row = self.cvec(&row.map(|v| self.cfloat(self.f32(), v)));
        self.intrinsic("llvm.x86.avx512.permvar.sf.512", &[], &[row, index])
    }
    /// An AVX-512 instruction of that name for all lanes, which rounds to nearest; where [`Ir::fills_v4`].
    pub fn masked_v4(&self, name: &str, operands: &[V]) -> V {
        const CURRENT_ROUNDING: i64 = 4;
        let rest = [self.cint(self.int(16), -1), self.cint(self.int(32), CURRENT_ROUNDING)];
        self.intrinsic(name, &[], &[operands, &rest].concat())
    }

    // ---- memory

    pub fn load(&self, t: T, p: V, align: u32) -> V {
        // SAFETY: see above.
        unsafe {
            let v = LLVMBuildLoad2(self.builder, t.0, p.0, NO_NAME);
            LLVMSetAlignment(v, align);
            V(v)
        }
    }
    /// Says of a load that nothing changes the memory while the function runs.
    pub fn set_invariant(&self, load: V) {
        // SAFETY: see above; a constant, which has no metadata, is not an instruction.
        unsafe {
            if !LLVMIsAInstruction(load.0).is_null() {
                LLVMSetMetadata(load.0, self.invariant, self.empty_node)
            }
        }
    }
    pub fn store(&self, v: V, p: V, align: u32) {
        // SAFETY: see above.
        unsafe { LLVMSetAlignment(LLVMBuildStore(self.builder, v.0, p.0), align) }
    }
    /// `p + index` elements of type `t`.
    pub fn gep(&self, t: T, p: V, index: V) -> V {
        if self.as_const_int(index) == Some(0) {
            return p;
        }
        let mut index = index.0;
        // SAFETY: see above.
        V(unsafe { LLVMBuildGEP2(self.builder, t.0, p.0, &mut index, 1, NO_NAME) })
    }
    /// A vector of pointers, or one pointer where `index` is a scalar.
    pub fn gep_bytes(&self, p: V, index: V) -> V {
        self.gep(self.int(8), p, index)
    }
    /// Memory on the stack; emit it in the entry block.
    pub fn alloca(&self, t: T, align: u32) -> V {
        // SAFETY: see above.
        unsafe {
            let v = LLVMBuildAlloca(self.builder, t.0, NO_NAME);
            LLVMSetAlignment(v, align);
            V(v)
        }
    }
    pub fn masked_load(&self, t: T, p: V, mask: V, otherwise: V, align: u32) -> V {
        let align = self.cint(self.int(32), align as i64);
        self.intrinsic("llvm.masked.load", &[t, self.ptr()], &[p, align, mask, otherwise])
    }
    pub fn masked_store(&self, v: V, p: V, mask: V, align: u32) {
        let align = self.cint(self.int(32), align as i64);
        self.intrinsic("llvm.masked.store", &[self.ty(v), self.ptr()], &[v, p, align, mask]);
    }
    /// Fetches what will be read into the second-level cache; any address is allowed.
    pub fn prefetch(&self, p: V) {
        let (i32, data) = (self.int(32), 1);
        self.intrinsic("llvm.prefetch", &[self.ptr()], &[p, self.cint(i32, 0), self.cint(i32, 2), self.cint(i32, data)]);
    }
    pub fn gather(&self, t: T, pointers: V, mask: V, otherwise: V, align: u32) -> V {
        let align = self.cint(self.int(32), align as i64);
        self.intrinsic("llvm.masked.gather", &[t, self.ty(pointers)], &[pointers, align, mask, otherwise])
    }
    pub fn scatter(&self, v: V, pointers: V, mask: V, align: u32) {
        let align = self.cint(self.int(32), align as i64);
        self.intrinsic("llvm.masked.scatter", &[self.ty(v), self.ty(pointers)], &[v, pointers, align, mask]);
    }

    // ---- control flow

    pub fn block(&self, function: V) -> Block {
        // SAFETY: see above.
        Block(unsafe { LLVMAppendBasicBlockInContext(self.context, function.0, NO_NAME) })
    }
    pub fn at_end(&self, b: Block) {
        self.cursor.set(None);
        // SAFETY: see above.
        unsafe { LLVMPositionBuilderAtEnd(self.builder, b.0) }
    }
    pub fn before(&self, instruction: V) {
        self.cursor.set(Some(instruction));
        // SAFETY: see above.
        unsafe { LLVMPositionBuilderBefore(self.builder, instruction.0) }
    }
    pub fn here(&self) -> Block {
        // SAFETY: see above.
        Block(unsafe { LLVMGetInsertBlock(self.builder) })
    }
    /// Where the next instruction goes, to come back to.
    pub fn place(&self) -> Place {
        Place(self.here(), self.cursor.get())
    }
    pub fn return_to(&self, p: Place) {
        match p.1 {
            Some(i) => self.before(i),
            None => self.at_end(p.0),
        }
    }
    pub fn current_function(&self) -> V {
        // SAFETY: see above.
        V(unsafe { LLVMGetBasicBlockParent(self.here().0) })
    }
    pub fn is_defined(&self, f: V) -> bool {
        // SAFETY: see above.
        unsafe { LLVMCountBasicBlocks(f.0) > 0 }
    }
    pub fn br(&self, to: Block) -> V {
        // SAFETY: see above.
        V(unsafe { LLVMBuildBr(self.builder, to.0) })
    }
    pub fn cond_br(&self, c: V, then: Block, otherwise: Block) -> V {
        // SAFETY: see above.
        V(unsafe { LLVMBuildCondBr(self.builder, c.0, then.0, otherwise.0) })
    }
    pub fn ret(&self, v: Option<V>) {
        // SAFETY: see above.
        unsafe {
            match v {
                Some(v) => LLVMBuildRet(self.builder, v.0),
                None => LLVMBuildRetVoid(self.builder),
            };
        }
    }
    pub fn phi(&self, t: T, from: &[(V, Block)]) -> V {
        // SAFETY: see above.
        let v = V(unsafe { LLVMBuildPhi(self.builder, t.0, NO_NAME) });
        from.iter().for_each(|(x, b)| self.add_incoming(v, *x, *b));
        v
    }
    pub fn add_incoming(&self, phi: V, v: V, from: Block) {
        let (mut v, mut from) = (v.0, from.0);
        // SAFETY: see above.
        unsafe { LLVMAddIncoming(phi.0, &mut v, &mut from, 1) }
    }

    // ---- functions and globals

    /// A function with external linkage that no other library sees; a declaration until it gets a block. Found by name, made once.
    pub fn function(&self, name: &str, t: T) -> V {
        let c = c_string(name);
        // SAFETY: see above.
        unsafe {
            let known = LLVMGetNamedFunction(self.module.as_mut_ptr(), c.as_ptr());
            if !known.is_null() {
                return V(known);
            }
            let f = LLVMAddFunction(self.module.as_mut_ptr(), c.as_ptr(), t.0);
            LLVMSetVisibility(f, LLVMVisibility::LLVMHiddenVisibility);
            V(f)
        }
    }
    pub fn set_internal(&self, global: V) {
        // SAFETY: see above. Internal symbols must have default visibility.
        unsafe {
            LLVMSetVisibility(global.0, LLVMVisibility::LLVMDefaultVisibility);
            LLVMSetLinkage(global.0, LLVMLinkage::LLVMInternalLinkage)
        }
    }
    pub fn set_exported(&self, global: V) {
        // SAFETY: see above.
        unsafe { LLVMSetVisibility(global.0, LLVMVisibility::LLVMDefaultVisibility) }
    }
    pub fn arg(&self, f: V, index: u32) -> V {
        // SAFETY: see above.
        V(unsafe { LLVMGetParam(f.0, index) })
    }
    /// Adds a function attribute such as `nounwind`, or `"target-cpu"="…"` where it has a value.
    pub fn attribute(&self, f: V, name: &str, value: Option<&str>) {
        const FUNCTION: u32 = u32::MAX;
        // SAFETY: see above.
        unsafe {
            let a = match value {
                Some(v) => LLVMCreateStringAttribute(self.context, name.as_ptr().cast(), name.len() as u32, v.as_ptr().cast(), v.len() as u32),
                None => {
                    let kind = LLVMGetEnumAttributeKindForName(name.as_ptr().cast(), name.len());
                    LLVMCreateEnumAttribute(self.context, kind, 0)
                }
            };
            LLVMAddAttributeAtIndex(f.0, FUNCTION, a)
        }
    }
    /// Has the function align its stack to lines of the cache, so that no vector that it keeps there lies on two.
    pub fn align_stack(&self, f: V) {
        const FUNCTION: u32 = u32::MAX;
        let name = "alignstack";
        // SAFETY: see above.
        unsafe {
            let kind = LLVMGetEnumAttributeKindForName(name.as_ptr().cast(), name.len());
            LLVMAddAttributeAtIndex(f.0, FUNCTION, LLVMCreateEnumAttribute(self.context, kind, 64))
        }
    }
    /// A global array or structure with internal linkage.
    pub fn constant_global(&self, name: &str, init: V, align: u32) -> V {
        let c = c_string(name);
        // SAFETY: see above.
        unsafe {
            let g = LLVMAddGlobal(self.module.as_mut_ptr(), LLVMTypeOf(init.0), c.as_ptr());
            LLVMSetInitializer(g, init.0);
            LLVMSetGlobalConstant(g, 1);
            LLVMSetLinkage(g, LLVMLinkage::LLVMInternalLinkage);
            LLVMSetUnnamedAddress(g, LLVMUnnamedAddr::LLVMGlobalUnnamedAddr);
            LLVMSetAlignment(g, align);
            V(g)
        }
    }
    /// Memory of zeros that is in no file.
    pub fn zeroed_global(&self, name: &str, bytes: u64, align: u32) -> V {
        let c = c_string(name);
        // SAFETY: see above.
        unsafe {
            let t = self.array(self.int(8), bytes);
            let g = LLVMAddGlobal(self.module.as_mut_ptr(), t.0, c.as_ptr());
            LLVMSetInitializer(g, LLVMConstNull(t.0));
            LLVMSetLinkage(g, LLVMLinkage::LLVMInternalLinkage);
            LLVMSetAlignment(g, align);
            V(g)
        }
    }
    /// A symbol that another object defines.
    pub fn extern_global(&self, name: &str) -> V {
        let c = c_string(name);
        // SAFETY: see above.
        unsafe {
            let known = LLVMGetNamedGlobal(self.module.as_mut_ptr(), c.as_ptr());
            if !known.is_null() {
                return V(known);
            }
            let g = LLVMAddGlobal(self.module.as_mut_ptr(), self.int(8).0, c.as_ptr());
            LLVMSetVisibility(g, LLVMVisibility::LLVMHiddenVisibility);
            V(g)
        }
    }
    /// A table of constants, each a pointer or an i64.
    pub fn const_words(&self, words: &[V]) -> V {
        let mut words: Vec<LLVMValueRef> = words.iter().map(|v| v.0).collect();
        // SAFETY: see above.
        V(unsafe { LLVMConstStructInContext(self.context, words.as_mut_ptr(), words.len() as u32, 0) })
    }
    /// A C string with its final zero; `name` labels the global.
    pub fn const_string(&self, name: &str, text: &str) -> V {
        let clean: String = text.chars().filter(|c| *c != '\0').collect();
        // SAFETY: see above.
        let s = V(unsafe { LLVMConstStringInContext2(self.context, clean.as_ptr().cast(), clean.len(), 0) });
        self.constant_global(name, s, 1)
    }
}

/// The name as a C string; names that are made here hold no zeros.
fn c_string(name: &str) -> CString {
    CString::new(name.replace('\0', "")).unwrap_or_default()
}
